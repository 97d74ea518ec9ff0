"""Wake-ups between those who write and those who wait: a bus says "look", never what there is to see.

The store is the truth.  A publisher writes, then publishes a topic such as `jobs/4c1f`; a subscriber subscribes, looks
at the store, and waits for its waker before it looks again.  It must also look by itself from time to time, because a
bus between processes may lose a message: a lost one then costs one poll interval, and nothing else.

`MemoryBus` connects the rooms of one process; `meshkit.redis.bus` those of several, and `meshkit.buses` knows which a
service has.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection
from typing import Protocol

_ROUSED_AT_ONCE = 50
_ROUSE_PAUSE_S = 0.05
"""Between those: a thousand a second."""


class Waker(Protocol):
    """One subscriber's bell.  It is a flag, not a queue: any number of messages between two waits are one."""

    @property
    def closed(self) -> bool:
        """Whether the bus has been closed: the service stops, and a stream that waits here should end."""

    async def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until something was published since the last wait, and return whether it was.

        False comes after `timeout_s`.  True comes at once if it was published before the call, and once when the bus is
        closed: who then waits on is not woken any more, and cannot spin.  One task may wait at a time.
        """


class Bus(Protocol):
    """Carries wake-ups by topic.  `tests/meshkit/test_bus.py` holds every one to this."""

    @property
    def linked(self) -> bool:
        """Whether what is published elsewhere is heard at once; else subscribers are woken at an interval, to look."""

    async def publish(self, *topics: str) -> None:
        """Wake everybody who has subscribed to one of the topics.  Never fails because nobody has, nor waits for them.

        What it cannot deliver it may lose.
        """

    def subscribe(self, *topics: str) -> contextlib.AbstractAsyncContextManager[Waker]:
        """Hear the topics for the length of the block.

        Nothing that is published once the block has been entered is missed: look at the store behind that, not before.
        """

    def close(self) -> None:
        """Wake everybody here for good, because the service stops."""


class MemoryBus:
    """A bus within one process, on one event loop.  A message to a topic costs its subscribers and nobody else."""

    def __init__(self) -> None:
        self._topics: dict[str, set[_Waker]] = {}
        self._closed = False

    @property
    def linked(self) -> bool:
        """There is nobody elsewhere."""
        return True

    async def publish(self, *topics: str) -> None:
        """Wake the topics' subscribers now."""
        for topic in topics:
            for waker in self._topics.get(topic, ()):
                waker.wake()

    @contextlib.asynccontextmanager
    async def subscribe(self, *topics: str) -> AsyncIterator[Waker]:
        """Hear the topics for the length of the block."""
        waker = _Waker(closed=self._closed)
        for topic in topics:
            self._topics.setdefault(topic, set()).add(waker)
        try:
            yield waker
        finally:
            self._leave(waker, topics)

    def close(self) -> None:
        """Wake everybody for good."""
        self._closed = True
        for wakers in self._topics.values():
            for waker in wakers:
                waker.close()

    async def rouse(self) -> None:
        """Wake everybody, a few at a time, as what each of them does then is a look at the store."""
        everybody = list({waker for wakers in self._topics.values() for waker in wakers})
        for start in range(0, len(everybody), _ROUSED_AT_ONCE):
            for waker in everybody[start : start + _ROUSED_AT_ONCE]:
                waker.wake()
            await asyncio.sleep(_ROUSE_PAUSE_S)

    def _leave(self, waker: "_Waker", topics: Collection[str]) -> None:
        for topic in topics:
            wakers = self._topics.get(topic)
            if wakers is not None:
                wakers.discard(waker)
                if not wakers:
                    del self._topics[topic]


class _Waker:
    def __init__(self, *, closed: bool) -> None:
        self.closed = closed
        self._rung = closed
        self._waiting: asyncio.Future[None] | None = None

    def wake(self) -> None:
        self._rung = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def close(self) -> None:
        self.closed = True
        self.wake()

    async def wait(self, timeout_s: float | None = None) -> bool:
        if not self._rung:
            # A future and a timer, not a task: thousands of streams wait like this.
            loop = asyncio.get_running_loop()
            self._waiting = loop.create_future()
            timer = loop.call_later(timeout_s, _settle, self._waiting) if timeout_s is not None else None
            try:
                await self._waiting
            finally:
                self._waiting = None
                if timer is not None:
                    timer.cancel()
        rung, self._rung = self._rung, False
        return rung


def _settle(waiting: "asyncio.Future[None]") -> None:
    if not waiting.done():
        waiting.set_result(None)
