"""SQLite files of one moment, taken from a mesh that goes on writing."""

import contextlib
import pathlib
import sqlite3
from collections.abc import Sequence

from agentmesh.backups.archive import Broken

_LOCK_S = 10.0
"""How long a service may take to end the commit that it is in."""


def copy(sources: Sequence[pathlib.Path], folder: pathlib.Path) -> list[pathlib.Path]:
    """Copy databases as they are at one moment; return the copies, of the same names.

    For that moment, some milliseconds, every writer waits: then all snapshots are open, writers go on, and what is
    copied is the snapshots.  So it is what a power cut would have left then, of all services at once.  Raises
    `sqlite3.Error`.
    """
    with contextlib.ExitStack() as stack:
        readers = [_opened(source, stack) for source in sources]
        with contextlib.ExitStack() as held:
            for source in sources:  # each service holds one only, so nobody waits in a circle
                writer = _opened(source, held)
                writer.execute("BEGIN IMMEDIATE")
                held.callback(writer.rollback)
            for reader in readers:
                reader.execute("BEGIN")
                reader.execute("SELECT count(*) FROM sqlite_master").fetchone()  # the snapshot is opened by reading
        return [_saved(reader, folder / source.name) for reader, source in zip(readers, sources, strict=True)]


def _opened(path: pathlib.Path, stack: contextlib.ExitStack) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=_LOCK_S, isolation_level=None)
    return stack.enter_context(contextlib.closing(connection))


def _saved(reader: sqlite3.Connection, path: pathlib.Path) -> pathlib.Path:
    path.touch(mode=0o600)
    with contextlib.closing(sqlite3.connect(path)) as target:
        reader.backup(target)
    return path


def check(path: pathlib.Path) -> None:
    """Raise `Broken` unless a file is a whole database."""
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        said = str(error)
    if said != "ok":
        raise Broken(f"{path.name} of the backup is damaged ({said}): take another")
