"""Connections to PostgreSQL, each with the works that wait for it in their order (`meshkit.postgres`)."""

import asyncio
import collections
import contextlib
import dataclasses
import zlib
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, TypeVar

import asyncpg

T = TypeVar("T")
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Work: TypeAlias = Callable[[Connection], Awaitable[T]]
_GROUP_MAX = 32
"""Works in one transaction: they hold their locks to its end."""
_CLOSE_S = 5.0


@dataclasses.dataclass(slots=True)
class Item:
    """A work, and who waits for it."""

    work: Work[Any]
    future: "asyncio.Future[Any]"
    until: float
    """When its patience is over, in the loop's time."""
    grouped: bool = False
    snapshot: bool = False


class Lane:
    """One connection, and the works that wait for it in their order."""

    def __init__(self, connect: Callable[[], Awaitable[Connection]]) -> None:
        self.own: collections.deque[Item] = collections.deque()
        self.woken = asyncio.Event()
        self.is_busy = False
        self._connect = connect
        self._connection: Connection | None = None

    async def connected(self) -> Connection:
        """Return the connection; a new one, if the last was lost."""
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._connect()
        return self._connection

    def drop(self) -> None:
        """Never use this connection again."""
        connection, self._connection = self._connection, None
        if connection is not None and not connection.is_closed():
            connection.terminate()


class Lanes:
    """Tasks with a connection each, that carry out what is put."""

    def __init__(
        self,
        count: int,
        connect: Callable[[], Awaitable[Connection]],
        carry_out: Callable[[Lane, list[Item]], Awaitable[None]],
    ) -> None:
        self._lanes = [Lane(connect) for _ in range(count)]
        self._carry_out = carry_out
        self._shared: collections.deque[Item] = collections.deque()
        self._idle: list[Lane] = []
        """The last to become idle is the first to be asked: few connections, while there is little to do."""
        self._tasks: list[asyncio.Task[None]] = []
        self._is_closing = False

    def start(self) -> None:
        """Begin; nothing is connected yet."""
        self._tasks = [asyncio.create_task(self._run(lane), name="postgres-lane") for lane in self._lanes]

    def put(self, item: Item, key: str) -> None:
        """Have an item carried out; those of one key one after the other."""
        if key:
            lane = self._lanes[zlib.crc32(key.encode(errors="surrogatepass")) % len(self._lanes)]
            lane.own.append(item)
            lane.woken.set()
            return
        self._shared.append(item)
        if self._idle:
            self._idle.pop().woken.set()

    async def close(self) -> None:
        """Carry out what waits, for a few seconds at most; then stop."""
        self._is_closing = True
        for lane in self._lanes:
            lane.woken.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_CLOSE_S)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for item in (*self._shared, *(item for lane in self._lanes for item in lane.own)):
            fail(item, asyncpg.InterfaceError("database is closed"))
        for lane in self._lanes:
            lane.drop()

    async def _run(self, lane: Lane) -> None:
        while True:
            batch = self._take(lane)
            if batch:
                try:
                    await self._carry_out(lane, batch)
                finally:  # only when it is cancelled is anybody left without an answer
                    for item in batch:
                        fail(item, asyncpg.InterfaceError("database is closed"))
                continue
            if self._is_closing:
                return
            self._idle.append(lane)
            await lane.woken.wait()
            lane.woken.clear()
            with contextlib.suppress(ValueError):
                self._idle.remove(lane)

    def _take(self, lane: Lane) -> list[Item]:
        """Return the next item, and those behind it that may share its commit."""
        # In turns: neither those with a key nor those without wait for all of the others.
        sources = (self._shared, lane.own) if lane.is_busy else (lane.own, self._shared)
        lane.is_busy = not lane.is_busy
        source = next((each for each in sources if each), None)
        if source is None:
            return []
        batch = [source.popleft()]
        while batch[0].grouped and source and source[0].grouped and len(batch) < _GROUP_MAX:
            batch.append(source.popleft())
        return batch


def fail(item: Item, error: BaseException) -> None:
    """Tell who waits that it has failed, unless they have heard of something already."""
    if not item.future.done():
        item.future.set_exception(error)
