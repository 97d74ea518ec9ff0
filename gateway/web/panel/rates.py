"""How much a mesh does: what its processes have counted, read twice."""

import dataclasses
import re
from collections.abc import Iterator, Mapping

_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{[^}]*\})? (\S+)")
_SHOWN = {
    "rpc_server_call_duration_seconds_count": "Calls of services",
    "agentmesh_jobs_ended_total": "Executions that ended",
    "agentmesh_events_total": "Lines of logs",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Counted:
    """What was counted up to a moment."""

    at: float
    """Monotonic seconds."""
    totals: Mapping[str, float]
    """By the words of `_SHOWN`; what nobody counts is not there."""


@dataclasses.dataclass(frozen=True, slots=True)
class Rate:
    """How often something happens."""

    name: str
    total: int
    """Since the processes started."""
    per_s: float | None
    """None while it is not known."""


def counted(exposition: str, at: float) -> Counted:
    """Read what Prometheus would (text format 0.0.4), and add up the processes."""
    totals: dict[str, float] = {}
    for name, value in _samples(exposition):
        totals[name] = totals.get(name, 0.0) + value
    return Counted(at, totals)


def between(before: Counted | None, now: Counted) -> list[Rate]:
    """Return what was counted and how fast that grew; a process that started anew counts as one that did nothing."""
    found = []
    for name in _SHOWN.values():
        if name not in now.totals:
            continue
        per_s = None
        if before is not None and now.at > before.at:
            per_s = max(0.0, now.totals[name] - before.totals.get(name, 0.0)) / (now.at - before.at)
        found.append(Rate(name, int(now.totals[name]), per_s))
    return found


def _samples(exposition: str) -> Iterator[tuple[str, float]]:
    for line in exposition.splitlines():
        match = _SAMPLE.match(line)
        if match is None or match[1] not in _SHOWN:
            continue
        try:
            yield _SHOWN[match[1]], float(match[2])
        except ValueError:
            continue
