"""Flows that misbehave with what belongs to their process: its children, its streams, its loop, its end."""

import asyncio
import atexit
import builtins
import contextlib
import gc
import io
import logging
import multiprocessing
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import threading
import time
import types
import warnings
import weakref
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from agentmesh import Tracer

# -- processes and threads -------------------------------------------------------------------------------------------


def double(number: int) -> int:
    """Be the work of a pool."""
    # In one write: an unbuffered print is two, and between them others write to the same pipe.
    print(f"doubles {number}\n", end="", flush=True)
    return 2 * number


def pool(inputs: dict[str, Any], tracer: Tracer) -> list[int]:
    """Have processes work, of each kind."""
    context = multiprocessing.get_context(inputs["context"])
    with context.Pool(2) as workers:
        first: list[int] = workers.map(double, range(5))
    with ProcessPoolExecutor(2, mp_context=context) as executor:
        return first + list(executor.map(double, range(5)))


def run_program(inputs: dict[str, Any], tracer: Tracer) -> int:
    """Have a program write to its output, and a shell leave one behind that does not end."""
    subprocess.run([sys.executable, "-c", "print('from a program', end='')"], check=True)
    subprocess.run(["sh", "-c", "sleep 1000 &"], check=True)
    return subprocess.run(["sh", "-c", "exit 7"], check=False).returncode


def threads(inputs: dict[str, Any], tracer: Tracer) -> str:
    """Leave threads behind, one that counts and one that says things for ever."""

    def say() -> None:
        while True:
            with contextlib.suppress(Exception):
                tracer.debug_sync("still here")
            time.sleep(0.001)

    threading.Thread(target=time.sleep, args=(1000,)).start()
    threading.Thread(target=say, daemon=True).start()
    return "left"


async def fork(inputs: dict[str, Any], tracer: Tracer) -> str:
    """Fork, and have the child return as well."""
    children = []
    for _ in range(5):
        pid = os.fork()
        if pid == 0:
            print("from the child")
            return "the child's"
        children.append(pid)
    await asyncio.to_thread(lambda: [os.waitpid(child, 0) for child in children])
    return "the parent's"


def fork_in_a_thread(inputs: dict[str, Any], tracer: Tracer) -> str:
    """Fork in a thread, and raise in the child."""
    pid = os.fork()
    if pid == 0:
        print("from the child", flush=True)
        raise ValueError("the child's")
    os.waitpid(pid, 0)
    return "the parent's"


# -- what belongs to the process -------------------------------------------------------------------------------------


async def close_descriptors(inputs: dict[str, Any], tracer: Tracer) -> str:
    """Close the standard descriptors, and have others in their places."""
    await tracer.debug("before")
    for fd in (0, 1, 2):
        os.close(fd)
    with open(os.devnull, "w") as instead:
        print("printed", flush=True)
        await tracer.debug(f"after {instead.fileno()}")
    return "done"


def close_all_descriptors(inputs: dict[str, Any], tracer: Tracer) -> None:
    """Close every descriptor, as programs do that become daemons."""
    os.closerange(3, 4096)


async def close_all_and_stay(inputs: dict[str, Any], tracer: Tracer) -> None:
    """Close every descriptor, and go on where nobody hears it."""
    os.closerange(3, 4096)
    time.sleep(3600)


async def turn_descriptors(inputs: dict[str, Any], tracer: Tracer) -> str:
    """Have another file in the place of standard output."""
    with open(inputs["file"], "w") as instead:
        os.dup2(instead.fileno(), 1)
    os.write(1, b"into the file\n")
    print("printed")
    return "done"


async def close_streams(inputs: dict[str, Any], tracer: Tracer) -> str:
    """Close Python's streams."""
    print("printed", end="")
    sys.stdout.close()
    sys.stderr.close()
    with contextlib.suppress(ValueError):
        print("lost")
    await tracer.debug("after")
    return "done"


async def replace_streams(inputs: dict[str, Any], tracer: Tracer) -> str:
    """Have something else in the place of Python's streams, for good and while it waits."""
    with contextlib.redirect_stdout(io.StringIO()) as taken:
        print("taken")
        await tracer.lock("ask")
        print("taken again")
    print(taken.getvalue().split())
    sys.stdout = sys.stderr = io.StringIO()
    print("lost")
    await tracer.debug("after")
    return "done"


async def log_badly(inputs: dict[str, Any], tracer: Tracer) -> str:
    """Set logging up, shut it down, and log."""
    logging.basicConfig(force=True, level=logging.INFO, format="%(message)s")
    logging.getLogger("hostile").warning("logged")
    logging.shutdown()
    logging.getLogger("hostile").warning("logged %s", "again")
    logging.getLogger("hostile").warning("%d", "no number")
    logging.getLogger().handlers.clear()
    return "done"


async def move(inputs: dict[str, Any], tracer: Tracer) -> str:
    """Change the folder to one that is deleted then, and the environment."""
    folder = tempfile.mkdtemp()
    os.chdir(folder)
    os.rmdir(folder)
    for name in list(os.environ):
        del os.environ[name]
    os.environ["KODOSUMI_FID"] = "somebody else's"
    os.umask(0o777)
    return tracer.fid


async def patch_builtins(inputs: dict[str, Any], tracer: Tracer) -> str:
    """Have something else in the place of what everybody uses."""
    time.time = lambda: float("nan")
    for name in inputs["names"]:
        setattr(builtins, name, None)
    await tracer.debug("patched")
    return "done"


async def starve(inputs: dict[str, Any], tracer: Tracer) -> str:
    """Allow itself nothing."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    print("printed")
    await asyncio.to_thread(print, "in a thread")
    return "done"


async def warn(inputs: dict[str, Any], tracer: Tracer) -> str:
    """Warn, and make an error of it."""
    warnings.simplefilter("error")
    warnings.warn("no", ResourceWarning, stacklevel=1)
    return "done"


async def collect(inputs: dict[str, Any], tracer: Tracer) -> str:
    """Make much that holds itself, with finalizers that fail, and collect at each step."""

    class Node:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            raise ValueError("in a finalizer")

    gc.set_threshold(1)
    for _ in range(3000):
        Node()
    gc.disable()
    return "done"


# -- the loop --------------------------------------------------------------------------------------------------------


async def misuse_loop(inputs: dict[str, Any], tracer: Tracer) -> str:
    """Do to the loop what it is not for."""
    loop = asyncio.get_running_loop()
    match inputs["how"]:
        case "run":
            waits = asyncio.sleep(0)
            try:
                asyncio.run(waits)
            finally:
                waits.close()
        case "run_until_complete":
            waits = asyncio.sleep(0)
            try:
                loop.run_until_complete(waits)
            finally:
                waits.close()
        case "stop":
            loop.stop()
            await asyncio.sleep(0.01)
        case "close":
            loop.close()
        case "forget":
            asyncio.set_event_loop(None)
            loop.set_exception_handler(lambda loop, context: 1 // 0)
            loop.call_soon(_fail)
            await asyncio.sleep(0.01)
        case "cancel all":
            for task in asyncio.all_tasks():
                task.cancel()
            await asyncio.sleep(3600)
        case "cancel others":
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            await asyncio.sleep(0)
        case "leave tasks":
            for _ in range(1000):
                asyncio.create_task(asyncio.sleep(3600))  # noqa: RUF006
            asyncio.create_task(_fail_later())  # noqa: RUF006
            await asyncio.sleep(0.01)
    return "done"


def _fail() -> None:
    raise ValueError("in a callback")


async def _fail_later() -> None:
    _fail()


def run_own_loop(inputs: dict[str, Any], tracer: Tracer) -> str:
    """Run a loop of its own, in a thread, and leave tasks on it."""

    async def main() -> str:
        asyncio.create_task(asyncio.sleep(3600))  # noqa: RUF006
        await tracer.debug("on a loop of its own")
        return "done"

    return asyncio.run(main())


# -- output ----------------------------------------------------------------------------------------------------------


async def write(inputs: dict[str, Any], tracer: Tracer) -> str:
    """Write in every way that a program has."""
    print("Name? ", end="", flush=True)
    await tracer.lock("ask")
    print("Ann")
    for percent in (10, 20, 30):
        sys.stdout.write(f"\r{percent}%")
        sys.stdout.flush()
    sys.stdout.write("\rready\n")
    sys.stdout.writelines(["one\n", "tw", "o\n"])
    sys.stdout.buffer.write("Grü".encode()[:-1])
    sys.stdout.buffer.flush()
    sys.stdout.buffer.write("ü".encode()[1:] + "ße\n".encode())
    print(b"bytes", "lone \ud800")
    print("x" * 100_000)
    print(sys.stdout.isatty(), sys.stdout.encoding, sys.stdout.fileno(), isinstance(sys.stdout, io.TextIOBase))
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    print("\udfff")
    print("the end", end="")
    return "done"


def write_from_programs(inputs: dict[str, Any], tracer: Tracer) -> None:
    """Have a program write a part of a line, wait, and write the rest; characters in two parts."""
    code = "import os, sys; os.write(1, b'half \\xc3'); sys.stdin.read(); os.write(1, b'\\xbc line\\r\\nno end')"
    program = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    tracer.lock_sync("ask")
    program.communicate()


# -- the end ---------------------------------------------------------------------------------------------------------


async def leave_open(inputs: dict[str, Any], tracer: Tracer) -> str:
    """Close nothing, and leave the rest to exit handlers."""
    kept = open(pathlib.Path(inputs["folder"], "open"), "w")  # noqa: SIM115
    kept.write("flushed")
    sys.modules["kept"] = types.ModuleType("kept")
    sys.modules["kept"].file = kept  # type: ignore[attr-defined]
    atexit.register(pathlib.Path(inputs["folder"], "atexit").write_text, "ran")
    finalized = pathlib.Path(inputs["folder"], "finalized")
    sys.modules["kept"].finalizer = weakref.finalize(kept, finalized.write_text, "ran")  # type: ignore[attr-defined]
    atexit.register((1).__truediv__, 0)
    atexit.register(_fail)
    return "done"


async def never_exit(inputs: dict[str, Any], tracer: Tracer) -> str:
    """Have an exit handler that never ends."""
    atexit.register(threading.Event().wait)
    return "done"


async def stream(inputs: dict[str, Any], tracer: Tracer) -> Any:
    """Be an async generator."""
    yield "one"
    yield "two"
