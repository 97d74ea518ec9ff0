"""An app whose jobs tell which host they run on."""

import asyncio
import os

import pydantic

from agentmesh import ServeAPI

app = ServeAPI()


class Inputs(pydantic.BaseModel):
    """How long to take."""

    seconds: float = 0.0


@app.flow("/")
async def run(inputs: Inputs) -> dict[str, int]:
    """Return the process that this one was forked from: one per host."""
    zygote = os.getppid()
    await asyncio.sleep(inputs.seconds)
    return {"host": zygote}
