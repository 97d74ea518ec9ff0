"""A clock that never stands still: what decides whether a token was issued before a revocation or after it."""

import datetime
import threading
from collections.abc import Callable

from meshkit.clock import utc_now


class StrictClock:
    """Strictly increasing time, to the microsecond, for any thread.

    Whether a token was issued before or after a revocation is decided by comparing these, so no two may be equal,
    and none may be earlier than what a store has from before a restart.
    """

    def __init__(self, wall: Callable[[], datetime.datetime] = utc_now) -> None:
        self._wall = wall
        self._last = datetime.datetime.min.replace(tzinfo=datetime.UTC)
        self._lock = threading.Lock()

    def __call__(self) -> datetime.datetime:
        """Return the time, later than any before."""
        with self._lock:
            self._last = max(self._wall(), self._last + datetime.timedelta(microseconds=1))
            return self._last

    def advance(self, moment: datetime.datetime) -> None:
        """Return nothing earlier than `moment` from now on."""
        with self._lock:
            self._last = max(self._last, moment)
