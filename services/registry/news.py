"""Waking those who wait for a change: they are told that there is one, and look themselves what it is."""

import asyncio


class News:
    """Take `next()` before you look, wait for it after: nothing that changes meanwhile is missed."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def next(self) -> asyncio.Event:
        """Return what is set at the next `tell`."""
        return self._next

    def tell(self) -> None:
        """Wake everybody who waits."""
        told, self._next = self._next, asyncio.Event()
        told.set()


async def told(event: asyncio.Event, timeout_s: float) -> bool:
    """Wait for `event`; return False after `timeout_s`."""
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return False
    return True
