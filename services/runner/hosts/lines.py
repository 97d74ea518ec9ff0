"""The jobs that wait for one app: owners take turns, and of each owner its flows."""

import collections
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

from services.runner.domain import Job

T = TypeVar("T")


class Waiting(NamedTuple):
    """A job in a line."""

    job_id: str
    owner: str
    flow: str

    @classmethod
    def of(cls, job: Job) -> "Waiting":
        """Return the place of a job."""
        return cls(job.job_id, job.owner, job.flow)


_Flows = collections.OrderedDict[str, collections.deque[Waiting]]


class Line:
    """Thousand jobs of one owner do not hold up the first of another, nor those of one flow the others of its app."""

    def __init__(self) -> None:
        self._owners: collections.OrderedDict[str, _Flows] = collections.OrderedDict()
        self._ids: set[str] = set()

    def __len__(self) -> int:
        return len(self._ids)

    def __bool__(self) -> bool:
        return bool(self._owners)

    def add(self, job: Job) -> None:
        """Put a job at the end of its flow's line, unless it waits already."""
        if job.job_id not in self._ids:
            self._flow(Waiting.of(job)).append(Waiting.of(job))

    def take(self, place: Callable[[str], T | None]) -> tuple[Waiting, T] | None:
        """Take the next job whose owner `place` finds a place for, and return both; `None` if there is none."""
        for owner in self._owners:
            if (found := place(owner)) is not None:
                return self._next_of(owner), found
        return None

    def _next_of(self, owner: str) -> Waiting:
        flows = self._owners[owner]
        flow, jobs = next(iter(flows.items()))
        waiting = jobs.popleft()
        self._ids.discard(waiting.job_id)
        if jobs:
            flows.move_to_end(flow)
        else:
            del flows[flow]
        if flows:
            self._owners.move_to_end(owner)
        else:
            del self._owners[owner]
        return waiting

    def put_back(self, waiting: Waiting) -> None:
        """Let a job that was taken be the next of its flow again."""
        if waiting.job_id not in self._ids:
            self._flow(waiting).appendleft(waiting)

    def __iter__(self) -> Iterator[str]:
        """Yield the ids of all."""
        return iter([waiting.job_id for flows in self._owners.values() for jobs in flows.values() for waiting in jobs])

    def _flow(self, waiting: Waiting) -> collections.deque[Waiting]:
        self._ids.add(waiting.job_id)
        flows = self._owners.setdefault(waiting.owner, collections.OrderedDict())
        return flows.setdefault(waiting.flow, collections.deque())
