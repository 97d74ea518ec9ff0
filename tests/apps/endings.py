"""Flows that end in every way a process can end, and flows that wait for a test to let them go on."""

import asyncio
import ctypes
import os
import pathlib
import resource
import signal
import time
from typing import Any

import fastapi

from agentmesh import Launch, ServeAPI, Tracer
from agentmesh import forms as F

app = ServeAPI()
model = F.Model(
    F.InputText(label="Gate", name="gate", value=""),
    F.InputNumber(label="Events", name="events", value=10),
    F.Submit("Submit"),
    F.Cancel("Cancel"),
)


def sigkill() -> None:
    """Be killed."""
    print("about to be killed", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def exit_now() -> None:
    """Leave without a word."""
    os._exit(7)


def segfault() -> None:
    """Read where nothing is."""
    ctypes.string_at(0)


def memory() -> None:
    """Ask for more memory than there may be."""
    resource.setrlimit(resource.RLIMIT_AS, (2 * 1024**3, 2 * 1024**3))
    bytearray(8 * 1024**3)


def system_exit() -> None:
    """Raise what ends a program."""
    raise SystemExit(3)


async def forever(inputs: dict[str, Any], tracer: Tracer) -> None:
    """Say which process this is, then wait for ever; clean up when told to stop."""
    await tracer.result({"pid": os.getpid()})
    try:
        await asyncio.Event().wait()
    finally:
        await tracer.debug("cleaned up")


async def stubborn(inputs: dict[str, Any], tracer: Tracer) -> None:
    """Say which process this is, then ignore every wish to stop."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    await tracer.result({"pid": os.getpid()})
    while True:
        time.sleep(0.2)


def gated(inputs: dict[str, Any], tracer: Tracer) -> dict[str, int]:
    """Emit half of the events, wait until somebody writes to the named pipe `gate`, emit the other half."""
    count = int(inputs["events"])
    for number in range(1, count + 1):
        if number == count // 2 + 1:
            tracer.debug_sync("waiting at the gate")
            pathlib.Path(inputs["gate"]).read_bytes()
        tracer.result_sync({"number": number, "pid": os.getpid()})
    return {"events": count}


def _add(path: str, entry: str) -> None:
    @app.enter(path=path, model=model, summary=path.strip("/").title(), description=f"Runs {entry}.", tags=["Endings"])
    async def enter(request: fastapi.Request, inputs: dict[str, Any]) -> Launch:
        return Launch(request, f"tests.apps.endings:{entry}", inputs=inputs)


for name in ("sigkill", "exit_now", "segfault", "memory", "system_exit", "forever", "stubborn", "gated"):
    _add(f"/{name.replace('_', '-')}", name)
