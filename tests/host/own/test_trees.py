"""A process, and all that it goes on to start, ended together."""

import os
import subprocess
import sys
import uuid

import psutil
import pytest

from agentmesh.host.own import descendants
from agentmesh.host.own.trees import Tree
from tests.host.stage import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what is below a process is seen on Linux only")

FORKING = """
import os, signal
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
while True:
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.pause()
        os._exit(0)
    for _ in range(20000):
        pass
"""
"""Leaves children in sessions of their own, one after the other, without end."""


def _alive(name: str) -> list[int]:
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if name in (process.info["cmdline"] or []) and not descendants.has_ended(process.pid):
            found.append(process.pid)
    return found


def test_what_starts_others_without_end_is_ended_with_them() -> None:
    """None is left once nothing is said to be there: those that a parent of theirs has left, too."""
    name = f"tree-{uuid.uuid4()}"
    adopting = f"import ctypes; ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)\n{FORKING}"
    with subprocess.Popen([sys.executable, "-c", adopting, name]) as process:
        until(lambda: len(_alive(name)) > 5)
        tree = Tree()
        until(lambda: not tree.kill([process.pid]))

        assert [] == _alive(name)


def test_one_that_has_ended_is_not_waited_for() -> None:
    """Whether it has been collected or not."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

        assert not Tree().kill([process.pid])
