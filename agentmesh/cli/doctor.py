"""`agentmesh doctor`: what this machine gives to keep apps from each other and from the mesh."""

import dataclasses
import json
import os
from typing import Annotated

import typer

from agentmesh.cli import output


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a measure.")] = False,
) -> None:
    """Say what keeps jobs apart on this machine, a line for each measure, and what is missing.

    Exits with 1 if something is missing that AGENTMESH_ISOLATION=require asks for.
    """
    from agentmesh.host.confine import Settings, missing, survey

    measures = survey(Settings.of(os.environ))
    for measure in measures:
        if as_json:
            print(json.dumps(dataclasses.asdict(measure)))
        else:
            mark = "✓" if measure.given else "✗" if measure.needed else "-"
            output.say(f"{mark} {measure.name}  {measure.note}")
    if missing(measures):
        raise typer.Exit(1)
