"""What processes of ours have started, and left behind.

A process that loses its parent becomes the child of the next ancestor that adopts orphans (prctl(2),
PR_SET_CHILD_SUBREAPER), whatever session or group it has made for itself.  Each process of a job adopts what the job
leaves behind while it lives; when it ends, all of that becomes the zygote's, or, where that has ended, too, the
nursery's or the supervisor's.  There a child that nobody knows is a *stray*: what had started it is gone, and so it is
to go.

Linux only: elsewhere there are no strays to be seen, and what is in a group of its own is ended with that.
"""

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Container

_PR_SET_CHILD_SUBREAPER = 36
_PF_EXITING = 0x4  # include/linux/sched.h
_DEAD = (b"Z", b"X", b"x")
# Looked up before any fork: dlopen in a child of a busy parent may wait for a lock that nobody holds any more.
_prctl = getattr(ctypes.CDLL(None, use_errno=True), "prctl", None)
# A kernel may be made without (CONFIG_PROC_CHILDREN): then all of /proc is looked at.
_IS_LISTED = os.path.exists(f"/proc/self/task/{os.getpid()}/children")


def adopt_orphans() -> None:
    """Be the parent of what descendants of ours have started and left behind; not inherited by a fork."""
    if _prctl is not None:
        _prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children(pid: int | str = "self") -> list[int]:
    """Return the children of a process, those that have ended and are not collected yet among them.

    Some may be missing while others are collected at the same time: in a process with one thread, none are.
    """
    if pid == "self" and not _IS_LISTED:
        return [each for each in _processes() if parent_of(each) == os.getpid()]
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{task}/children", "rb") as listed:
                found += map(int, listed.read().split())
    return found


def below(pid: int) -> list[int]:
    """Return a process, and all that it and its children have started: parents before their children."""
    found, last = {pid: None}, [pid]
    while last:
        last = [child for each in last for child in children(each) if child not in found]
        found.update(dict.fromkeys(last))
    return list(found)


def is_gone(pid: int, parent: int, known: Container[int]) -> bool:
    """Return whether nothing of a child of `parent`, and of what that has started, can run any more.

    It may be so some milliseconds before `parent`, which adopts orphans and whose other children are `known`, has
    collected it.  A process with one thread that the kernel is taking down starts nothing, and gives back its memory.
    What a thread has started is listed as its children until it ends, and in that moment given to another thread that
    has not begun to end, or else to `parent`: so each place is looked at once the one before is known to be empty.
    """
    if not _IS_LISTED or not (state := _state(pid, parent)):
        return False
    try:
        if os.listdir(f"/proc/{pid}/task") != [str(pid)]:
            return False
        if state == "ending":
            with open(f"/proc/{pid}/task/{pid}/children", "rb") as listed:
                if listed.read():
                    return False
    except OSError:  # it has been collected meanwhile
        pass
    return all(each in known for _ in range(2) for each in children(parent))  # twice: see `children`


def _state(pid: int, parent: int) -> str:
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            fields = stat.read().rpartition(b")")[2].split()
    except OSError:
        return "dead"
    state, ppid, flags = fields[0], int(fields[1]), int(fields[6])  # proc(5): fields 3, 4 and 9
    if ppid != parent:  # the number is another's, or of another namespace
        return ""
    if state in _DEAD:
        return "dead"
    return "ending" if flags & _PF_EXITING else ""


def signal_tree(pid: int, number: int) -> None:
    """Signal a process and all that it has started, in whatever group; it adopts what that has left behind.

    What is started meanwhile is found by looking again, until nothing is new.
    """
    told: set[int] = set()
    while found := set(below(pid)) - told:
        for each in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(each, number)
        told |= found


def has_ended(pid: int) -> bool:
    """Return whether a process runs no more, collected or not; True where it cannot be seen."""
    return _letter(pid) in (b"", *_DEAD)


def is_still(pid: int) -> bool:
    """Return whether a process does nothing: it is stopped, or has ended."""
    return _letter(pid) in (b"", b"T", b"t", *_DEAD)


def _letter(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return stat.read().rpartition(b")")[2].split()[0]
    except (OSError, IndexError):
        return b""


def parent_of(pid: int) -> int:
    """Return the number of a process' parent; 0 if there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return int(stat.read().rpartition(b")")[2].split()[1])
    except (OSError, IndexError):
        return 0


def _processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()] if os.path.isdir("/proc") else []


def kill_strays(known: Container[int]) -> list[int]:
    """Kill the children of ours that are not `known`; return them: whoever collects them has their children next.

    What shares a group with one of them is killed in the same moment, so that what forks again and again, and ends, is
    caught by its group though its number is another already.
    """
    strays = [pid for pid in children() if pid not in known]
    ours = os.getpgrp()
    for pid in strays:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            group = os.getpgid(pid)
            if group != ours and group not in known:
                os.killpg(group, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    return strays


def end_strays(within_s: float, look_s: float) -> bool:
    """Kill and collect all children of ours, and what becomes ours as they end; return False if some do not end.

    It is looked at every `look_s` whether there are any left.
    """
    until = time.monotonic() + within_s
    while left := kill_strays(()):
        for pid in left:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        if time.monotonic() > until:
            return False
        time.sleep(look_s)
    return True
