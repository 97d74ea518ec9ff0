"""An app that looks for secrets where programs of its user may look."""

import os
import pathlib
from typing import Any

import pydantic

from agentmesh import ServeAPI

app = ServeAPI()


class Look(pydantic.BaseModel):
    """What to look for."""

    word: str


def look(inputs: Look) -> dict[str, Any]:
    """Return the variables of this process, and of which processes the environment or command line has the word."""
    found = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        for name in ("environ", "cmdline"):
            try:
                if inputs.word.encode() in (process / name).read_bytes():
                    found.append(f"{name} of {process.name}")
            except OSError:  # it has gone, or is nobody's whom we may ask
                continue
    return {"environ": dict(os.environ), "found": found}


app.flow("/alone", isolation="process")(look)
app.flow("/shared", isolation="shared")(look)
