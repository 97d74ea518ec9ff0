"""Flows that misbehave without malice, as people write them; a docstring says what each does wrong."""

import asyncio
import atexit
import contextlib
import ctypes
import os
import resource
import signal
import sys
import tempfile
from typing import Any

from fastapi import HTTPException, Request, Response

from agentmesh import InputsError, Launch, ServeAPI, Tracer
from agentmesh import forms as F  # noqa: N812
from tests.hostile.belongings import *  # noqa: F403 - one app has them all

MIB = 1024 * 1024
HUGE = 20_000_000

app = ServeAPI()
temporary = tempfile.TemporaryDirectory(prefix="hostile-")
"""As apps have it: made at the import, for all jobs."""
atexit.register(print, "an exit handler of the app, which is no job's", file=sys.__stderr__)


@app.lock("ask")
def ask(data: dict[str, Any]) -> F.Model:
    """Make a form as large as told."""
    return F.Model(F.Markdown("x" * data.get("size", 0)), F.InputText(label="A", name="a"))


@app.lock("t" * HUGE)
def titled(data: dict[str, Any]) -> F.Model:
    """Have a title that is too large."""
    return F.Model(F.InputText(label="A", name="a"))


@app.get("/ping")
def ping() -> str:
    """Be alive."""
    return "pong"


@app.get("/fork")
async def fork_and_answer() -> str:
    """Fork, and answer in both."""
    await _see_off(os.fork())
    return "answered"


@app.get("/fork_in_a_pool")
async def fork_in_a_pool_and_answer() -> str:
    """Fork in a thread of the loop's, and answer once that has ended."""
    await _see_off(await asyncio.to_thread(os.fork))
    return "answered"


async def _see_off(pid: int) -> None:
    if pid:
        await asyncio.to_thread(os.waitpid, pid, 0)


@app.get("/page/{how}")
def page(how: str) -> Response:
    """Answer with more than anybody takes."""
    answer = Response("x" * HUGE if how == "body" else "ok")
    if how == "header":
        answer.headers["x-huge"] = "x" * HUGE
    if how == "headers":
        answer.raw_headers.extend((b"x-many", b"x" * 1000) for _ in range(20_000))
    return answer


@app.enter("/form", model=F.Model(F.InputText(label="How", name="how"), F.Submit("Go")))
async def form(request: Request, inputs: dict[str, Any]) -> Any:
    """Answer as told."""
    match inputs["how"]:
        case "raise":
            raise ValueError("x" * HUGE)
        case "raise inputs error":
            raise InputsError(how=["x" * 1000] * 20_000)
        case "launch":
            return Launch(request, "tests.hostile.flows:noop", inputs={"text": "x" * HUGE})
        case "answer":
            raise HTTPException(418, detail="x" * HUGE)
        case "deep":
            deep: list[Any] = []
            for _ in range(100_000):
                deep = [deep]
            raise HTTPException(418, detail=deep)
        case "nan":
            raise HTTPException(400, detail=[float("nan"), 10**10_000])
        case "exit":
            sys.exit(3)


# -- neighbours ------------------------------------------------------------------------------------------------------


async def neighbour(inputs: dict[str, Any], tracer: Tracer) -> None:
    """Answer in every way whenever it is asked."""
    while True:
        word = await tracer.lock("ask")
        print(f"prints {word}")
        print(f"complains {word}", file=sys.stderr)
        await tracer.debug(f"says {word}")
        await asyncio.to_thread(print, f"in a thread {word}")


def noop(inputs: dict[str, Any], tracer: Tracer) -> str:
    """Do nothing wrong; use what the app made for all."""
    return str(os.path.isdir(temporary.name))


# -- too much, or of the wrong sort ----------------------------------------------------------------------------------


async def raise_huge(inputs: dict[str, Any], tracer: Tracer) -> None:
    """Raise with a text of 20 MB."""
    raise ValueError("x" * HUGE)


async def raise_strange(inputs: dict[str, Any], tracer: Tracer) -> None:
    """Raise with a text that no encoding takes, of a type that cannot be shown."""

    class Strange(Exception):
        def __str__(self) -> str:
            return "lone \ud800, null \x00"

        def __repr__(self) -> str:
            raise RuntimeError("no")

    raise Strange


async def raise_group(inputs: dict[str, Any], tracer: Tracer) -> None:
    """Raise a thousand errors within each other, each with the cause of all."""
    error: Exception = ValueError("the first")
    for number in range(1000):
        try:
            raise ExceptionGroup("y" * 10_000, [error, ValueError(number)]) from error
        except ExceptionGroup as group:
            error = group
    raise error


async def return_huge(inputs: dict[str, Any], tracer: Tracer) -> str:
    """Return more bytes than characters."""
    return "\N{GRINNING FACE}" * 4_194_290


async def return_deep(inputs: dict[str, Any], tracer: Tracer) -> Any:
    """Return a list in a list, 100,000 times."""
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    return value


async def return_strange(inputs: dict[str, Any], tracer: Tracer) -> Any:
    """Return what JSON does not know."""
    circle: dict[str, Any] = {"nan": float("nan"), "inf": -float("inf"), "huge": 10**100_000, "lone": "\ud800\x00"}
    circle["itself"] = circle
    circle["\udfff"] = {1, "two"}
    return circle


async def lock_huge(inputs: dict[str, Any], tracer: Tracer) -> None:
    """Ask with a form of 20 MB."""
    await tracer.lock("ask", {"size": HUGE})


async def lock_titled(inputs: dict[str, Any], tracer: Tracer) -> None:
    """Ask with a title of 20 MB."""
    await tracer.lock("t" * HUGE)


async def lock_for_ever(inputs: dict[str, Any], tracer: Tracer) -> None:
    """Ask with a time that is none."""
    await tracer.lock("ask", timeout=float("nan"))


async def say_huge(inputs: dict[str, Any], tracer: Tracer) -> None:
    """Say something of 20 MB."""
    text = "x" * HUGE
    match inputs["how"]:
        case "kind":
            tracer.emit(text, "payload")
        case "progress":
            await tracer.progress(1, 2, text)
        case "usage":
            await tracer.usage(10**HUGE if inputs.get("wide") else 1 << 63)
        case how:
            await getattr(tracer, how)(text)


async def say_strange(inputs: dict[str, Any], tracer: Tracer) -> None:
    """Say what no encoding takes, in every way."""
    strange = "lone \ud800, null \x00, over \r here"
    tracer.emit("stdout\ud800", strange)
    for way in (tracer.debug, tracer.result, tracer.action, tracer.markdown, tracer.html, tracer.text, tracer.warning):
        await way(strange)
    await tracer.progress(1, 2, strange)


async def say_much(inputs: dict[str, Any], tracer: Tracer) -> None:
    """Say 60 MB, a megabyte at a time."""
    for number in range(60):
        await tracer.debug(f"{number} {'x' * MIB}")


# -- ends ------------------------------------------------------------------------------------------------------------


async def leave(inputs: dict[str, Any], tracer: Tracer) -> None:
    """End the process or the program in the way that is told."""
    await tracer.debug("leaving")
    match inputs["how"]:
        case "os._exit":
            os._exit(3)
        case "sys.exit":
            sys.exit(3)
        case "KeyboardInterrupt":
            raise KeyboardInterrupt
        case "GeneratorExit":
            raise GeneratorExit
        case "CancelledError":
            raise asyncio.CancelledError
        case "StopIteration":
            raise StopIteration(3)
        case "abort":
            os.abort()
        case "SIGSEGV":
            ctypes.string_at(1)
        case "group":
            os.killpg(0, signal.SIGKILL)
        case "SIGTERM":
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.Event().wait()


def recurse(inputs: dict[str, Any], tracer: Tracer) -> int:
    """Never come to an end, but to that of the stack."""
    return recurse(inputs, tracer) + 1


def recurse_natively(inputs: dict[str, Any], tracer: Tracer) -> int:
    """Do that through native code, with the limit removed."""
    sys.setrecursionlimit(10**9)
    return max((0,), key=lambda _: recurse_natively(inputs, tracer))


def hog(inputs: dict[str, Any], tracer: Tracer) -> None:
    """Want more memory than there is."""
    resource.setrlimit(resource.RLIMIT_AS, (1024 * MIB, 1024 * MIB))
    kept = []
    while True:
        kept.append(bytearray(64 * MIB))


async def spin(inputs: dict[str, Any], tracer: Tracer) -> None:
    """Never let the loop go on, and ignore that somebody wants it to end."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    await tracer.debug("spinning")
    while True:
        pass


async def stubborn(inputs: dict[str, Any], tracer: Tracer) -> None:
    """Take no cancel for an answer."""
    await tracer.debug("stubborn")
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
