"""`agentmesh logs`: what the processes of a mesh on this machine have said."""

import collections
import contextlib
import json
import os
import pathlib
import time
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from agentmesh.cli.terminal import output
from agentmesh.cli.terminal.session import AsJson
from agentmesh.supervisor import kept, speaking

_LEVELS = ("debug", "info", "warning", "error")
_LOOK_S = 0.2


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(logs)


def logs(
    process: Annotated[str, typer.Argument(help="Only of this process: runner, registry, nursery, edge …")] = "",
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last ones.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with those that come; Ctrl-C ends it.")] = False,
    level: Annotated[str, typer.Option(help=f"Only of this level and worse: {', '.join(_LEVELS)}.")] = "debug",
    data_dir: Annotated[
        pathlib.Path, typer.Option(help="Of the mesh, as `up` was told.", envvar="AGENTMESH_DATA_DIR")
    ] = pathlib.Path("data"),
    as_json: AsJson = False,
) -> None:
    """Show the log of a mesh on this machine, the last lines first of all.

    What a job prints is among its events: `agentmesh watch JOB`.
    """
    if level not in _LEVELS:
        raise typer.BadParameter(f"--level must be one of {', '.join(_LEVELS)}")
    files = kept.pieces(data_dir)
    if not files:
        raise ValueError(f"{data_dir} has no log of a mesh: name the data directory of `agentmesh up` with --data-dir")

    names: set[str] = set()

    def wanted(said: dict[str, Any]) -> bool:
        names.add(str(said.get("process", "")))
        worse = _LEVELS[_LEVELS.index(level) :]
        return (
            said.get("process", process) == (process or said.get("process"))
            and (level == "debug" or str(said.get("level", "info")).replace("critical", "error") in worse)
            and (as_json or bool(speaking.text_of(said)))  # calls are no lines for people: `-n 1` is one they see
        )

    try:
        position = 0
        shown: collections.deque[dict[str, Any]] = collections.deque(maxlen=lines)
        for file in files:
            with file.open("rb") as text:
                shown.extend(filter(wanted, map(_said, text)))
                position = text.tell()
        if process and process not in names and not follow:
            raise ValueError(f"no line is of {process!r}: there are {', '.join(sorted(filter(None, names)))}")
        for said in shown:
            _show(said, as_json=as_json)
        for said in _coming(files[-1], position) if follow else ():
            if wanted(said):
                _show(said, as_json=as_json)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _coming(file: pathlib.Path, position: int) -> Iterator[dict[str, Any]]:
    """Yield what is added, over turns of the file."""
    rest = b""
    text = file.open("rb")
    try:
        text.seek(position)
        while True:
            turned = _inode(file) != os.fstat(text.fileno()).st_ino  # before we read: what is behind it is the last
            if data := text.read():
                *whole, rest = (rest + data).split(b"\n")
                yield from map(_said, whole)
                continue
            if turned:
                with contextlib.suppress(FileNotFoundError):
                    after = file.open("rb")
                    text.close()
                    text, rest = after, b""
            time.sleep(_LOOK_S)
    finally:
        text.close()


def _inode(file: pathlib.Path) -> int:
    """Return which file has that name; while it is turned, none has."""
    with contextlib.suppress(FileNotFoundError):
        return file.stat().st_ino
    return 0


def _said(line: bytes) -> dict[str, Any]:
    try:
        said = json.loads(line)
    except ValueError:  # the mesh was killed in the middle of it
        said = None
    return said if isinstance(said, dict) else {"event": line.decode(errors="replace").strip()}


def _show(said: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(said, ensure_ascii=False), flush=True)
    elif text := speaking.text_of(said, colours=output.console.is_terminal and not output.console.no_color):
        print(text, end="", flush=True)
