"""The live end of jobs' logs: keeps the newest events at hand for those who watch.

A watcher holds nothing but the number of the last event it has sent and its place on the bus, so one that never reads
costs nothing and any number of them may watch.  The store is the truth; a tail only saves most looks the way to the
disk.
"""

import collections
from collections.abc import AsyncIterator, Sequence

from meshkit.bus import Bus
from meshkit.errors import Unavailable
from services.runner.domain import Event, Job, pages
from services.runner.ports.replicas import ReplicaStore
from services.runner.ports.store import JobStore

_RECENT_MAX = 4096
_RECENT_BYTES_MAX = 4 * 1024 * 1024
_ALL_BYTES_MAX = 64 * 1024 * 1024
"""Of all jobs together: what is not at hand is read from the store."""
_BATCH_MAX = 500
_BATCH_BYTES_MAX = 32 * 1024
"""A watcher that does not read holds one batch here and one in each process on the way."""


class _Tail:
    def __init__(self, last_seq: int) -> None:
        self.last_seq = last_seq
        self.recent: collections.deque[Event] = collections.deque()
        self.bytes = 0
        self.watchers = 0
        self.over = False

    def push(self, events: Sequence[Event]) -> None:
        if self.recent and self.recent[-1].seq + 1 != events[0].seq:  # somebody else wrote in between
            self.cool()
        for event in events:
            self.recent.append(event)
            self.bytes += pages.held_by_event(event)
        while len(self.recent) > _RECENT_MAX or self.bytes > _RECENT_BYTES_MAX:
            self.bytes -= pages.held_by_event(self.recent.popleft())
        self.last_seq = max(self.last_seq, events[-1].seq)

    def cool(self) -> None:
        """Have nothing at hand."""
        self.recent.clear()
        self.bytes = 0

    def after(self, seq: int) -> list[Event] | None:
        """Return the next events behind `seq`, or `None` if they are not all at hand."""
        if not self.recent or self.recent[0].seq > seq + 1:
            return None
        start = seq + 1 - self.recent[0].seq
        stop = min(start + _BATCH_MAX, len(self.recent))
        return [self.recent[index] for index in range(start, stop)]


def topic(job_id: str) -> str:
    """Return the topic on which a job's watchers are woken."""
    return f"jobs/{job_id}"


class Tails:
    """The tails of jobs that are watched or have just moved."""

    def __init__(self, store: JobStore, bus: Bus, replicas: ReplicaStore | None = None) -> None:
        """With `replicas`, others write logs, too: whoever is woken looks how far a log has come."""
        self._replicas = replicas
        self._store = store
        self._bus = bus
        self._tails: dict[str, _Tail] = {}
        self._warm: collections.OrderedDict[str, _Tail] = collections.OrderedDict()
        """Those that have events at hand, the one that moved last at the end."""
        self._bytes = 0
        """At hand, of all."""

    async def push(self, job: Job, events: Sequence[Event]) -> None:
        """Tell watchers of events that are on disk now."""
        tail = self._tails.get(job.job_id)
        if tail is None and not job.ended and self._replicas is None:
            tail = self._tails[job.job_id] = _Tail(job.last_seq - len(events))
        if tail is not None:
            if events:
                self._keep(job.job_id, tail, events)
            if job.ended:
                tail.over = True
                if not tail.watchers:
                    self._drop(job.job_id)
        if events or job.ended:
            await self._bus.publish(topic(job.job_id))

    async def forget(self, job_id: str) -> None:
        """End every watch of a job that has been deleted."""
        tail = self._tails.get(job_id)
        if tail is not None:
            tail.over = True
            self._drop(job_id)
        await self._bus.publish(topic(job_id))

    async def watch(self, job: Job, after_seq: int, heartbeat_s: float) -> AsyncIterator[list[Event]]:
        """Yield events behind `after_seq` in batches to the end of the log; an empty batch is a heartbeat.

        Ends as well when the bus closes: then the service is about to.
        """
        async with self._bus.subscribe(topic(job.job_id)) as waker:
            tail = self._tails.get(job.job_id)
            if tail is None:
                job = await self._store.get(job.job_id)  # it may have moved since the caller looked
                tail = self._tails.get(job.job_id) or _Tail(job.last_seq)
                tail.over = tail.over or job.ended
                if not job.ended:
                    self._tails[job.job_id] = tail
            tail.watchers += 1
            await self._look(job.job_id, tail, after_seq)
            try:
                seq, most = after_seq, _BATCH_MAX
                while not waker.closed:
                    if seq < tail.last_seq:
                        found = tail.after(seq) or await self._store.events(job.job_id, seq, most)
                        if not found:
                            return  # deleted while we read
                        batch = _bounded(found)
                        most = min(_BATCH_MAX, 2 * len(batch))  # of large events few are sent at once: read no more
                        seq = batch[-1].seq
                        del found  # it may be held for as long as the watcher does not read
                        yield batch
                    elif tail.over:
                        return
                    else:
                        is_woken = await waker.wait(heartbeat_s)
                        await self._look(job.job_id, tail, seq)
                        if not is_woken:
                            yield []
            finally:
                tail.watchers -= 1
                is_idle = tail.over or self._replicas is not None
                if is_idle and not tail.watchers and self._tails.get(job.job_id) is tail:
                    self._drop(job.job_id)

    async def _look(self, job_id: str, tail: _Tail, seq: int) -> None:
        """Look how far others have brought a log, if we know of nothing behind a number."""
        if self._replicas is None or tail.over or seq < tail.last_seq:
            return
        try:
            moved = (await self._replicas.moved([job_id])).get(job_id)
        except Unavailable:  # looked at again when the next wakes us
            return
        if moved is not None:
            tail.last_seq = max(tail.last_seq, moved.last_seq)
        tail.over = tail.over or moved is None or moved.ended

    def _keep(self, job_id: str, tail: _Tail, events: Sequence[Event]) -> None:
        """Have events at hand; those of the jobs that have said nothing for longest make room."""
        self._bytes -= tail.bytes
        tail.push(events)
        self._bytes += tail.bytes
        self._warm[job_id] = tail
        self._warm.move_to_end(job_id)
        while self._bytes > _ALL_BYTES_MAX and len(self._warm) > 1:
            _, coldest = self._warm.popitem(last=False)
            self._bytes -= coldest.bytes
            coldest.cool()

    def _drop(self, job_id: str) -> None:
        tail = self._tails.pop(job_id)
        if self._warm.pop(job_id, None) is not None:
            self._bytes -= tail.bytes


def _bounded(events: list[Event]) -> list[Event]:
    """Cut a batch that would make too large a message; at least one event stays."""
    size = 0
    for index, event in enumerate(events):
        size += pages.bytes_of_event(event)
        if index and size > _BATCH_BYTES_MAX:
            return events[:index]
    return events
