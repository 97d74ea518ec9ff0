"""An app whose jobs tell which host they run on."""

import asyncio
import os

import pydantic

from agentmesh import ServeAPI

app = ServeAPI()


class Inputs(pydantic.BaseModel):
    """What to wait for."""

    gate: str = ""
    """A named pipe that somebody will open; empty for nothing."""


@app.flow("/")
async def run(inputs: Inputs) -> dict[str, int]:
    """Return the process that this one was forked from: one per host."""
    zygote = os.getppid()
    if inputs.gate:
        await asyncio.to_thread(_wait_at, inputs.gate)
    return {"host": zygote}


def _wait_at(gate: str) -> None:
    with open(gate) as pipe:
        pipe.read()
