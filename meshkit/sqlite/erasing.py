"""What is deleted so that nobody reads it in the file."""

import contextlib
import sqlite3
from collections.abc import Iterator

_NAMES = ("OFF", "ON", "FAST")
"""Of `PRAGMA secure_delete`, as SQLite numbers them."""


@contextlib.contextmanager
def zeroing(connection: sqlite3.Connection) -> Iterator[None]:
    """Write zeros over what is deleted in the block; others who delete on this connection do not pay for that."""
    (before,) = connection.execute("PRAGMA secure_delete").fetchone()
    connection.execute("PRAGMA secure_delete = ON").fetchall()
    try:
        yield
    finally:
        connection.execute(f"PRAGMA secure_delete = {_NAMES[before]}").fetchall()
