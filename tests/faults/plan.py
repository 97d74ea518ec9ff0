"""What goes wrong, and when: decided by the seed before anything starts."""

import dataclasses
import enum
import random


class Kind(enum.StrEnum):
    """What is done to a process."""

    KILL = "kill -9"
    FREEZE = "freeze"
    DISK = "disk full"
    DESCRIPTORS = "no descriptors"
    RESTART = "kill -9 of all"
    """The supervisor is killed, and the mesh started again on the same data."""
    GONE = "server stopped"
    """A server that the mesh stands on is told to end, and started again after a while."""
    CRASHED = "server killed"
    """The same with kill -9, of all of its processes."""
    STUCK = "server frozen"
    """It stands still, with its connections open."""


SERVICES = {"runner": 4, "auth": 1, "registry": 1, "payments": 1, "ledger": 1}
PROCESSES = {**SERVICES, "gateway": 2, "edge": 1, "nursery": 2, "forkserver": 1, "host": 4, "zygote": 3, "child": 6}
"""Everything but the supervisor, and how often one is hit: `child` is what an app's zygote has forked."""
SERVERS = {"postgres": 1, "redis": 1}
"""What replicas stand on."""
SERVERS_FAIL = (Kind.GONE, Kind.CRASHED, Kind.STUCK)
LAZY = ("forkserver",)
"""Once it has been killed it is started with the next process that is forked from it."""
WEIGHTS = {Kind.KILL: 50, Kind.FREEZE: 25, Kind.DISK: 15, Kind.DESCRIPTORS: 9, Kind.RESTART: 1}
"""How often something is done, where the mesh stands on nothing else; and what is done besides where it does."""
ON_SERVERS = {Kind.GONE: 6, Kind.CRASHED: 8, Kind.STUCK: 4}
PARTS = {
    Kind.KILL: PROCESSES,
    Kind.FREEZE: PROCESSES,
    Kind.DISK: SERVICES,
    Kind.DESCRIPTORS: {"runner": 2, "auth": 1, "gateway": 1, "host": 2, "nursery": 1},
    Kind.RESTART: {"supervisor": 1},
    **dict.fromkeys(SERVERS_FAIL, SERVERS),
}
LONG_S = 16.5
"""Longer than a lease: a laptop that slept."""
_LONG_SHARE = 0.12


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault."""

    number: int
    pause_s: float
    """How long after the one before."""
    kind: Kind
    part: str
    duration_s: float
    """How long it lasts; 0 for a kill."""
    choice: float
    """Which of the part's processes: how far down their list, from 0 to 1."""

    def __str__(self) -> str:
        lasts = f" for {self.duration_s:.1f} s" if self.duration_s else ""
        return f"{self.number}: {self.kind} {self.part}{lasts}"


def make(seed: int, count: int, *, pause_s: float, short: bool = False, servers: bool = False) -> list[Fault]:
    """Return `count` faults, `pause_s` apart on average.

    `short` leaves out those that take long; with `servers` the mesh stands on some, to which things happen as well.
    """
    chance = random.Random(seed)
    weights = WEIGHTS | (ON_SERVERS if servers else {})
    faults = []
    for number in range(1, count + 1):
        kind = chance.choices(list(weights), list(weights.values()))[0]
        if short and kind is Kind.RESTART:
            kind = Kind.KILL
        parts = PARTS[kind]
        part = chance.choices(list(parts), list(parts.values()))[0]
        duration_s = 0.0 if kind in (Kind.KILL, Kind.RESTART) else chance.uniform(0.3, 3.0)
        if chance.random() < _LONG_SHARE and kind in (Kind.FREEZE, Kind.STUCK) and not short:
            duration_s = LONG_S
        pause = chance.uniform(0.2, 1.8) * pause_s
        choice = chance.random()
        faults.append(Fault(number=number, pause_s=pause, kind=kind, part=part, duration_s=duration_s, choice=choice))
    return faults
