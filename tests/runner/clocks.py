"""A clock that a test sets."""

import time


class Clock:
    """Tells the time, and a time to come when a test says so."""

    def __init__(self) -> None:
        self._ahead_s = 0.0

    def __call__(self) -> float:
        """Return the time in seconds."""
        return time.time() + self._ahead_s

    def skip_to(self, moment: float) -> None:
        """Let it be at least so late from now on."""
        self._ahead_s = max(self._ahead_s, moment - time.time())
