"""An app whose jobs tell which host they run on."""

import asyncio
import os
import pathlib
import signal

import pydantic

from agentmesh import ServeAPI

app = ServeAPI()


class Inputs(pydantic.BaseModel):
    """How long to take."""

    seconds: float = 0.0
    kill_host: bool = False


@app.flow("/")
async def run(inputs: Inputs) -> dict[str, int]:
    """Return the process that this one was forked from: one per host."""
    zygote = os.getppid()
    await asyncio.sleep(inputs.seconds)
    if inputs.kill_host:
        os.kill(_parent_of(zygote), signal.SIGKILL)
        await asyncio.sleep(60)
    return {"host": zygote}


def _parent_of(pid: int) -> int:
    stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    return int(stat.rpartition(")")[2].split()[1])
