"""`agentmesh sessions`: what one is signed in with."""

from typing import Annotated

import typer

from agentmesh.cli.terminal import output
from agentmesh.cli.terminal.session import URL, AsJson, Url, call
from agentmesh.client import AsyncClient

_sessions = typer.Typer(help="Sessions: what one is signed in with.", no_args_is_help=True)
User = Annotated[str, typer.Option("--user", help="Those of this user (operators only).")]
_CLIENT_CHARS_MAX = 60


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(_sessions, name="sessions")


@_sessions.command("list")
def list_sessions(user: User = "", url: Url = URL, as_json: AsJson = False) -> None:
    """List what you are signed in with, the newest first; * is the one that this command uses."""

    async def work(client: AsyncClient) -> None:
        found = [each async for each in client.sessions.list(user)]
        if as_json:
            for each in found:
                output.as_json(each)
            return
        rows = [
            (
                each.name.removeprefix("sessions/") + (" *" if each.current else ""),
                each.client[:_CLIENT_CHARS_MAX],
                each.address,
                *map(output.moment, (each.create_time, each.use_time, each.expire_time)),
            )
            for each in found
        ]
        output.table(("SESSION", "CLIENT", "ADDRESS", "SIGNED IN", "LAST USED", "ENDS"), rows)

    call(url, work)


@_sessions.command()
def end(
    session: Annotated[str, typer.Argument(help="Id of the session, as `list` shows it.")] = "",
    others: Annotated[bool, typer.Option("--others", help="All but the one that this command uses.")] = False,
    user: User = "",
    url: Url = URL,
) -> None:
    """End a session, or all others: they are refused within a second.  API keys stay (`agentmesh keys`)."""
    if bool(session) == others or (user and session):
        raise typer.BadParameter("name a session, or say --others, of a --user perhaps")

    async def work(client: AsyncClient) -> None:
        if session:
            await client.sessions.end(session)
            output.say(f"{session} ended")
        else:
            output.say(f"{await client.sessions.end_others(user)} ended")

    call(url, work)
