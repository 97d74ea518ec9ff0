"""Keeps what apps need beside themselves: each thing is made once, and used by all who need the same.

Who makes it holds its lock alone; who uses it holds the lock together with others, so that `prune` takes nothing from
anybody.  It is whole when there is a file `.ready` beside it, made last: what a crash has left has none, and is made
anew.  It is beside it, not in it, since there a package could put one before the rest of it is installed.
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
        os.utime(_mark_of(found), follow_symlinks=False)
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
            _remove(each)


def _make(found: pathlib.Path, make: Callable[[], None]) -> None:
    if not _remove(found):
        raise OSError(f"what is left of {found.name} cannot be removed")
    try:
        found.mkdir(mode=0o700)
        make()
        os.sync()  # else the power may go, and leave the mark with files that are empty
        _mark_of(found).touch(mode=0o600, exist_ok=False)
    except BaseException:
        _remove(found)
        raise


def _remove(found: pathlib.Path) -> bool:
    """Remove what was kept: first the word that it is whole.  Return False if some of it cannot be removed."""
    _mark_of(found).unlink(missing_ok=True)
    return not os.path.lexists(found) or folders.remove(found, _REMOVE_S)


def _is_whole(found: pathlib.Path) -> bool:
    return found.is_dir() and _mark_of(found).exists()  # somebody may have removed the folder alone


def _hold(found: pathlib.Path, lock: int, until: float) -> bool:
    """Hold what is whole together with others, and return True; or what is not alone, and False."""
    while True:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            if _is_whole(found):
                return True
            fcntl.flock(lock, fcntl.LOCK_UN)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not _is_whole(found):
                return False
            fcntl.flock(lock, fcntl.LOCK_UN)
        if time.monotonic() > until:
            raise Busy
        time.sleep(_LOOK_S)


def _lock_of(found: pathlib.Path) -> pathlib.Path:
    """Return the file whose lock is that of `found`.  It stays: who waits for it would wait for another else."""
    return found.with_suffix(".lock")


def _mark_of(found: pathlib.Path) -> pathlib.Path:
    """Return the file that says that `found` is whole, and when it was last used."""
    return found.with_suffix(".ready")


def _used_at(found: pathlib.Path) -> float:
    """Return when something was last used (seconds since the epoch); 0 if it is not whole."""
    with contextlib.suppress(OSError):
        return _mark_of(found).lstat().st_mtime
    return 0.0
