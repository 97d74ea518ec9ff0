"""Jobs' logs, each watched once for all who follow it here.

The first who follows a job has the runner asked (`joblog.follow`), others join, and with the last who leaves it ends.
What came last is at hand, in bounded memory.  Whoever is further behind, as those who come late or read slowly, is
served by a watch of their own until they have caught up; so everybody gets every event behind the one they name, once.
The next message is read when the fastest has got the one before: nothing is read for nobody.
"""

import asyncio
import bisect
import collections
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Hashable
from typing import Any, TypeVar

import grpc
from agentmesh_protos.runner.v1 import job_pb2, job_pb2_grpc

from gateway.core import joblog, states
from meshkit.errors import Denied, Unauthenticated, Unavailable
from meshkit.principal import caller
from meshkit.tasks import Tasks

RECENT_BYTES_MAX = 64 * 1024
"""Of one job's events at hand, as gRPC takes in of a stream; the last message always is."""
_EVENT_BYTES = 256
"""What an event costs beside what it says."""
_BEHIND_MAX = 500
"""How many events back a watch begins for who opens it: those at the tip would wait for them."""
# Whoever asked may not, any more; that is no answer to others.
_PERSONAL = frozenset((grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED))

T = TypeVar("T")
Key = tuple[str, bool]
"""A job's name, and whether who watches sees of its events what operators do."""


class Batch:
    """Events in a row, at least one; the same object for all who get it."""

    __slots__ = ("_shown", "events")

    def __init__(self, events: joblog.Events) -> None:
        self.events = events
        self._shown: dict[Hashable, asyncio.Future[Any]] = {}

    @property
    def last_seq(self) -> int:
        """The number of the last event."""
        return self.events[-1].seq

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        return sum(event.ByteSize() + _EVENT_BYTES for event in self.events)

    async def once(self, key: Hashable, make: Callable[["Batch"], Awaitable[T]]) -> T:
        """Return what `make` makes of this, made by the first who asks with this key.

        Who asks meanwhile gets what came of it, and makes it themselves if the first has gone or may not.
        """
        while (shown := self._shown.get(key)) is not None:
            await asyncio.wait((shown,))
            if not shown.cancelled():
                return shown.result()  # type: ignore[no-any-return]
        shown = self._shown[key] = asyncio.get_running_loop().create_future()
        try:
            made = await make(self)
        except BaseException as error:
            del self._shown[key]
            if isinstance(error, Exception) and not _is_personal(error):
                shown.set_exception(error)
                shown.exception()  # nobody else may have asked
            else:
                shown.cancel()
            raise
        shown.set_result(made)
        return made


class _Watch:
    """What a watch has brought last, and those who wait for more."""

    def __init__(self, start: int) -> None:
        self.start = start
        """What is behind this event is at hand."""
        self.last_seq = start
        self.followers = 0
        self.asker: object = None
        """The follower on whose behalf the runner is asked."""
        self.over = False
        self.error: Exception | None = None
        self._batches: collections.deque[Batch] = collections.deque()
        self._bytes = 0
        self._moved = asyncio.Event()
        self._wanted = asyncio.Event()

    def after(self, seq: int) -> Batch | None:
        """Return the events behind `seq`, at least `start`, as far as they came together; None if there are none."""
        if seq >= self.last_seq:
            return None
        batch = self._batches[bisect.bisect_right(self._batches, seq, key=lambda each: each.last_seq)]
        return batch if batch.events[0].seq > seq else Batch([event for event in batch.events if event.seq > seq])

    async def moved(self) -> None:
        """Wait for what comes next: events, the end or an error."""
        self._wanted.set()
        await self._moved.wait()

    async def push(self, batch: Batch) -> None:
        """Hand out what came; return when somebody wants more."""
        self._batches.append(batch)
        self._bytes += batch.size
        self.last_seq = batch.last_seq
        while self._bytes > RECENT_BYTES_MAX and len(self._batches) > 1:
            dropped = self._batches.popleft()
            self._bytes -= dropped.size
            self.start = dropped.last_seq
        self._wanted.clear()
        self.wake()
        await self._wanted.wait()

    def wake(self) -> None:
        """Have those who wait look."""
        self._moved.set()
        self._moved = asyncio.Event()


class Watches:
    """The watches of one process."""

    def __init__(self, jobs: job_pb2_grpc.JobServiceStub) -> None:
        self._jobs = jobs
        self._watches: dict[Key, _Watch] = {}
        self._running: dict[_Watch, asyncio.Task[None]] = {}
        self._tasks = Tasks()

    @classmethod
    @contextlib.asynccontextmanager
    async def of(cls, jobs: job_pb2_grpc.JobServiceStub) -> "AsyncIterator[Watches]":
        """Watch for the length of the block."""
        watches = cls(jobs)
        try:
            yield watches
        finally:
            await watches._tasks.close(patience_s=0)

    async def follow(self, job: job_pb2.Job, after_seq: int) -> AsyncGenerator[Batch, None]:
        """Yield the events of a job behind `after_seq`, until its log is complete.

        `job` is what the runner has shown to this caller, who may see its log therefore.  Raises
        `grpc.aio.AioRpcError`, and `Unavailable` when the gateway stops.
        """
        if job.state in states.TERMINAL:  # nobody waits for anything
            async with contextlib.aclosing(self._alone(job.name, after_seq)) as rest:
                async for batch in rest:
                    yield batch
            return
        key = (job.name, caller().sees_all)
        me = object()
        watch = self._watches.get(key)
        if watch is None:
            # Who names an event that there is not yet must not have others wait for it.
            is_near = job.last_seq - after_seq <= _BEHIND_MAX
            watch = self._watches[key] = _Watch(min(after_seq, job.last_seq) if is_near else job.last_seq)
            self._ask(watch, key, me)
        watch.followers += 1
        try:
            async with contextlib.aclosing(self._followed(watch, key, me, after_seq)) as batches:
                async for batch in batches:
                    yield batch
        finally:
            watch.followers -= 1
            if not watch.followers:
                self._drop(watch, key)

    async def _followed(self, watch: _Watch, key: Key, me: object, seq: int) -> AsyncGenerator[Batch, None]:
        while True:
            if seq < watch.start:
                async with contextlib.aclosing(self._alone(key[0], seq)) as batches:
                    async for missed in batches:
                        yield missed
                        if (seq := missed.last_seq) >= watch.start:
                            break
                    else:
                        return
            elif (batch := watch.after(seq)) is not None:
                seq = batch.last_seq
                yield batch
            elif watch.over:
                return
            elif watch.error is None:
                await watch.moved()
            elif watch.asker is not me and _is_personal(watch.error):
                watch.error = None
                self._ask(watch, key, me)
            else:
                raise watch.error.with_traceback(None)

    async def _alone(self, name: str, after_seq: int) -> AsyncGenerator[Batch, None]:
        async with contextlib.aclosing(joblog.follow(self._jobs, name, after_seq)) as messages:
            async for events in messages:
                if events:
                    yield Batch(events)

    def _ask(self, watch: _Watch, key: Key, me: object) -> None:
        """Have the runner asked on behalf of the current caller."""
        watch.asker = me
        self._running[watch] = self._tasks.spawn(self._run(watch, key), f"watch {key[0]}")

    async def _run(self, watch: _Watch, key: Key) -> None:
        try:
            async with contextlib.aclosing(self._alone(key[0], watch.last_seq)) as batches:
                async for batch in batches:
                    await watch.push(batch)
            watch.over = True
            self._forget(watch, key)
        except asyncio.CancelledError:
            watch.error = Unavailable("the gateway stops: connect again")
            raise
        except Exception as error:
            watch.error = error  # each who follows raises it
            if not _is_personal(error):
                self._forget(watch, key)  # who comes now asks anew
        finally:
            watch.wake()

    def _drop(self, watch: _Watch, key: Key) -> None:
        self._running.pop(watch).cancel()
        self._forget(watch, key)

    def _forget(self, watch: _Watch, key: Key) -> None:
        if self._watches.get(key) is watch:
            del self._watches[key]


def _is_personal(error: Exception) -> bool:
    if isinstance(error, grpc.aio.AioRpcError):
        return error.code() in _PERSONAL
    return isinstance(error, Unauthenticated | Denied)
