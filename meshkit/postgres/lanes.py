"""Connections to PostgreSQL, each with the works that wait for it in their order (`meshkit.postgres`)."""

import asyncio
import collections
import contextlib
import dataclasses
import enum
import zlib
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, TypeAlias, TypeVar

import asyncpg

A = TypeVar("A")
T = TypeVar("T")
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Work: TypeAlias = Callable[[Connection], Awaitable[T]]
_GROUP_MAX = 32
"""What is carried out together: it holds its locks to the end."""
_LOOKED_AT = 4 * _GROUP_MAX
"""So far down its line a lane looks for what can be carried out together."""
_CLOSE_S = 5.0


class Alone(enum.Enum):
    """What came of something that has yet to be carried out."""

    ALONE = "alone"
    """It wants a transaction of its own."""


Together: TypeAlias = Callable[[Connection, Sequence[A]], Awaitable[Sequence[T | Exception | Alone]]]
"""Carries out all that is asked for, in order; returns what came of each (`Database.join`)."""


@dataclasses.dataclass(slots=True)
class Item:
    """A work, and who waits for it."""

    work: Work[Any]
    future: "asyncio.Future[Any]"
    until: float
    """When its patience is over, in the loop's time."""
    snapshot: bool = False
    key: str = ""
    together: Together[Any, Any] | None = None
    """What carries it out, with others of its kind; `work` is the same for it alone."""
    asked: Any = None


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
        carry_out: Callable[[Lane, Item], Awaitable[None]],
        joint: "Joint | None" = None,
    ) -> None:
        self._lanes = [Lane(connect) for _ in range(count)]
        self._carry_out = carry_out
        self._joint = joint
        self._shared: collections.deque[Item] = collections.deque()
        self._idle: list[Lane] = []
        """The last to become idle is the first to be asked: few connections, while there is little to do."""
        self._tasks: list[asyncio.Task[None]] = []
        self._apart: collections.Counter[str] = collections.Counter()
        """Keys of what waits in a lane or is under way there: what is put behind it stays behind it."""
        self._is_closing = False

    def start(self) -> None:
        """Begin; nothing is connected yet."""
        self._tasks = [asyncio.create_task(self._run(lane), name="postgres-lane") for lane in self._lanes]
        if self._joint is not None:
            self._tasks.append(asyncio.create_task(self._run_joint(self._joint), name="postgres-joint-lane"))

    def put(self, item: Item) -> None:
        """Have an item carried out; those of one key one after the other."""
        if self._joint is not None and (item.together is not None or item.key in self._joint.keys):
            self._joint.put(item)
        else:
            self._put_apart(item)

    async def close(self) -> None:
        """Carry out what waits, for a few seconds at most; then stop."""
        self._is_closing = True
        lanes = self._lanes if self._joint is None else [*self._lanes, self._joint.lane]
        for lane in lanes:
            lane.woken.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_CLOSE_S)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for item in (*self._shared, *(item for lane in lanes for item in lane.own)):
            fail(item, asyncpg.InterfaceError("database is closed"))
        for lane in lanes:
            lane.drop()

    def _put_apart(self, item: Item) -> None:
        if item.key:
            self._apart[item.key] += 1
            lane = self._lanes[zlib.crc32(item.key.encode(errors="surrogatepass")) % len(self._lanes)]
            lane.own.append(item)
            lane.woken.set()
            return
        self._shared.append(item)
        if self._idle:
            self._idle.pop().woken.set()

    async def _run(self, lane: Lane) -> None:
        while True:
            item = self._take(lane)
            if item is not None:
                try:
                    await self._carry_out(lane, item)
                finally:
                    _subtract(self._apart, item.key)
                    # Only when it is cancelled is anybody left without an answer.
                    fail(item, asyncpg.InterfaceError("database is closed"))
                continue
            if self._is_closing and (self._joint is None or not self._joint.keys):
                return
            self._idle.append(lane)
            await lane.woken.wait()
            lane.woken.clear()
            with contextlib.suppress(ValueError):
                self._idle.remove(lane)

    def _take(self, lane: Lane) -> Item | None:
        # In turns: neither those with a key nor those without wait for all of the others.
        sources = (self._shared, lane.own) if lane.is_busy else (lane.own, self._shared)
        lane.is_busy = not lane.is_busy
        source = next((each for each in sources if each), None)
        return None if source is None else source.popleft()

    async def _run_joint(self, joint: "Joint") -> None:
        while True:
            batch, apart = joint.take(self._apart)
            for item in apart:
                self._put_apart(item)
            if batch:
                left = batch
                try:
                    left = await joint.carry_out(joint.lane, batch)
                except BaseException:
                    for item in batch:
                        fail(item, asyncpg.InterfaceError("database is closed"))
                    raise
                finally:
                    joint.leave(batch)
                for item in left:
                    self._put_apart(item)
            elif not joint.lane.own:
                if self._is_closing:
                    for lane in self._lanes:  # nothing comes to them from here any more
                        lane.woken.set()
                    return
                await joint.lane.woken.wait()
                joint.lane.woken.clear()


class Joint:
    """The lane of what is carried out together: one, so that as much as waits shares a commit."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[Connection]],
        carry_out: Callable[[Lane, list[Item]], Awaitable[list[Item]]],
    ) -> None:
        """`carry_out` returns what is left to be carried out in another lane."""
        self.lane = Lane(connect)
        self.carry_out = carry_out
        self.keys: collections.Counter[str] = collections.Counter()
        """Of what waits here or is under way."""

    def put(self, item: Item) -> None:
        """Let an item wait."""
        self.keys[item.key] += 1
        self.lane.own.append(item)
        self.lane.woken.set()

    def take(self, elsewhere: Collection[str]) -> tuple[list[Item], list[Item]]:
        """Return what is to be carried out together, and what belongs into another lane.

        `elsewhere` are the keys of what is in other lanes; what is behind that goes there, too.
        """
        batch: list[Item] = []
        apart: list[Item] = []
        passed: list[Item] = []
        apart_keys: set[str] = set()
        passed_keys: set[str] = set()
        own = self.lane.own
        while own and len(batch) < _GROUP_MAX and len(passed) < _LOOKED_AT:
            item = own.popleft()
            if item.key in passed_keys or (batch and item.together not in (None, batch[0].together)):
                passed.append(item)
                passed_keys.add(item.key)
            elif item.together is None or item.key in elsewhere or item.key in apart_keys:
                if any(one.key == item.key for one in batch):  # it goes behind what is under way here
                    passed.append(item)
                    passed_keys.add(item.key)
                else:
                    apart.append(item)
                    apart_keys.add(item.key)
            else:
                batch.append(item)
        own.extendleft(reversed(passed))
        self.leave(apart)
        return batch, apart

    def leave(self, items: Sequence[Item]) -> None:
        """Know that items are not here any more."""
        for item in items:
            _subtract(self.keys, item.key)


def _subtract(keys: "collections.Counter[str]", key: str) -> None:
    if key in keys:
        keys[key] -= 1
        if keys[key] <= 0:
            del keys[key]


def fail(item: Item, error: BaseException) -> None:
    """Tell who waits that it has failed, unless they have heard of something already."""
    if not item.future.done():
        item.future.set_exception(error)
