"""What is left of what was deleted in SQLite (`stores.remains`), within somebody's transaction."""

import contextlib
import sqlite3

from meshkit import paging
from meshkit.sqlite import Database
from meshkit.sqlite.erasing import zeroing
from services.runner.stores.remains import BYTES_MAX, CONVERSATIONS, ROWS_MAX, TABLES, Left, Sweeper, Table


def sweeper(database: Database) -> Sweeper:
    """Return who sweeps a database."""

    async def behind(left: Left) -> Left | None:
        return await database.read(lambda connection: _behind(connection, left))

    async def sweep(left: Left) -> bool:
        return await database.write(lambda connection: _slice(connection, *left))

    return Sweeper(behind, sweep)


def leave(connection: sqlite3.Connection, kind: str, name: str, owner: str) -> bool:
    """Take away what goes with something that is deleted, up to a slice; return whether some is left for the sweeper.

    `owner` is whose it was: what is counted of theirs goes down as it is swept.
    """
    connection.execute("INSERT OR REPLACE INTO remains (kind, name, owner) VALUES (?, ?, ?)", (kind, name, owner))
    return _slice(connection, kind, name)


def _behind(connection: sqlite3.Connection, left: Left) -> Left | None:
    statement = "SELECT kind, name FROM remains WHERE (kind, name) > (?, ?) ORDER BY kind, name LIMIT 1"
    found: Left | None = connection.execute(statement, left).fetchone()
    return found


def _slice(connection: sqlite3.Connection, kind: str, name: str) -> bool:
    # What people said is not to be read in the file, either.
    with zeroing(connection) if kind == CONVERSATIONS else contextlib.nullcontext():
        if any(_is_left(connection, table, name) for table in TABLES[kind]):
            return True
    connection.execute("DELETE FROM remains WHERE kind = ? AND name = ?", (kind, name))
    return False


def _is_left(connection: sqlite3.Connection, table: Table, name: str) -> bool:
    """Take a slice of a table; return whether there is more of it."""
    size = " + ".join(f"length(CAST({column} AS BLOB))" for column in table.large)
    mine = f"FROM {table.name} WHERE {table.whose} = ?"
    statement = f"SELECT {table.order}, {size} {mine} ORDER BY {table.order} LIMIT {ROWS_MAX}"
    # Not by a list: each is measured only as long as there is room.
    found = list(paging.until_full(connection.execute(statement, (name,)), lambda row: int(row[1]), BYTES_MAX))
    if not found:
        return False
    connection.execute(f"DELETE {mine} AND {table.order} <= ?", (name, found[-1][0]))
    return connection.execute(f"SELECT 1 {mine} LIMIT 1", (name,)).fetchone() is not None
