"""How fast the jobs of one owner may talk: beyond it they are held back, and nothing they say is lost.

What a host reports is written down at once; that it was is told later.  Until then it counts as on its way, and a host
lets no job have more than a few megabytes on their way: who talks too fast waits, alone.
"""

import time
from collections.abc import Callable, Sequence

from services.runner.domain import Event

_BURST_S = 5.0
"""Who was silent may say as much at once as is said in this time."""
_DELAY_S_MAX = 30.0
_OWNERS_MAX = 10_000
_UNIT_BYTES = 1024
"""A long event counts as several."""


class Pace:
    """A bucket for each owner."""

    def __init__(self, events_per_s: float, now: Callable[[], float] = time.monotonic) -> None:
        """`events_per_s` of one owner are taken without delay; 0 for any number."""
        self._rate = events_per_s
        self._now = now
        self._until: dict[str, float] = {}
        """By owner: when what they have said is paid off."""

    def delay_s(self, owner: str, events: Sequence[Event]) -> float:
        """Return for how long an owner's events are not acknowledged yet."""
        if not self._rate or not owner:
            return 0.0
        now = self._now()
        units = sum(1 + len(event.payload) // _UNIT_BYTES for event in events)
        until = max(self._until.get(owner, 0.0), now - _BURST_S) + units / self._rate
        self._until[owner] = min(until, now + _DELAY_S_MAX)
        if len(self._until) > _OWNERS_MAX:
            self._until = {one: at for one, at in self._until.items() if at > now - _BURST_S}
        return max(0.0, self._until[owner] - now)
