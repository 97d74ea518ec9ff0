"""Work that lives as long as its service."""

import asyncio

from meshkit.tasks import background, either

DEADLINE_S = 10.0


async def test_work_ends_with_the_block() -> None:
    """It is cancelled, and has ended when the block is left."""
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with background(work(), "work"):
        await asyncio.sleep(0)
        assert not ended.is_set()

    assert ended.is_set()


async def test_a_crash_stops_the_service() -> None:
    """A service does not go on without a part of itself."""
    stopping = asyncio.Event()

    async def work() -> None:
        raise RuntimeError("broken")

    async with background(work(), "work", stopping), asyncio.timeout(DEADLINE_S):
        await stopping.wait()


async def test_a_wait_ends_by_change_stop_or_time() -> None:
    """Only the last of them is False."""
    changed, stop = asyncio.Event(), asyncio.Event()
    stopped = asyncio.ensure_future(stop.wait())

    assert not await either(changed, stopped, 0.01)
    changed.set()
    assert await either(changed, stopped, DEADLINE_S)
    changed.clear()
    stop.set()
    assert await either(changed, stopped, DEADLINE_S)
