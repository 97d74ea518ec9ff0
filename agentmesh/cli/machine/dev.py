"""`agentmesh dev`: a mesh for the app of one file, which is loaded again whenever it is saved."""

import asyncio
import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import webbrowser
from collections.abc import Iterator
from typing import Annotated

import typer

from agentmesh.cli.definitions import booting
from agentmesh.cli.machine import sources, telling
from agentmesh.cli.machine.sources import Source
from agentmesh.cli.terminal import output
from agentmesh.cli.terminal.session import EXIT_INTERRUPTED, call
from agentmesh.client import AsyncClient, MeshError
from agentmesh.supervisor import leash

READY = "agentmesh ready "
_LOOK_S = 0.3
_END_WITHIN_S = 10.0
_FOLDER = ".agentmesh"


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(dev)


def dev(
    file: Annotated[str, typer.Argument(metavar="FILE[:app]", help="The file of the app, and its name in there.")],
    port: Annotated[int, typer.Option(help="The mesh's one port; 0 takes a free one.")] = 3370,
    data_dir: Annotated[
        pathlib.Path | None, typer.Option(help=f"Where everything is kept; {_FOLDER} beside the app if not given.")
    ] = None,
    name: Annotated[str, typer.Option(help="What the app is called; as its file if not given.")] = "",
    open_: Annotated[bool, typer.Option("--open", help="Open the panel in a browser.")] = False,
) -> None:
    """Start a mesh with the app of a file, and load it anew whenever something beside it is saved.

    Code that does not load replaces nothing: the version before serves on, and jobs end in the code they began with.
    What jobs print, and where they fail, is shown here.  Ctrl-C ends the mesh.
    """
    source = sources.find(file)
    called = name or source.name
    folder = (data_dir or source.root / _FOLDER).resolve()
    if data_dir is None:
        with contextlib.suppress(OSError):
            folder.mkdir(exist_ok=True)
            (folder / ".gitignore").write_text("*\n", encoding="utf-8")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt), _mesh(source, port, folder) as (process, url):
        try:
            app = _App(source, called, folder)
            call(url, lambda client: _serve(client, app, url, process, browse=open_))
        except typer.Exit as done:
            if done.exit_code != EXIT_INTERRUPTED:  # to be interrupted is how it ends
                raise


@contextlib.contextmanager
def _mesh(source: Source, port: int, data_dir: pathlib.Path) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """Run `agentmesh up` in the app's folder; yield it and its address.  It dies with us, however we die."""
    command = [sys.executable, "-I", "-S", leash.__file__, str(os.getpid())]
    command += [sys.executable, "-P", "-m", "agentmesh.cli", "up", "--port", str(port)]
    command += ["--data-dir", str(data_dir), "--log-level", "warning", "--log-format", "text"]
    # Within a second a file may change and keep its size: what Python keeps of it would be taken for the new one.
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, cwd=source.root, env=env,
        start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        with output.busy("starting the mesh"):
            line = process.stdout.readline()
        if not line.startswith(READY):
            raise typer.Exit(process.wait(_END_WITHIN_S) or 1)
        yield process, line.removeprefix(READY).strip()
    finally:
        process.terminate()
        try:
            process.wait(_END_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


@dataclasses.dataclass(frozen=True, slots=True)
class _App:
    source: Source
    name: str
    """Of its expose."""
    data_dir: pathlib.Path

    async def look(self) -> sources.Seen:
        """Return what is to be seen of its files."""
        return await asyncio.to_thread(sources.look, self.source.root, self.data_dir)


async def _serve(client: AsyncClient, app: _App, url: str, process: "subprocess.Popen[str]", *, browse: bool) -> None:
    seen = await app.look()
    await _add(client, app)
    await load(client, app.name)
    page = f"{url}/panel/flows"
    output.say(f"the panel: {page}  (Ctrl-C ends the mesh)", "bold")
    if browse:
        await asyncio.to_thread(webbrowser.open, page)
    async with asyncio.TaskGroup() as tasks:
        teller = tasks.create_task(telling.tell(client, app.name), name="tell")
        try:
            while process.poll() is None:
                await asyncio.sleep(_LOOK_S)
                seen = await _reload(client, app, seen)
        finally:
            teller.cancel()
    raise typer.Exit(1)  # it ended by itself, and has said why


async def _reload(client: AsyncClient, app: _App, seen: sources.Seen) -> sources.Seen:
    """Load the app anew if something was saved, and nothing is any more; return what is to be seen then."""
    before, now = seen, await app.look()
    while now != before:  # until what is being saved is whole, and all of it
        await asyncio.sleep(_LOOK_S)
        before, now = now, await app.look()
    if not (changed := sorted(path for path in now.keys() | seen.keys() if now.get(path) != seen.get(path))):
        return now
    others = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
    first = changed[0].removeprefix(f"{app.source.root}/")
    output.say(f"{first}{others} changed: loading {app.name} anew", "dim")
    try:
        await load(client, app.name)
    except MeshError as error:
        output.say(f"✗ {app.name}  {error}", "bold red")
    return now


async def _add(client: AsyncClient, app: _App) -> None:
    """Expose the app, unless it is so already."""
    bootstrap = f"import_path: {json.dumps(app.source.import_path)}\n"
    async for expose in client.exposes():
        if expose.name == app.name and expose.bootstrap.strip() == bootstrap.strip() and expose.enabled:
            return
    await client.save_expose(app.name, bootstrap)


async def load(client: AsyncClient, name: str) -> bool:
    """Load an app anew and say what came of it, with the traceback; return whether it serves what was saved."""
    good = True
    async for step in client.refresh_expose(name):
        if step.fact == "boot_failed" and not good:
            continue  # that of its app is told already
        good = good and not booting.is_failure(step) and step.kind != "error"
        if (line := booting.line(step)) is not None:
            output.say(*line)
    if not good:
        async for app in client.apps():
            if app.name == name and app.detail:
                output.say("\n".join(f"    {line}" for line in app.detail.splitlines()), "dim")
    return good
