"""`agentmesh users`: who may sign in."""

import sys
from typing import Annotated

import typer

from agentmesh.cli.terminal import asking, output
from agentmesh.cli.terminal.session import URL, AsJson, Url, call
from agentmesh.client import TIERS, AsyncClient, User

_users = typer.Typer(help="Users: who may sign in (operators only).", no_args_is_help=True)
Login = Annotated[str, typer.Argument(help="What the user types to sign in.")]
Tier = Annotated[str, typer.Option(help=f"Decides rate limits: {', '.join(TIERS)}.")]
Stdin = Annotated[bool, typer.Option("--stdin", help="Read the password from stdin, a line.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(_users, name="users")
    app.command()(whoami)


@_users.command("list")
def list_users(url: Url = URL, as_json: AsJson = False) -> None:
    """List users, by login."""

    async def work(client: AsyncClient) -> None:
        found = [user async for user in client.users.list()]
        if as_json:
            for user in found:
                output.as_json(user)
            return
        rows = [(each.login, each.email, _role(each), each.tier, output.moment(each.create_time)) for each in found]
        output.table(("LOGIN", "EMAIL", "ROLE", "TIER", "SINCE"), rows)

    call(url, work)


def _role(user: User) -> str:
    role = "operator" if user.operator else "user"
    return role if user.active else f"{role} (inactive)"


@_users.command()
def add(
    login: Login,
    email: Annotated[str, typer.Argument(help="Of this user alone.")],
    operator: Annotated[bool, typer.Option("--operator", help="May do everything.")] = False,
    tier: Tier = "",
    stdin: Stdin = False,
    url: Url = URL,
    as_json: AsJson = False,
) -> None:
    """Add a user.  The password is asked for, unless --stdin."""
    password = _password(stdin)

    async def work(client: AsyncClient) -> None:
        user = await client.users.create(login, email, password, operator=operator, tier=tier)
        output.as_json(user) if as_json else output.say(f"{user.login} added")

    call(url, work)


@_users.command()
def update(
    login: Login,
    operator: Annotated[bool | None, typer.Option("--operator/--no-operator", help="Whether all is allowed.")] = None,
    active: Annotated[bool | None, typer.Option("--active/--inactive", help="Whether the user may sign in.")] = None,
    tier: Annotated[str | None, typer.Option(help=f"Decides rate limits: {', '.join(TIERS)}.")] = None,
    password: Annotated[bool, typer.Option("--password", help="Ask for another password.")] = False,
    stdin: Stdin = False,
    url: Url = URL,
    as_json: AsJson = False,
) -> None:
    """Change a user.  Another password, or --inactive, ends what the user is signed in with."""
    new = _password(stdin) if password or stdin else None
    if operator is None and active is None and tier is None and new is None:
        raise typer.BadParameter("say what to change: --operator, --inactive, --tier, --password …")

    async def work(client: AsyncClient) -> None:
        user = await client.users.update(login, operator=operator, active=active, tier=tier, password=new)
        output.as_json(user) if as_json else output.say(f"{user.login} {_role(user)} {user.tier}")

    call(url, work)


@_users.command()
def delete(login: Login, url: Url = URL) -> None:
    """Delete a user, who is signed out."""

    async def work(client: AsyncClient) -> None:
        await client.users.delete(login)
        output.say(f"{login} deleted")

    call(url, work)


def whoami(url: Url = URL, as_json: AsJson = False) -> None:
    """Say who is signed in at a mesh."""

    async def work(client: AsyncClient) -> None:
        user = await client.users.me()
        if as_json:
            output.as_json(user)
        else:
            output.say(f"{user.login or 'a guest'} at {url} ({_role(user)})")

    call(url, work)


def _password(stdin: bool) -> str:
    if stdin:
        return sys.stdin.readline().rstrip("\n")
    return asking.password("Password", "say --stdin, and send it there as a line", twice=True)
