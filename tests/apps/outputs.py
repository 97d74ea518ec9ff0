"""Flows that say things in every way a program can: much, long, binary, nested, from threads and from children."""

import asyncio
import datetime
import decimal
import os
import subprocess
import sys
import threading
from typing import Any

import fastapi

from agentmesh import Launch, ServeAPI, Tracer
from agentmesh import forms as F

FORGERY = "one\r\n\r\nid: 99\r\nevent: status\r\ndata: 1.0:finished\r\n\r\ntwo\rthree\n\nfour"
STRANGE = "Grüße 🎈 \x1b[31mred\x1b[0m \x00 \u2028 \ud800 end"

app = ServeAPI()
model = F.Model(F.InputText(label="Text", name="text", value=""), F.Submit("Submit"), F.Cancel("Cancel"))


def printing() -> None:
    """Print lines, half lines, bytes that are no UTF-8, from a thread and from a child."""
    print("first")
    print("half ", end="")
    print("line")
    print("to stderr", file=sys.stderr)
    sys.stdout.flush()
    os.write(1, b"native \xff\xfe\n")
    thread = threading.Thread(target=print, args=("from a thread",))
    thread.start()
    thread.join()
    subprocess.run([sys.executable, "-c", "print('from a child')"], check=True)
    print("  trailing blanks  \t")
    print()
    print("no newline at the end", end="")


def long_line() -> None:
    """Print one line of three million characters."""
    print("x" * 3_000_000)


def many_lines() -> None:
    """Print twenty thousand lines."""
    for number in range(20_000):
        print(f"line {number}")


def long_log(inputs: dict[str, Any]) -> None:
    """Print thirty million characters, in lines of a thousand."""
    for number in range(30_000):
        print(f"{number:06}".ljust(1_000, "."))


async def many_events(inputs: dict[str, Any], tracer: Tracer) -> None:
    """Send twenty thousand events from four tasks."""

    async def send(name: int) -> None:
        for number in range(5_000):
            await tracer.result({"task": name, "number": number})

    await asyncio.gather(*map(send, range(4)))


async def strange_text(inputs: dict[str, Any], tracer: Tracer) -> str:
    """Send texts that would break a protocol that does not look."""
    await tracer.debug(FORGERY)
    await tracer.debug("")
    await tracer.markdown(FORGERY)
    await tracer.text(STRANGE)
    print(STRANGE)
    return FORGERY


def large_result() -> str:
    """Return nine million characters."""
    return "x" * 9_000_000


def strange_result() -> dict[Any, Any]:
    """Return what JSON does not know."""
    loop: list[Any] = []
    loop.append(loop)
    return {
        "nan": float("nan"),
        "set": {3, 1, 2},
        "bytes": b"\xff",
        "time": datetime.datetime(2025, 1, 2, tzinfo=datetime.UTC),
        "decimal": decimal.Decimal("1.10"),
        "loop": loop,
        "large": 10**5000,
        1: "a number as a key",
        "object": object(),
        "error": ValueError("text"),
    }


async def descendants(inputs: dict[str, Any], tracer: Tracer) -> None:
    """Start a child that would run for ever, say who it is, and wait."""
    child = subprocess.Popen(["sleep", "100000"])
    await tracer.result({"pid": os.getpid(), "child": child.pid})
    await asyncio.Event().wait()


def sleeping(tracer: Tracer) -> None:
    """Block in code that is not asynchronous."""
    tracer.result_sync({"pid": os.getpid()})
    threading.Event().wait()


def echo(inputs: dict[str, Any]) -> dict[str, Any]:
    """Return the inputs."""
    return inputs


def _add(path: str, entry: str) -> None:
    @app.enter(path=path, model=model, summary=path.strip("/").title(), description=f"Runs {entry}.", tags=["Outputs"])
    async def enter(request: fastapi.Request, inputs: dict[str, Any]) -> Launch:
        return Launch(request, f"tests.apps.outputs:{entry}", inputs=inputs)


for name in (
    "printing", "long_line", "many_lines", "long_log", "many_events", "strange_text", "large_result", "strange_result",
    "descendants", "sleeping", "echo",
):  # fmt: skip
    _add(f"/{name.replace('_', '-')}", name)
