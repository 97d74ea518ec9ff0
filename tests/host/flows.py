"""An app for the tests of hosts: flows that do one thing each."""

import asyncio
import multiprocessing
import os
import socket
from typing import Any

from agentmesh import ServeAPI, Tracer
from agentmesh import forms as F  # noqa: N812

app = ServeAPI()


@app.lock("ask")
def ask(data: dict[str, Any]) -> F.Model:
    """Make a form as large as told."""
    return F.Model(F.Markdown("x" * data.get("size", 0)), F.InputText(label="A", name="a"))


async def noop(inputs: dict[str, Any], tracer: Tracer) -> dict[str, Any]:
    """Return the inputs."""
    return inputs


async def wait(inputs: dict[str, Any], tracer: Tracer) -> None:
    """Say that it waits, then wait for ever; clean up when told to stop."""
    await tracer.debug("waiting")
    try:
        await asyncio.Event().wait()
    finally:
        await tracer.debug("cleaned up")


async def talk(inputs: dict[str, Any], tracer: Tracer) -> None:
    """Emit as many events of a size as told."""
    for number in range(inputs["count"]):
        await tracer.debug(f"{number} {'x' * inputs['size']}")


async def too_much(inputs: dict[str, Any], tracer: Tracer) -> Any:
    """Say what is too large, in the way that is told."""
    match inputs["how"]:
        case "raise":
            raise ValueError("x" * 20_000_000)
        case "return":
            return "\N{GRINNING FACE}" * 4_194_290
        case "lock":
            await tracer.lock("ask", {"size": 20_000_000})
        case "event":
            await tracer.debug("ü" * 3_000_000)
    return None


def garble(inputs: dict[str, Any], tracer: Tracer) -> None:
    """Write what is no frame to the host."""
    for name in os.listdir("/proc/self/fd"):
        try:
            with socket.socket(fileno=os.dup(int(name))) as sock:
                sock.sendall(bytes.fromhex(inputs["bytes"]))
        except OSError:
            continue
    tracer.lock_sync("ask")


def double(number: int) -> int:
    """Be the work of a pool."""
    return 2 * number


def pool(inputs: dict[str, Any], tracer: Tracer) -> list[int]:
    """Have forked processes work."""
    with multiprocessing.get_context("fork").Pool(2) as workers:
        return workers.map(double, range(10))
