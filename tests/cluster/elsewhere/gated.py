"""An app whose jobs wait until somebody lets them go on."""

import asyncio
import pathlib

import pydantic

from agentmesh import ServeAPI

app = ServeAPI()


class Inputs(pydantic.BaseModel):
    """What to wait for."""

    gate: pathlib.Path


@app.flow("/")
async def run(inputs: Inputs) -> str:
    """Wait until somebody opens the named pipe, and closes it."""
    return await asyncio.to_thread(inputs.gate.read_text)
