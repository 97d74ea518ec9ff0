"""Tasks that live as long as their service, and waits that a stop ends."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import structlog

log = structlog.get_logger()


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


def _note_crash(task: "asyncio.Task[None]", stopping: asyncio.Event | None) -> None:
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
