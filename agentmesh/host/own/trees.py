"""Processes of a job with all below them, ended together.

What forks while it is being killed leaves a child behind that nobody has seen.  So all are stopped first, and looked at
again, until nobody new is found.  Linux only: elsewhere nothing below a process is seen.
"""

import contextlib
import os
import signal
from collections.abc import Iterable

from agentmesh.host.own import descendants

_LOOKS_MAX = 20
"""How often those that do not stop are waited for."""


class Tree:
    """Some processes, and what they have started: stopped, then killed, then watched until none is there."""

    def __init__(self) -> None:
        self._found: set[int] = set()
        self._killed: set[int] = set()
        self._looks = 0

    def kill(self, roots: Iterable[int]) -> bool:
        """Take the next step; return whether some of them are there yet: then call again a moment later.

        `roots` are children of ours that run; those of earlier calls are remembered.
        """
        self._looks += 1
        new = {pid for root in roots for pid in descendants.below(root) if not descendants.has_ended(pid)} - self._found
        self._found |= new
        for pid in new:
            _signal(pid, signal.SIGSTOP)
        settled = not new and all(map(descendants.is_still, self._found))
        if not (settled or self._killed or self._looks >= _LOOKS_MAX):
            return True
        for pid in self._found - self._killed:
            _kill_with_group(pid)
        self._killed |= self._found
        return not all(map(descendants.has_ended, self._found))


def kill(pid: int) -> None:
    """Kill a process, and what is below it at this moment."""
    for each in descendants.below(pid):
        _kill_with_group(each)


def _kill_with_group(pid: int) -> None:
    """Kill a process, and its group if that is its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.getpgid(pid) == pid:
            os.killpg(pid, signal.SIGKILL)
    _signal(pid, signal.SIGKILL)


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
