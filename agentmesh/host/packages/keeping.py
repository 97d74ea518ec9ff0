"""Keeps what apps need beside themselves: each thing is made once, and used by all who need the same.

Who makes it holds its lock alone; who uses it holds the lock together with others, so that `prune` takes nothing from
anybody.  It is whole when `ready` is in it: what a crash has left has no such file, and is made anew.
"""

import contextlib
import fcntl
import os
import pathlib
import time
from collections.abc import Callable, Iterable

from agentmesh.host.own import folders

UNUSED_MAX = 10
"""How many that nobody uses are kept."""
UNUSED_S = 30 * 86_400.0
"""How long one that nobody uses is kept."""
_held: list[int] = []
"""Locks that this process holds until it ends."""
_READY = "ready"
_LOOK_S = 0.1
_REMOVE_S = 60.0


class Busy(Exception):
    """Somebody else has been making the same for too long."""


def provide(found: pathlib.Path, until: float, make: Callable[[], None]) -> None:
    """Have `found` there, a folder that `make` makes, and have it stay while this process lives.

    Raises `Busy` if somebody else still makes it at `until` (`time.monotonic`), `OSError`, and what `make` does.
    """
    lock = os.open(_lock_of(found), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _hold(found, lock, until):
            _make(found, make)
            fcntl.flock(lock, fcntl.LOCK_SH)
        os.utime(found / _READY, follow_symlinks=False)
        _held.append(lock)
    except BaseException:
        os.close(lock)
        raise
    with contextlib.suppress(OSError):
        prune(found.parent)


def held() -> list[int]:
    """Return the descriptors of locks that this process holds."""
    return [*_held]


def go_on_holding(locks: Iterable[int]) -> None:
    """Know what was held by the program that this process ran before, and had inherited."""
    for lock in locks:
        os.set_inheritable(lock, False)
        _held.append(lock)


def let_go() -> None:
    """In a fork: close its descriptors.  Who has one could unlock what its parent holds, or keep it from others."""
    while _held:
        with contextlib.suppress(OSError):  # the app has closed whatever was open
            os.close(_held.pop())


def prune(kept: pathlib.Path) -> None:
    """Remove what nobody uses, if it was not used for long or there is much of it, and what is not whole."""
    found = sorted((entry for entry in kept.iterdir() if entry.is_dir()), key=_used_at, reverse=True)
    for number, each in enumerate(found):
        if number < UNUSED_MAX and time.time() - _used_at(each) < UNUSED_S:
            continue
        with _lock_of(each).open("a", encoding="utf-8") as lock, contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            (each / _READY).unlink(missing_ok=True)
            folders.remove(each, _REMOVE_S)


def _make(found: pathlib.Path, make: Callable[[], None]) -> None:
    if found.exists() and not folders.remove(found, _REMOVE_S):
        raise OSError(f"what is left of {found.name} cannot be removed")
    try:
        found.mkdir(mode=0o700)
        make()
        os.sync()  # else the power may go, and leave `ready` with files that are empty
        _mark(found / _READY)
    except BaseException:
        folders.remove(found, _REMOVE_S)
        raise


def _mark(ready: pathlib.Path) -> None:
    """Say that what was made is whole, whatever its maker has left there: it could lead to a file of ours."""
    ready.unlink(missing_ok=True)
    os.close(os.open(ready, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))


def _hold(found: pathlib.Path, lock: int, until: float) -> bool:
    """Hold what is whole together with others, and return True; or what is not alone, and False."""
    while True:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            if (found / _READY).exists():
                return True
            fcntl.flock(lock, fcntl.LOCK_UN)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not (found / _READY).exists():
                return False
            fcntl.flock(lock, fcntl.LOCK_UN)
        if time.monotonic() > until:
            raise Busy
        time.sleep(_LOOK_S)


def _lock_of(found: pathlib.Path) -> pathlib.Path:
    """Return the file whose lock is that of `found`.  It stays: who waits for it would wait for another else."""
    return found.with_suffix(".lock")


def _used_at(found: pathlib.Path) -> float:
    """Return when something was last used (seconds since the epoch); 0 if it is not whole."""
    with contextlib.suppress(OSError):
        return (found / _READY).lstat().st_mtime
    return 0.0
