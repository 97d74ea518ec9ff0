"""Processes whose parent died before them: adopt them, collect them, and leave none behind.

prctl(2), PR_SET_CHILD_SUBREAPER: a grandchild that loses its parent becomes our child, not init's.  Linux only;
elsewhere there is nothing to adopt.
"""

import contextlib
import os
import pathlib
import signal
import sys

PR_SET_CHILD_SUBREAPER = 36


def adopt() -> None:
    """From now on, become the parent of orphaned descendants."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def reap(suspects: set[int]) -> set[int]:
    """Collect ended children that were already `suspects` at the last call; return the suspects of this one.

    Twice, because a child that somebody else waits for is also ended for a moment.
    """
    ended = {pid for pid in _children() if _is_zombie(pid)}
    for pid in ended & suspects:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
    return ended - suspects


def kill_all() -> None:
    """Kill every descendant that is left.  Killing one may hand us its children: repeat until there are none."""
    for _ in range(100):
        left = _children()
        if not left:
            return
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _children() -> list[int]:
    pids: list[int] = []
    for task in pathlib.Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):
            pids += map(int, task.read_text().split())
    return pids


def _is_zombie(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return False
