"""Wake-ups by topic: a bus says "look", never what there is to see.

The store is the truth; whoever is woken reads it.  So a wake-up may come once for many changes, may come for nothing,
and one that is lost costs a poll interval and no more: every wait has a limit.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Protocol


class Waker(Protocol):
    """One subscriber's place on a bus."""

    async def wait(self, timeout_s: float) -> bool:
        """Wait for a wake-up since the last wait ended, or the end of the bus; return False after `timeout_s`."""


class Bus(Protocol):
    """Wakes those who wait for a topic."""

    @property
    def closed(self) -> bool:
        """Whether `close` was called: those who wait for ever look at it when they wake."""

    async def publish(self, topic: str) -> None:
        """Wake every subscriber of `topic`; it may happen a little later, on another machine."""

    def subscribe(self, *topics: str) -> contextlib.AbstractAsyncContextManager[Waker]:
        """Be woken for any of `topics` for the length of the block."""

    async def close(self) -> None:
        """Wake everybody: nothing will be published any more."""


class _Waker:
    def __init__(self) -> None:
        self.woken = asyncio.Event()

    async def wait(self, timeout_s: float) -> bool:
        if not self.woken.is_set():
            try:
                async with asyncio.timeout(timeout_s):
                    await self.woken.wait()
            except TimeoutError:
                return False
        self.woken.clear()
        return True


class MemoryBus:
    """A bus within one process."""

    def __init__(self) -> None:
        self._topics: dict[str, set[_Waker]] = {}
        self._closed = False

    @property
    def closed(self) -> bool:
        """As `Bus.closed`."""
        return self._closed

    async def publish(self, topic: str) -> None:
        """As `Bus.publish`."""
        for waker in self._topics.get(topic, ()):
            waker.woken.set()

    @contextlib.asynccontextmanager
    async def subscribe(self, *topics: str) -> AsyncIterator[_Waker]:
        """As `Bus.subscribe`."""
        waker = _Waker()
        for topic in topics:
            self._topics.setdefault(topic, set()).add(waker)
        if self._closed:
            waker.woken.set()
        try:
            yield waker
        finally:
            for topic in topics:
                wakers = self._topics[topic]
                wakers.discard(waker)
                if not wakers:
                    del self._topics[topic]

    async def close(self) -> None:
        """As `Bus.close`."""
        self._closed = True
        for wakers in list(self._topics.values()):
            for waker in wakers:
                waker.woken.set()
