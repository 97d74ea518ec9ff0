"""What a host holds, and how much room it has: for whom, and beside which jobs.

A job that is paused, or waits for a human or for money, holds no slot: its process sleeps, and others run in its
place.  There is a bound on that, since a process that sleeps has its memory still.  No owner gets the last slots:
whatever one of them starts, there is room for the next one.
"""

import collections
import dataclasses
from collections.abc import Callable

from services.runner.domain import Isolation, Job, State
from services.runner.hosts.lines import Waiting

RESTING = frozenset({State.AWAITING_INPUT, State.AWAITING_PAYMENT, State.PAUSED})
"""States in which a job only waits."""
_KEPT_FOR_OTHERS = 8
"""One slot of so many is kept for other owners."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """How many jobs a host may hold at once."""

    processes: int = 0
    shared: int = 0
    resting: int = 0
    """Jobs in processes of their own that wait, beside those that run; of shared ones as many as may run."""

    def of(self, isolation: Isolation) -> int:
        """Return how many of that isolation may run."""
        return self.shared if isolation is Isolation.SHARED else self.processes

    def resting_of(self, isolation: Isolation) -> int:
        """Return how many of that isolation may wait and hold no slot."""
        return self.shared if isolation is Isolation.SHARED else self.resting


@dataclasses.dataclass(frozen=True, slots=True)
class _Kind:
    """What is counted together."""

    isolation: Isolation
    owner: str
    rests: bool = False


class Slots:
    """Of one host."""

    def __init__(self, capacity: Capacity) -> None:
        self._capacity = capacity
        self._jobs: dict[str, _Kind] = {}
        self._reserved: dict[str, _Kind] = {}
        self._then: list[Callable[[], None]] = []
        self._by_owner: collections.Counter[_Kind] = collections.Counter()
        self._all: collections.Counter[tuple[Isolation, bool]] = collections.Counter()

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def jobs(self) -> set[str]:
        """Ids of jobs that it has been told to run."""
        return set(self._jobs)

    @property
    def taken(self) -> int:
        """How many jobs it holds, or is about to: those whose lease to it is being written."""
        return len(self._jobs.keys() | self._reserved.keys())

    def owner_of(self, job_id: str) -> str:
        """Return whose a job is that it holds; empty if it does not."""
        kind = self._jobs.get(job_id)
        return "" if kind is None else kind.owner

    def room(self, isolation: Isolation, owner: str | None = None) -> int:
        """How many more jobs of that isolation it may take: of an owner, or of whoever may have most."""
        return self._room(isolation, owner, rests=False)

    def reserve(self, waiting: Waiting, isolation: Isolation) -> None:
        """Keep room for a job whose lease to it is being written."""
        kind = self._reserved[waiting.job_id] = _Kind(isolation, waiting.owner)
        self._count(kind, 1)

    def unreserve(self, job_id: str) -> None:
        """Give back what `reserve` kept: it has been told to run the job, or is not to."""
        kind = self._reserved.pop(job_id, None)
        if kind is not None:
            self._count(kind, -1)
        if not self._reserved:
            then, self._then = self._then, []
            for call in then:
                call()

    def when_settled(self, call: Callable[[], None]) -> None:
        """Call that once no lease to it is being written: at once, if none is."""
        if self._reserved:
            self._then.append(call)
        else:
            call()

    def hold(self, job: Job) -> None:
        """Know that it has been told to run a job."""
        if job.job_id not in self._jobs:
            kind = self._jobs[job.job_id] = _Kind(job.isolation, job.owner)
            self._count(kind, 1)
            self.follow(job)

    def follow(self, job: Job) -> bool:
        """Know where a job stands that it may hold; return whether that made room."""
        kind = self._jobs.get(job.job_id)
        rests = job.state in RESTING
        if kind is None or kind.rests == rests or (rests and self._room(kind.isolation, kind.owner, rests=True) <= 0):
            return False
        self._count(kind, -1)
        kind = self._jobs[job.job_id] = dataclasses.replace(kind, rests=rests)
        self._count(kind, 1)  # beyond its capacity, if others run in its place: they were there before
        return rests

    def release(self, job_id: str) -> bool:
        """A job has ended; return whether it had it."""
        kind = self._jobs.pop(job_id, None)
        if kind is None:
            return False
        self._count(kind, -1)
        return True

    def clear(self) -> None:
        """Know that it holds nothing, as far as we are concerned."""
        for job_id in list(self._jobs):
            self.release(job_id)

    def _room(self, isolation: Isolation, owner: str | None, *, rests: bool) -> int:
        most = self._capacity.resting_of(isolation) if rests else self._capacity.of(isolation)
        left = most - self._all[isolation, rests]
        if owner is None:
            return left
        return min(left, most - most // _KEPT_FOR_OTHERS - self._by_owner[_Kind(isolation, owner, rests)])

    def _count(self, kind: _Kind, change: int) -> None:
        self._all[kind.isolation, kind.rests] += change
        self._by_owner[kind] += change
        if not self._by_owner[kind]:
            del self._by_owner[kind]
