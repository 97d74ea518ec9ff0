"""Ids of jobs: 24 hex digits that sort by time, made as BSON makes an ObjectId.

Four bytes of time in seconds, five that are random to the process, three that count (BSON specification, "ObjectId").
"""

import itertools
import os
import secrets
import threading
import time

_COUNTER_BITS = 24


class _Generator:
    """One per process: after a fork the child must not repeat what its parent will say."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.random = secrets.token_bytes(5)
        self.counter = itertools.count(secrets.randbits(_COUNTER_BITS))

    def new(self, now: float) -> str:
        count = next(self.counter) % (1 << _COUNTER_BITS)
        return (int(now).to_bytes(4, "big") + self.random + count.to_bytes(3, "big")).hex()


_lock = threading.Lock()
_generator = _Generator()


def new_job_id() -> str:
    """Return a new id; unique over threads and forked processes."""
    global _generator
    with _lock:
        if _generator.pid != os.getpid():
            _generator = _Generator()
        return _generator.new(time.time())


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()  # another thread of the parent may have held it


os.register_at_fork(after_in_child=_after_fork)
