"""Ports for servers of tests that must be told one.

A port that was free when the system gave it may be given to somebody else before the server listens there.  These are
none that the system gives by itself, and each worker of a test run has its own.
"""

import itertools
import os
import random
import socket

_FIRST, _EACH, _WORKERS = 12_000, 1_250, 16
"""Linux gives from 32768 on."""
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _WORKERS
_start = random.SystemRandom().randrange(_EACH)  # another run on this machine begins elsewhere
_numbers = (_FIRST + _worker * _EACH + (_start + number) % _EACH for number in itertools.count())


def free_port() -> int:
    """Return a port that nobody listens on now, and that is given to nobody else in this test run."""
    for port in _numbers:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("there is always another")
