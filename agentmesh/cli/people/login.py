"""`agentmesh login`, `logout` and `passwd`."""

import asyncio
import sys
from typing import Annotated

import typer

from agentmesh.cli.terminal import asking, output
from agentmesh.cli.terminal.session import URL, FileTokens, Url, trusted
from agentmesh.client import AsyncClient, MeshError


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(login)
    app.command()(logout)
    app.command()(passwd)


def login(
    name: Annotated[str, typer.Argument(help="Who you are.")] = "admin",
    password: Annotated[
        str, typer.Option(help="Asked for if not given; - reads it from stdin.", envvar="AGENTMESH_PASSWORD")
    ] = "",
    url: Url = URL,
) -> None:
    """Sign in; later commands at this address are yours."""
    if password == "-":
        password = sys.stdin.readline().rstrip("\n")
    if not password:
        password = asking.password("Password", "say --password - and send it to stdin, or set AGENTMESH_PASSWORD")

    async def work() -> None:
        async with AsyncClient(url, tokens=FileTokens(url), ca=trusted()) as client:
            tokens = await client.login(name, password)
            output.say(f"signed in as {tokens.login or name} at {url}")

    asyncio.run(work())


def logout(url: Url = URL) -> None:
    """Revoke the sign-in and forget it."""
    store = FileTokens(url)

    async def work() -> None:
        async with AsyncClient(url, tokens=store, ca=trusted()) as client:
            try:
                await client.logout()
            except MeshError as error:  # the mesh may be gone; forget the sign-in all the same
                output.note(f"the mesh did not revoke it: {error}")
            store.save(None)
            output.say(f"signed out at {url}")

    asyncio.run(work())


def passwd(
    stdin: Annotated[
        bool, typer.Option("--stdin", help="Read the old and the new one from stdin, a line each.")
    ] = False,
    url: Url = URL,
) -> None:
    """Change your password.  Everything else that you are signed in with ends, API keys too."""
    if stdin:
        old, new = (sys.stdin.readline().rstrip("\n") for _ in range(2))
    else:
        instead = "say --stdin, and send the old and the new one there, a line each"
        old = asking.password("Old password", instead)
        new = asking.password("New password", instead, twice=True)

    async def work() -> None:
        async with AsyncClient(url, tokens=FileTokens(url), ca=trusted()) as client:
            await client.change_password(old, new)
            output.say(f"password changed at {url}; what was signed in before is not any more")

    asyncio.run(work())
