"""An app for the runner's tests: one flow whose inputs say how it shall end."""

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import time
from typing import Any

from fastapi import FastAPI, Request, Response

from agentmesh import KodosumiError, Tracer
from agentmesh.launch import Launch

app = FastAPI()


@app.get("/")
async def schema() -> dict[str, Any]:
    """Return an empty form."""
    return {"elements": []}


@app.post("/")
async def start(request: Request) -> Response:
    """Launch the flow with whatever is sent."""
    inputs = await request.json()
    if inputs.get("block_handler"):
        time.sleep(600)
    if inputs.get("kill_handler"):
        os.kill(os.getpid(), signal.SIGKILL)
    return Launch(request, run, inputs=inputs)


async def run(inputs: dict[str, Any], tracer: Tracer) -> Any:
    """End as told."""
    for number in range(int(inputs.get("events", 0))):
        await tracer.debug(f"event {number}")
    match inputs.get("end"):
        case "exit":
            os._exit(3)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "segfault":
            ctypes.string_at(0)
        case "raise":
            raise ValueError("boom")
        case "kodosumi":
            raise KodosumiError("first line\nsecond line")
        case "sleep":
            await asyncio.sleep(600)
        case "stubborn":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            await tracer.debug("ready")
            time.sleep(600)
        case "subprocess":
            child = subprocess.Popen(["sleep", "600"])
            await tracer.debug(str(child.pid))
            await asyncio.sleep(600)
        case "print":
            print("from print")
            print("to stderr", file=sys.stderr)
            await tracer.debug("between")
            print("after")
            sys.stdout.flush()
            os.write(1, b"native\n")
        case "huge":
            return "x" * (5 * 1024 * 1024)
        case "gate":
            await asyncio.to_thread(_wait_for, inputs["path"])
    return {"pid": os.getpid()}


def _wait_for(path: str) -> None:
    with open(path) as gate:  # a FIFO: opens when the test opens the other end
        gate.read()
