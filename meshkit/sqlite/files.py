"""What becomes of a SQLite file while it is open: it fills its disk, fails, is deleted, is damaged.

Told apart by SQLite's own result codes (https://sqlite.org/rescode.html), never by texts.
"""

import contextlib
import dataclasses
import os
import pathlib
import sqlite3
import threading

import structlog

from meshkit.errors import MeshError, Unavailable

log = structlog.get_logger()

_WHY = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_IOERR: "the disk does not take or give it",
    sqlite3.SQLITE_READONLY: "it is read-only",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened (its folder, its rights, or no descriptors are left)",
    sqlite3.SQLITE_CORRUPT: "it is damaged: put a copy in its place",
    sqlite3.SQLITE_NOTADB: "it is no database: put a copy in its place",
    sqlite3.SQLITE_BUSY: "another program holds it",
    sqlite3.SQLITE_LOCKED: "another program holds it",
    sqlite3.SQLITE_NOMEM: "memory is short",
    sqlite3.SQLITE_PROTOCOL: "another program holds it",
}
_PASSING = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM}
_SUFFIXES = ("", "-wal", "-shm")


def why(error: BaseException) -> str:
    """Say why a file cannot be used; empty if the error is not about the file."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return _WHY.get(_code(error), "")


def is_passing(error: BaseException) -> bool:
    """Return whether a connection is as good as before once the moment has passed."""
    return _code(error) in _PASSING


def refusal(error: Exception, path: pathlib.Path, *, reading: bool = False) -> Unavailable | None:
    """Return what a caller is told of an error about the file; `None` if it is about something else.

    A write on a connection for `reading` is a mistake of ours, and no trouble of the file's.
    """
    if isinstance(error, Unavailable):
        return error
    if reading and _code(error) == sqlite3.SQLITE_READONLY:
        return None
    reason = why(error)
    return Unavailable(f"{path.name} cannot be {'read' if reading else 'written'} now: {reason}") if reason else None


def _code(error: BaseException) -> int:
    """Return SQLite's primary result code; -1 if it is none of SQLite's errors."""
    return getattr(error, "sqlite_errorcode", -1) & 0xFF if isinstance(error, sqlite3.Error) else -1


class Trouble:
    """Says in the log when a file cannot be used any more, and when it can again: once each."""

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._said = ""

    def begins(self, error: MeshError) -> None:
        """Note that something could not be done."""
        with self._lock:
            said, self._said = self._said, str(error)
        if said != str(error):
            log.error("database in trouble", file=str(self._path), why=str(error))

    def ends(self) -> None:
        """Note that a write is on disk."""
        if not self._said:
            return
        with self._lock:
            said, self._said = self._said, ""
        if said:
            log.info("database works again", file=str(self._path))


DELETED = Unavailable("it was deleted while it was open: it is made anew from what is open")


@dataclasses.dataclass(frozen=True, slots=True)
class Identity:
    """Which file is open."""

    device: int = 0
    inode: int = 0

    def has_gone(self, path: pathlib.Path) -> bool:
        """Return whether the file, or one of those beside it, is not there any more.

        Raises `Unavailable` if another file is in its place: it would be overwritten, or what is open be lost.
        """
        try:
            found, _, _ = (os.stat(f"{path}{suffix}") for suffix in _SUFFIXES)
        except (FileNotFoundError, NotADirectoryError):
            return True
        if (found.st_dev, found.st_ino) != (self.device, self.inode):
            raise Unavailable(f"{path.name} was replaced while it was open: restart the mesh to use what is there now")
        return False


def identity(path: pathlib.Path) -> Identity:
    """Return which file stands at a path.  Raises `OSError`."""
    found = os.stat(path)
    return Identity(found.st_dev, found.st_ino)


def restore(connection: sqlite3.Connection, path: pathlib.Path) -> None:
    """Write the database that a connection has open to `path`, where it was deleted, and to nowhere before it is whole.

    The connection goes on with the deleted file: open another.  Raises `sqlite3.Error` and `OSError`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.restored")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    with contextlib.closing(sqlite3.connect(draft)) as copy:
        connection.backup(copy)
    for suffix in _SUFFIXES:  # what is left beside it belongs to the file that is gone
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    os.replace(draft, path)
