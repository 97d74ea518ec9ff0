"""What goes wrong, and when: decided by the seed before anything starts."""

import dataclasses
import enum
import random
from collections.abc import Mapping


class Kind(enum.StrEnum):
    """What is done to a process of the mesh, or to what the mesh stands on."""

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
    FULL = "server's disk full"
    """Nothing more can be written where it keeps its data; one that ends of that is started once there is room."""
    LOST = "node lost"
    """All processes of a node of the cluster are killed; after a while there is another node."""
    CUT = "network cut"
    """Nothing comes through between hosts and the runner, and nobody is told: connections stay as they are."""
    SKEW = "clock wrong"
    """The mesh's clock is set to another time, and back after a while; nobody else's is."""
    APART = "clocks apart"
    """Each process of a part, with what it has started, has another time: one is slow, the next as fast, and vice versa
    after half of the time."""


_SERVICES = {"runner": 4, "auth": 1, "registry": 1, "payments": 1, "ledger": 1}
_PROCESSES = {**_SERVICES, "gateway": 2, "edge": 1, "nursery": 2, "forkserver": 1, "host": 4, "zygote": 3, "child": 6}
"""Everything but the supervisor, and how often one is hit: `child` is what an app's zygote has forked."""
_ON_RAY = {**_PROCESSES, "actor": 2, "bridge": 2}
"""There each host has a nursery of its own, which an actor has started; `bridge` is what the mesh has in its place."""
_SERVERS = {"postgres": 1, "redis": 1}
LAZY = ("forkserver",)
"""Once it has been killed it is started with the next process that is forked from it."""

Parts = Mapping[Kind, Mapping[str, int]]
"""What can go wrong with which parts, and how often each is hit."""
_ANYWHERE: Parts = {
    Kind.KILL: _PROCESSES,
    Kind.FREEZE: _PROCESSES,
    Kind.DISK: _SERVICES,
    Kind.DESCRIPTORS: {"runner": 2, "auth": 1, "gateway": 1, "host": 2, "nursery": 1},
    Kind.RESTART: {"supervisor": 1},
    Kind.SKEW: {"clock": 1},
}
_MACHINES = {"nursery": 2, "edge": 1, "gateway": 1, **_SERVICES}
"""What may be on machines of their own, where there are replicas."""
PARTS: Mapping[str, Parts] = {
    "embedded": _ANYWHERE,
    "replicas": {
        **_ANYWHERE,
        **dict.fromkeys((Kind.GONE, Kind.CRASHED, Kind.STUCK), _SERVERS),
        Kind.FULL: {"postgres": 1},
        Kind.APART: _MACHINES,
    },
    "ray": {
        **_ANYWHERE,
        Kind.KILL: _ON_RAY,
        Kind.FREEZE: _ON_RAY,
        Kind.LOST: {"node": 1},
        Kind.CUT: {"network": 1},
        Kind.APART: {"nursery": 1},
    },
}
"""By the name of the shape."""
_WEIGHTS = {
    Kind.KILL: 50,
    Kind.FREEZE: 25,
    Kind.DISK: 15,
    Kind.DESCRIPTORS: 9,
    Kind.RESTART: 1,
    Kind.GONE: 6,
    Kind.CRASHED: 8,
    Kind.STUCK: 4,
    Kind.FULL: 4,
    Kind.LOST: 4,
    Kind.CUT: 8,
    Kind.SKEW: 5,
    Kind.APART: 10,
}
"""How often something is done, where it can be."""
LONG_S = 16.5
"""Longer than a lease: a laptop that slept."""
_LONG_SHARES = {Kind.FREEZE: 0.12, Kind.STUCK: 0.12, Kind.CUT: 0.4}
_AT_ONCE = (Kind.KILL, Kind.RESTART)
_CLOCKS_S = (2.0, 10.0)


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
    """Which of the part's processes, or how far a clock is set: how far down a list, from 0 to 1."""

    def __str__(self) -> str:
        lasts = f" for {self.duration_s:.1f} s" if self.duration_s else ""
        return f"{self.number}: {self.kind} {self.part}{lasts}"


def make(seed: int, count: int, parts: Parts, *, pause_s: float, short: bool = False) -> list[Fault]:
    """Return `count` faults of a shape's `parts`, `pause_s` apart on average; `short` leaves out what takes long."""
    chance = random.Random(seed)
    weights = {kind: _WEIGHTS[kind] for kind in parts}
    faults = []
    for number in range(1, count + 1):
        kind = chance.choices(list(weights), list(weights.values()))[0]
        if short and kind is Kind.RESTART:
            kind = Kind.KILL
        part = chance.choices(list(parts[kind]), list(parts[kind].values()))[0]
        duration_s = 0.0 if kind in _AT_ONCE else chance.uniform(0.3, 3.0)
        if kind in (Kind.SKEW, Kind.APART):
            duration_s = chance.uniform(*_CLOCKS_S)
        if chance.random() < _LONG_SHARES.get(kind, 0.0) and not short:
            duration_s = LONG_S
        pause = chance.uniform(0.2, 1.8) * pause_s
        choice = chance.random()
        faults.append(Fault(number=number, pause_s=pause, kind=kind, part=part, duration_s=duration_s, choice=choice))
    return faults
