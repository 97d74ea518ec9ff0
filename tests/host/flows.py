"""An app for the tests of hosts: flows that do one thing each."""

import asyncio
import logging
import multiprocessing
import os
import pathlib
import socket
import sys
import tempfile
import threading
from typing import Any

from agentmesh import ServeAPI, Tracer
from agentmesh import forms as F  # noqa: N812

app = ServeAPI()
log = logging.getLogger("tests.host.flows")
log.addHandler(logging.StreamHandler())  # as apps do: at their import, for whatever stderr is then


@app.lock("ask")
def ask(data: dict[str, Any]) -> F.Model:
    """Make a form as large as told."""
    return F.Model(F.Markdown("x" * data.get("size", 0)), F.InputText(label="A", name="a"))


async def noop(inputs: dict[str, Any], tracer: Tracer) -> dict[str, Any]:
    """Return the inputs."""
    return inputs


async def name_threads(inputs: dict[str, Any], tracer: Tracer) -> None:
    """Have each thread that is started from now on be named."""

    start = threading.Thread.start

    def start_and_say(self: threading.Thread) -> None:
        os.write(2, b"a thread is started\n")
        start(self)

    threading.Thread.start = start_and_say  # type: ignore[method-assign]
    if inputs.get("thread"):
        await asyncio.to_thread(int)


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


async def ask_once(inputs: dict[str, Any], tracer: Tracer) -> Any:
    """Wait on a lock."""
    return await tracer.lock("ask")


async def output(inputs: dict[str, Any], tracer: Tracer) -> None:
    """Write a name in every way that Python has, taking turns with whoever else does."""
    name = inputs["name"]
    for _ in range(3):
        print(f"{name} prints")
        await asyncio.sleep(0)
        print(f"{name} to stderr", file=sys.stderr)
        await asyncio.to_thread(print, f"{name} in a thread")
        await asyncio.create_task(_print(f"{name} in a task"))
        log.warning("%s logs", name)


async def _print(text: str) -> None:
    print(text)


async def block(inputs: dict[str, Any], tracer: Tracer) -> str:
    """Block the loop until somebody writes to the named pipe `gate`."""
    await tracer.debug("about to block")
    return _read(inputs["gate"])


def _read(gate: str) -> str:
    return pathlib.Path(gate).read_text()


def in_a_thread(inputs: dict[str, Any], tracer: Tracer) -> str:
    """Wait in a thread until somebody writes to the named pipe `gate`."""
    tracer.debug_sync("in a thread")
    return _read(inputs["gate"])


async def stubborn(inputs: dict[str, Any], tracer: Tracer) -> None:
    """Ignore every wish to stop."""
    await tracer.debug("ready")
    while True:
        try:
            await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            await tracer.debug("no")


async def leave_behind(inputs: dict[str, Any], tracer: Tracer) -> str:
    """End while something of it goes on."""

    async def go_on() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.to_thread(pathlib.Path(inputs["trace"]).write_text, "cancelled")

    task = asyncio.create_task(go_on())
    await asyncio.sleep(0)
    return task.get_name()


async def raise_in_a_task(inputs: dict[str, Any], tracer: Tracer) -> str:
    """Have a task of its own raise what ends a program, and one be forgotten."""

    async def leave() -> None:
        raise SystemExit(3)

    task = asyncio.create_task(leave())
    await asyncio.sleep(0.01)
    return "left" if task.done() else "not yet"


def leave(inputs: dict[str, Any], tracer: Tracer) -> None:
    """End the process."""
    os._exit(3)


async def count(inputs: dict[str, Any], tracer: Tracer) -> list[Any]:
    """Tell how the job is run: the process, its threads, what is in the environment."""
    return [os.getpid(), threading.active_count(), os.environ.get("KODOSUMI_FID"), tracer.fid]


async def hog(inputs: dict[str, Any], tracer: Tracer) -> None:
    """Compute until there is a file `gate`."""
    gate = pathlib.Path(inputs["gate"])
    while not _is_open(gate):
        sum(range(1000))


def _is_open(gate: pathlib.Path) -> bool:
    return gate.exists()


async def breed(inputs: dict[str, Any], tracer: Tracer) -> None:
    """Start a program that starts more programs, say which, and wait."""
    script = "for n in 1 2 3 4 5 6 7 8; do sleep 600 & done; echo $!; wait"
    child = await asyncio.create_subprocess_exec("sh", "-c", script, stdout=asyncio.subprocess.PIPE)
    assert child.stdout is not None
    await tracer.debug((await child.stdout.readline()).decode())
    await asyncio.Event().wait()


def ask_in_a_thread(inputs: dict[str, Any], tracer: Tracer) -> Any:
    """Wait on a lock, in a thread."""
    return tracer.lock_sync("ask")


def house(inputs: dict[str, Any], tracer: Tracer) -> dict[str, str]:
    """Leave a file at home and one for the moment; return where that is, where it works, and in which process."""
    home = pathlib.Path.home()
    (home / "kept").mkdir(exist_ok=True)
    (home / "kept" / "file").touch()
    handle, name = tempfile.mkstemp()
    os.close(handle)
    return {"home": str(home), "tmp": str(pathlib.Path(name).parent), "cwd": os.getcwd(), "pid": str(os.getpid())}
