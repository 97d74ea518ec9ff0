"""`agentmesh doctor`: what a mesh stands on here, and what keeps apps from each other and from it."""

import dataclasses
import json
import os
import pathlib
from typing import Annotated

import typer

from agentmesh.cli.terminal import output


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a measure.")] = False,
    data_dir: Annotated[
        pathlib.Path, typer.Option(help="Where the mesh keeps everything.", envvar="AGENTMESH_DATA_DIR")
    ] = pathlib.Path("data"),
) -> None:
    """Say what keeps jobs apart on this machine and what a mesh stands on, a line for each, and what is missing.

    The database, Redis, Ray, telemetry and certificates are those that the environment names.  ✓ is there, ✗ is missing
    and must be mended, - would be good to have.  Exits with 1 if something must be mended; what keeps jobs apart counts
    where AGENTMESH_ISOLATION=require would ask for it.
    """
    from agentmesh.cli.machine import checks
    from agentmesh.host.confine import Settings, missing, survey

    measures = [*survey(Settings.of(os.environ)), *checks.all_of(os.environ, data_dir)]
    for measure in measures:
        if as_json:
            print(json.dumps(dataclasses.asdict(measure)))
        else:
            mark = "✓" if measure.given else "✗" if measure.needed else "-"
            output.say(f"{mark} {measure.name}  {measure.note}")
    if missing(measures):
        raise typer.Exit(1)
