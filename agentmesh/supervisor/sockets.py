"""Folders for the sockets of one run: ours alone, short of path, gone with the supervisor however it ends.

A folder is locked by whoever has made it (flock(2)): the kernel lets go of it when that process ends, and
systemd-tmpfiles leaves alone what is locked.  One that is not locked was left by a supervisor that was killed, and the
next one takes it away.  They are in the folder for temporary files, not in XDG_RUNTIME_DIR: that one goes when its user
logs out, and the mesh may not.
"""

import contextlib
import fcntl
import os
import pathlib
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator

PREFIX = "agentmesh-sockets-"
_NAME_CHARS = len(PREFIX) + 8 + len("/registry.sock") + 8
"""What comes behind the folder for temporary files, with some to spare."""
_PATH_BYTES_MAX = 103 if sys.platform == "darwin" else 107  # unix(7), sun_path


class NoFolder(Exception):
    """There is no place for sockets; the message says why."""


@contextlib.contextmanager
def folder() -> Iterator[pathlib.Path]:
    """Make a folder with mode 0700 and a name that cannot be guessed, for the length of the block.

    Raises `NoFolder`.
    """
    base = _base()
    sweep(base)
    lock: int | None = None
    while lock is None:  # a sweep may have come between
        made = pathlib.Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
        lock = _locked(made)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
        os.close(lock)


def sweep(base: pathlib.Path) -> None:
    """Remove what supervisors of our user have left in a folder: sockets, and the folders that they were in."""
    for found in base.glob(f"{PREFIX}*"):
        lock = _locked(found)
        if lock is None:
            continue
        with contextlib.suppress(OSError):  # it is not empty: it is not what it seems to be
            for path in found.iterdir():
                if stat.S_ISSOCK(path.lstat().st_mode):
                    path.unlink()
            found.rmdir()
        os.close(lock)


def _base() -> pathlib.Path:
    tried = dict.fromkeys((tempfile.gettempdir(), "/tmp"))
    for name in tried:
        if len(os.fsencode(name)) + 1 + _NAME_CHARS <= _PATH_BYTES_MAX and _keeps_names(name):
            return pathlib.Path(name)
    raise NoFolder(
        f"no place for sockets: {' and '.join(tried)} cannot be written to, have paths that are too long, or let others"
        " rename what is in them; set TMPDIR to another folder"
    )


def _keeps_names(name: str) -> bool:
    """Return whether we can make folders there, and nobody else can rename them."""
    try:
        found = pathlib.Path(name).stat()
    except OSError:
        return False
    others = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    ours = found.st_uid in (os.geteuid(), 0) and (not others or bool(found.st_mode & stat.S_ISVTX))
    return ours and os.access(name, os.W_OK | os.X_OK)


def _locked(folder: pathlib.Path) -> int | None:
    """Lock a folder of ours; return the descriptor that holds the lock, None if somebody else does or it is gone."""
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    with contextlib.suppress(OSError):
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        found = os.fstat(fd)
        if found.st_uid == os.geteuid() and os.path.samestat(found, folder.lstat()):
            return fd
    os.close(fd)
    return None
