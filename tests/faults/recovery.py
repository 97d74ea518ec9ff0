"""How long a mesh takes to be well again, as who uses it sees it: until a job that is asked for then has ended well."""

import bisect
import dataclasses
import math
from collections.abc import Iterable, Sequence


@dataclasses.dataclass(frozen=True, slots=True)
class Pulse:
    """A small job that ended well."""

    begun: float
    """When it was asked for, in seconds of the clock that only counts."""
    done: float


def times(over: Iterable[tuple[str, float]], pulses: Sequence[Pulse]) -> dict[str, list[float]]:
    """Return for each kind of fault how many seconds after its end the first pulse was done that was begun since.

    Faults come in between: with them it takes longer.  One after which nothing was asked for is not in it.
    """
    begins = [pulse.begun for pulse in pulses]
    found: dict[str, list[float]] = {}
    for kind, at in over:
        first = bisect.bisect_left(begins, at)
        if first < len(pulses):
            found.setdefault(kind, []).append(pulses[first].done - at)
    return found


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that a share of the values is not above."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
