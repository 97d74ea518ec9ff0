"""An app that looks for secrets where programs of its user may look."""

import os
import pathlib
import socket
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


def order(inputs: Look) -> str:
    """Connect with the nursery, as its environment names it, and tell it something; return what it says."""
    environ = pathlib.Path("/proc/self/environ").read_bytes().split(b"\0")
    path = next((each.partition(b"=")[2] for each in environ if each.startswith(b"AGENTMESH_NURSERY=")), b"")
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(60.0)
            sock.connect(path)
            sock.sendall(b"\xff" * 64)
            return f"heard {sock.recv(100)!r}"
    except OSError as error:
        return type(error).__name__


app.flow("/order", isolation="process")(order)
app.flow("/alone", isolation="process")(look)
app.flow("/shared", isolation="shared")(look)
