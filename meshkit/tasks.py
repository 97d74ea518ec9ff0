"""Tasks that live as long as their service, and waits that a stop ends."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

import structlog

log = structlog.get_logger()
T = TypeVar("T")


@contextlib.asynccontextmanager
async def background(
    work: Coroutine[Any, Any, None], name: str, stopping: asyncio.Event | None = None
) -> AsyncIterator[None]:
    """Run work that does not end by itself beside the block, and cancel it behind.

    If it crashes it is logged and `stopping` is set: a service that has lost a part of itself ends, and is started
    again.
    """
    task = asyncio.create_task(work, name=name)
    task.add_done_callback(lambda done: _note_crash(done, stopping))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])  # what it may have raised has been logged


class Tasks:
    """Owns tasks that begin and end while their service runs.  One that crashes is logged."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> "asyncio.Task[Any]":
        """Begin `work` now; it is ours until it ends."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._note_end)
        return task

    async def complete(self, work: Coroutine[Any, Any, T], name: str) -> T:
        """Await work that goes on to its end though its caller is cancelled; what it raises is the caller's to see."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(lambda done: _note_crash(done, None))  # nobody else will look at it
            raise

    async def close(self, patience_s: float = 1.0) -> None:
        """Wait a moment for what was begun, then cancel the rest."""
        if self._running:
            await asyncio.wait(set(self._running), timeout=patience_s)
        left = set(self._running)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _note_end(self, task: "asyncio.Task[Any]") -> None:
        self._running.discard(task)
        _note_crash(task, None)


def _note_crash(task: "asyncio.Task[Any]", stopping: asyncio.Event | None) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("task crashed", task=task.get_name(), exc_info=error)
        if stopping is not None:
            stopping.set()


async def either(changed: asyncio.Event, stopped: "asyncio.Future[Any]", timeout_s: float) -> bool:
    """Wait for a change or the stop; return False after `timeout_s`."""
    waiter = asyncio.ensure_future(changed.wait())
    try:
        done, _ = await asyncio.wait((waiter, stopped), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        return bool(done)
    finally:
        waiter.cancel()
