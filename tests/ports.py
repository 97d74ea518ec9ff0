"""Ports for servers of tests that must be told one.

A port that was free when the system gave it may be given to somebody else before the server listens there.  These are
none that the system gives by itself, and each worker of a test run has its own.
"""

import itertools
import os
import random
import socket

from agentmesh.supervisor import ports

_FIRST, _EACH, _WORKERS = 12_000, 1_250, 16
"""Linux gives from 32768 on."""
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _WORKERS
_start = random.SystemRandom().randrange(_EACH)  # another run on this machine begins elsewhere
_numbers = (_FIRST + _worker * _EACH + (_start + number) % _EACH for number in itertools.count())


_holds: list[socket.socket] = []


def free_port() -> int:
    """Return a port that nobody listens on now, and that is given to nobody else in this test run.

    Nor does a mesh with `--port 0` take it, whose supervisor looks at the same numbers: it is held as the supervisor
    holds its own (`agentmesh.supervisor.ports`), for as long as this process lives.
    """
    for port in _numbers:
        hold = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            hold.bind(("127.0.0.1", port))
            if ports.is_free("127.0.0.1", port):
                _holds.append(hold)
                return port
        except OSError:  # a mesh has it
            pass
        hold.close()
    raise AssertionError("there is always another")
