"""Flows that fork, with a child that goes on as if it were the job."""

import asyncio
import gc
import os
import pathlib
import signal
from typing import Any

from agentmesh import Tracer
from agentmesh.host.talk.frames import Channel
from agentmesh.host.talk.outgoing import Outgoing


async def come_back(inputs: dict[str, Any], tracer: Tracer) -> int:
    """Fork while more waits on the loop, and have the child return; return how often that was done."""
    done = pathlib.Path(inputs["file"])
    await tracer.debug("has begun")  # nothing of this job's is next
    asyncio.get_running_loop().call_soon(_note, done)
    pid = os.fork()
    if pid == 0:
        return 0
    await asyncio.to_thread(os.waitpid, pid, 0)
    with open(done) as file:
        return len(file.read())


def _note(path: pathlib.Path) -> None:
    with path.open("a") as file:
        file.write("x")


async def return_locked(inputs: dict[str, Any], tracer: Tracer) -> str:
    """Fork at a moment at which something is being said, and have the child return."""
    pid = _fork_locked()
    if pid:
        await asyncio.to_thread(os.waitpid, pid, 0)
    return "returned"


async def ask_locked(inputs: dict[str, Any], tracer: Tracer) -> str:
    """Fork at a moment at which something is being said, and have the child ask a question."""
    pid = _fork_locked()
    if pid == 0:
        await tracer.lock("ask")
    await asyncio.to_thread(os.waitpid, pid, 0)
    return "returned"


def _fork_locked() -> int:
    """Fork as if a thread held, at that moment, the lock of all that is said; that thread is not in the child."""
    locks = [item._lock for item in gc.get_objects() if type(item) in (Channel, Outgoing)]
    assert locks
    for lock in locks:
        lock.acquire()
    pid = os.fork()
    if pid:
        for lock in locks:
            lock.release()
    return pid


async def wait(inputs: dict[str, Any], tracer: Tracer) -> str:
    """Fork, and have the child wait on the loop while threads wake it a hundred times."""
    pid = os.fork()
    if pid == 0:
        await asyncio.sleep(3600)
    for _ in range(100):
        await asyncio.to_thread(int)
    os.kill(pid, signal.SIGKILL)
    await asyncio.to_thread(os.waitpid, pid, 0)
    return "woken"


async def return_in_a_pool(inputs: dict[str, Any], tracer: Tracer) -> str:
    """Fork in a thread of the loop's, and have the child return there."""
    pid = await asyncio.to_thread(os.fork)
    await asyncio.to_thread(os.waitpid, pid, 0)
    return "returned"
