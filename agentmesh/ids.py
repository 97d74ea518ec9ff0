"""Ids of jobs: 24 hex digits that sort by time, and that nobody guesses.

Four bytes of time in seconds, as in an ObjectId of BSON, twelve bits of its fraction, and 52 random bits: the public
reads a job by its id alone, and one id must not tell the next.
"""

import os
import secrets
import threading
import time

_FRACTION_BITS, _RANDOM_BITS = 12, 52


class _Generator:
    """What a process has made so far: each id sorts behind the one before."""

    def __init__(self) -> None:
        self._last = 0

    def new(self, now: float) -> str:
        self._last = max(self._last + 1, int(now * (1 << _FRACTION_BITS)))
        return f"{self._last << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS):024x}"


_lock = threading.Lock()
_generator = _Generator()


def new_job_id() -> str:
    """Return a new id; unique over threads and forked processes."""
    with _lock:
        return _generator.new(time.time())


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()  # another thread of the parent may have held it


os.register_at_fork(after_in_child=_after_fork)
