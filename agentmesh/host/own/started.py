"""Which of the jobs that share a process has started which of its children.

`os.fork`, what `subprocess` and `multiprocessing` start by, and `os.posix_spawn` are wrapped, for only there job and
child are known together; what native code starts is nobody's.  So is what a child has left behind: it is adopted, and
dies with the process, or when no job is there any more.
"""

import _posixsubprocess
import contextlib
import functools
import os
import subprocess
from collections.abc import Callable
from typing import Any

from agentmesh.host.own import descendants, trees

_STARTERS: tuple[tuple[Any, str], ...] = (
    (os, "fork"),
    (os, "forkpty"),
    (os, "posix_spawn"),
    (os, "posix_spawnp"),
    (_posixsubprocess, "fork_exec"),
    (subprocess, "_fork_exec"),
)


class Started:
    """The children of this process, by the job that has started them; `whose` says which job calls, or None."""

    def __init__(self, whose: Callable[[], object | None]) -> None:
        self._whose = whose
        self._by_pid: dict[int, object | None] = {}
        self._trees: dict[object, trees.Tree] = {}
        """Of jobs whose children are being killed."""
        self._suspects: set[int] = set()

    def watch(self) -> None:
        """Notice children from now on; those that are here already are no job's."""
        self._by_pid.update(dict.fromkeys(descendants.children()))
        for module, name in _STARTERS:
            if (start := getattr(module, name, None)) is not None:
                setattr(module, name, self._noticing(start))
        os.register_at_fork(after_in_child=self._by_pid.clear)

    def _noticing(self, start: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(start)
        def noticing(*args: Any, **options: Any) -> Any:
            found = start(*args, **options)
            pid = found[0] if isinstance(found, tuple) else found
            if pid > 0:
                self._by_pid[pid] = self._whose()
            return found

        return noticing

    @property
    def any(self) -> bool:
        """Whether there may be children to look at."""
        return bool(self._by_pid)

    def kill(self, job: object) -> bool:
        """Kill the children of a job, with all below them; return whether some of them are there yet.

        They are not collected: whoever has started them may wait for them.
        """
        ours = [pid for pid, whose in self._by_pid.items() if whose is job]
        running = [pid for pid in ours if _is_running(pid)]
        if running or job in self._trees:
            if self._trees.setdefault(job, trees.Tree()).kill(running) or running:
                return True
            del self._trees[job]
        for pid in ours:
            del self._by_pid[pid]
        return False

    def look_around(self, *, idle: bool) -> bool:
        """Collect what was adopted and has ended; kill what was adopted and has not, if no job is there (`idle`).

        Returns whether one should look again.
        """
        adopted = {pid for pid in descendants.children() if pid not in self._by_pid}
        ended = {pid for pid in adopted if not _is_running(pid)}
        for pid in ended & self._suspects:  # twice: native code may have started it, and be about to wait for it
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        self._suspects = ended - self._suspects
        for pid in adopted - ended if idle else ():  # one that is missed is adopted, too, and seen at the next look
            trees.kill(pid)
        return bool(adopted)


def _is_running(pid: int) -> bool:
    """Return whether a child of ours has not ended; False if it is none (any more)."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    except ChildProcessError:
        return False
