"""Processes whose parent died before them: adopt them, collect them, and leave none behind.

Linux only; elsewhere there is nothing to adopt.
"""

import asyncio
import contextlib
import os
import pathlib
import signal
from collections.abc import Iterator

from agentmesh.host.own import descendants

_LOOK_S = 0.01
_STRAYS_S = 10.0


class Family:
    """The children that we have started ourselves, or had started; others are orphans that we have adopted."""

    def __init__(self) -> None:
        self._known: set[int] = set()
        self._births = 0

    def found(self) -> None:
        """Adopt orphans from now on; children that are here already are none."""
        descendants.adopt_orphans()
        self._known.update(descendants.children())

    @contextlib.contextmanager
    def birth(self) -> Iterator[None]:
        """Start a child in the block: until it is added, it is nobody's."""
        self._births += 1
        try:
            yield
        finally:
            self._births -= 1

    def add(self, pid: int) -> None:
        """Know a child."""
        self._known.add(pid)

    def remove(self, pid: int) -> None:
        """Forget a child that has ended."""
        self._known.discard(pid)

    async def kill_strays(self) -> None:
        """Kill what we do not know, until there is nothing more of it; a child that is being started is waited for."""
        loop = asyncio.get_running_loop()
        until, seen_none = loop.time() + _STRAYS_S, 0
        while seen_none < 2 and loop.time() < until:  # some may be overlooked while others are collected
            if not self._births:
                seen_none = 0 if self._kill_strays() else seen_none + 1
            await asyncio.sleep(_LOOK_S)

    def _kill_strays(self) -> bool:
        strays = descendants.kill_strays(self._known)
        for pid in strays:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        return bool(strays)


def reap(suspects: set[int]) -> set[int]:
    """Collect ended children that were already `suspects` at the last call; return the suspects of this one.

    Twice, because a child that somebody else waits for is also ended for a moment.
    """
    ended = {pid for pid in descendants.children() if _is_zombie(pid)}
    for pid in ended & suspects:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
    return ended - suspects


def kill_all() -> None:
    """Kill every descendant that is left.  Killing one may hand us its children: repeat until there are none."""
    for _ in range(100):
        left = descendants.children()
        if not left:
            return
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _is_zombie(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return False
