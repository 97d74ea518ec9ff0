"""Slow down guessing: after a few failures, each further attempt on a name has to wait longer."""

import collections
import dataclasses
import time
from collections.abc import Callable

from meshkit.errors import Exhausted

FREE_FAILURES = 5
"""This many failures in a row cost nothing: people mistype."""
WAIT_MAX_S = 60.0
FORGET_S = 15 * 60.0
NAMES_MAX = 10_000


@dataclasses.dataclass(slots=True)
class _Record:
    failures: int
    failed_at: float


class Throttle:
    """Remembers recent failures per name; the oldest are forgotten first when there are too many names.

    The wait is 1, 2, 4 ... 60 seconds, and refused attempts do not extend it, so the owner of an account under attack
    still gets a turn.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._names: collections.OrderedDict[str, _Record] = collections.OrderedDict()

    def check(self, name: str) -> None:
        """Raise `Exhausted`, saying how long to wait, if `name` has failed too often."""
        record = self._names.get(name)
        if record is None:
            return
        now = self._now()
        if now - record.failed_at >= FORGET_S:
            del self._names[name]
            return
        excess = record.failures - FREE_FAILURES
        if excess < 0:
            return
        wait_s = min(2.0 ** min(excess, 10), WAIT_MAX_S) - (now - record.failed_at)
        if wait_s > 0:
            raise Exhausted(f"too many failed attempts: try again in {max(1, round(wait_s))} s", retry_after_s=wait_s)

    def failed(self, name: str) -> None:
        """Count a failure."""
        record = self._names.pop(name, None)
        self._names[name] = _Record((record.failures if record else 0) + 1, self._now())
        if len(self._names) > NAMES_MAX:
            self._names.popitem(last=False)

    def succeeded(self, name: str) -> None:
        """Forget the failures of `name`."""
        self._names.pop(name, None)
