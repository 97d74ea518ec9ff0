"""`agentmesh expose add|list|rm` and `agentmesh boot`: what is deployed."""

import contextlib
import json
import pathlib
from typing import Annotated

import typer

from agentmesh.cli.definitions import booting
from agentmesh.cli.terminal import options, output
from agentmesh.cli.terminal.session import URL, AsJson, Url, call
from agentmesh.client import AsyncClient

_exposes = typer.Typer(help="What is deployed.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(_exposes, name="expose")
    app.command()(boot)


@_exposes.command()
def add(
    name: Annotated[str, typer.Argument(help="Lower-case letters, digits, - and _.")],
    import_path: Annotated[str, typer.Argument(help="package.module:attribute of the app.")] = "",
    file: Annotated[
        pathlib.Path | None, typer.Option("--file", "-f", help="A bootstrap in YAML, instead of an import path.")
    ] = None,
    env: Annotated[list[str] | None, typer.Option("--env", "-e", help="NAME=VALUE for the app; repeat it.")] = None,
    display: Annotated[str, typer.Option(help="What people call it.")] = "",
    disabled: Annotated[bool, typer.Option("--disabled", help="Do not boot it.")] = False,
    network: Annotated[str, typer.Option(help="Where its flows are paid for: Preprod or Mainnet.")] = "",
    meta: Annotated[
        list[str] | None, typer.Option("--meta", "-m", help="PATH=FILE: YAML about the flow at PATH (/); repeat it.")
    ] = None,
    url: Url = URL,
) -> None:
    """Add an app, or replace the one of that name.  It runs from the next boot on."""
    if bool(import_path) == bool(file):
        raise typer.BadParameter("give either an import path, such as my.app:app, or --file")
    given = f"import_path: {import_path}\n{_runtime_env(env or [])}"
    bootstrap = given if file is None else options.text_of(file)

    async def work(client: AsyncClient) -> None:
        before = {expose.name async for expose in client.exposes()}
        expose = await client.save_expose(
            name,
            bootstrap,
            display_name=display,
            enabled=not disabled,
            network=network,
            meta=_metas(meta or []),
        )
        if expose.name != name.removeprefix("exposes/"):
            output.note(f"{name!r} is called {expose.name!r}: names are in lower case")
        how = "replaces the one of that name" if expose.name in before else "saved"
        output.say(f"{expose.name} {how}; start it with: agentmesh boot")

    call(url, work)


@_exposes.command("list")
def list_exposes(url: Url = URL, as_json: AsJson = False) -> None:
    """List the apps."""

    async def work(client: AsyncClient) -> None:
        found = [expose async for expose in client.exposes()]
        if as_json:
            for expose in found:
                output.as_json(expose)
            return
        rows = [
            (e.name, e.state if e.enabled else f"{e.state} (disabled)", f"{e.alive_count}/{e.flow_count}", e.message)
            for e in found
        ]
        output.table(("NAME", "STATE", "FLOWS", "MESSAGE"), rows)

    call(url, work)


@_exposes.command("rm")
def remove(name: Annotated[str, typer.Argument(help="Name of the expose.")], url: Url = URL) -> None:
    """Delete an app.  It runs on until the next boot."""

    async def work(client: AsyncClient) -> None:
        await client.delete_expose(name)
        output.say(f"{name} deleted; stop its app with: agentmesh boot")

    call(url, work)


def boot(
    force: Annotated[bool, typer.Option("--force", help="End a boot that runs, and start over.")] = False,
    url: Url = URL,
    as_json: AsJson = False,
) -> None:
    """Start every enabled app, and stop the others: a line an app.  Exit code 1 if what was saved last does not run."""

    async def work(client: AsyncClient) -> int:
        failed, idle = False, True
        with contextlib.nullcontext() if as_json else output.busy("booting"):
            async for step in client.boot(force=force):
                failed = failed or step.kind == "error" or booting.is_failure(step)
                idle = idle and not step.expose
                if as_json:
                    output.as_json(step)
                elif (line := booting.line(step)) is not None:
                    output.say(*line)
        if idle and not failed and not as_json:
            output.note("nothing to boot; add an app with: agentmesh expose add NAME package.module:attribute")
        return int(failed)

    raise typer.Exit(call(url, work))


def _metas(pairs: list[str]) -> dict[str, str]:
    """Return the texts of `PATH=FILE`, by path."""
    texts = {}
    for pair in pairs:
        path, separator, name = pair.partition("=")
        if not separator:
            raise typer.BadParameter(f"--meta {pair}: write PATH=FILE, such as /=paid.yaml")
        texts[path] = options.text_of(pathlib.Path(name))
    return texts


def _runtime_env(pairs: list[str]) -> str:
    if not pairs:
        return ""
    lines = ["runtime_env:", "  env_vars:"]
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator or not name:
            raise typer.BadParameter(f"--env {pair!r} must look like NAME=VALUE")
        lines.append(f"    {json.dumps(name)}: {json.dumps(value)}")  # a JSON string is a YAML string
    return "\n".join(lines) + "\n"
