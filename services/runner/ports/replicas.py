"""What replicas of the runner keep in common, as a port: who they are, where hosts hang, who does what.

Nothing here goes by a clock of the database or of another machine.  Who lives counts (`beats`); whoever looks sees by
their own clock for how long a number has stood still.
"""

import dataclasses
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from services.runner.domain import Change, Isolation, Job
from services.runner.ports.store import Written

Rule = Callable[[Job], Change | None]
"""Decides what becomes of a job; None leaves it as it is."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """One process of the runner."""

    runner_id: str
    """Of this process, never used before."""
    address: str
    """Where other replicas call it."""
    door: str
    """Where hosts dial it."""
    beats: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HostRow:
    """A host, as every replica knows it."""

    host_id: str
    expose: str
    runner_id: str = ""
    """Of the replica that it hangs on, or did last; empty before it has attached."""
    address: str = ""
    """Of that replica; empty if it has gone."""
    stage: str = "starting"
    """`starting`, `serving` (it gets new work) or `draining` (it finishes what it runs)."""
    loaded: bytes | None = None
    """What came of loading its app, an encoded `Loaded`; `None` if it has not said."""
    beats: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where an app stands, as the replica that places hosts has it."""

    expose: str
    state: str = ""
    message: str = ""
    detail: str = ""
    seen_at: float = 0.0
    flows: bytes = b""
    """An encoded `Loaded` with the flows that it offers."""


@dataclasses.dataclass(frozen=True, slots=True)
class Moved:
    """How far a job's log has come."""

    last_seq: int
    ended: bool


class ReplicaStore(Protocol):
    """Is shared by every replica of the runner."""

    async def beat(self, me: Replica, host_ids: Collection[str]) -> None:
        """Say that a replica lives, and that it hears these of the hosts that hang on it."""

    async def leave(self, runner_id: str) -> None:
        """Forget a replica that ends, and what it did."""

    async def replicas(self) -> list[Replica]:
        """Return every replica that has not left, those that have died included."""

    async def take_duty(self, name: str, runner_id: str, seen: tuple[str, int] | None) -> tuple[str, int]:
        """Take or keep a duty; return who has it and how often they have said so.

        It is ours if nobody has it, we have it, or it still stands as it was `seen`.
        """

    async def hosts(self) -> list[HostRow]:
        """Return every host."""

    async def host(self, host_id: str) -> HostRow | None:
        """Return a host, if it is known."""

    async def add_host(self, host_id: str, expose: str) -> None:
        """Know a host that is about to be started."""

    async def attach_host(self, host_id: str, runner_id: str) -> HostRow | None:
        """Have a host hang on a replica; return it, if it is known."""

    async def note_loaded(self, host_id: str, loaded: bytes) -> None:
        """Keep what came of loading a host's app."""

    async def note_stage(self, host_id: str, stage: str) -> None:
        """Keep what a host is for."""

    async def remove_host(self, host_id: str) -> None:
        """Forget a host."""

    async def held_jobs(self, host_ids: Collection[str]) -> list[Job]:
        """Return the jobs that hosts hold, oldest first."""

    async def stray_jobs(self) -> list[Job]:
        """Return the jobs that a host holds which nobody knows any more."""

    async def loads(self) -> dict[str, int]:
        """Return how many jobs wait for a host or are held by one, by expose."""

    async def queues(self) -> list[tuple[str, Isolation]]:
        """Return in which lines, by expose and isolation, jobs wait for a host."""

    async def claim(self, expose: str, isolation: Isolation, limit: int, rule: Rule) -> list[Written]:
        """Apply a rule to up to `limit` jobs that wait in a line and that nobody else is looking at.

        Owners take turns, and of each owner its flows.  Jobs of a target that has a limit are left out beyond it.  The
        rule may be asked about the same job more than once; what it said last counts.
        """

    async def queued(self, expose: str) -> list[str]:
        """Return the ids of the jobs that wait for a host of an expose."""

    async def versions(self) -> dict[str, int]:
        """Return a number for each app, by expose: another whenever it or its standing has changed."""

    async def standings(self, exposes: Collection[str]) -> list[Standing]:
        """Return where apps stand."""

    async def note_standing(self, standing: Standing) -> None:
        """Keep where an app stands; nothing happens if there is none."""

    async def moved(self, job_ids: Sequence[str]) -> dict[str, Moved]:
        """Return how far jobs have come; one that is not there is left out."""
