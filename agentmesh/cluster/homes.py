"""The folder of a host on its node, which whoever comes next removes if it was left behind.

A folder is locked (flock(2)) by the actor that has made it, for as long as its process lives: the kernel lets go of it
when that is killed.
"""

import contextlib
import fcntl
import os
import pathlib
import shutil
import tempfile

_PREFIX = "agentmesh-host-"


class Home:
    """A folder of our own."""

    def __init__(self) -> None:
        """Make one, and remove what is left of others.  Raises `OSError`."""
        _sweep(pathlib.Path(tempfile.gettempdir()))
        lock: int | None = None
        while lock is None:  # a sweep of another may have come between
            self.path = pathlib.Path(tempfile.mkdtemp(prefix=_PREFIX))
            lock = _locked(self.path)
        self._lock = lock
        self.path.chmod(0o711)  # jobs of other users must get to their own folders

    def remove(self) -> None:
        """Remove it, with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def _sweep(base: pathlib.Path) -> None:
    for found in base.glob(f"{_PREFIX}*"):
        if (lock := _locked(found)) is not None:
            shutil.rmtree(found, ignore_errors=True)
            os.close(lock)


def _locked(folder: pathlib.Path) -> int | None:
    """Lock a folder of ours; return what holds the lock, None if somebody else does or it is not ours."""
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    with contextlib.suppress(OSError):
        if os.fstat(fd).st_uid == os.geteuid():
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(fd), folder.lstat()):
                return fd
    os.close(fd)
    return None
