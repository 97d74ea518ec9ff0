"""What is read of locks in SQLite.

What is put in an order is read whole ahead of it, and a form may be megabytes: ids are (`_in_order`), and their locks
are read one after another until there is enough.
"""

import dataclasses
import sqlite3
from collections.abc import Sequence
from typing import Any

from meshkit import paging
from meshkit.errors import NotFound
from services.runner.domain import Asked, Lock, LockEnd, LockState, pages
from services.runner.ports.store import ASKED_BYTES_MAX, LockQuery
from services.runner.stores.remains import JOBS, kept

FIELDS = [field.name for field in dataclasses.fields(Lock)]
COLUMNS = ", ".join(FIELDS)
_KEPT = kept(JOBS, "job_id")
_ASKED_FIELDS = [field.name for field in dataclasses.fields(Asked)]


def _in_order(columns: str, condition: str, order: str) -> str:
    """Return a statement that reads locks in an order, each when it is its turn; the last value is how many at most."""
    # A cross join is never turned round, and what has a limit is not made one with it.
    chosen = f"SELECT lock_id AS chosen_id FROM locks WHERE {condition} ORDER BY {order} LIMIT ?"
    return f"SELECT {columns} FROM ({chosen}) CROSS JOIN locks ON lock_id = chosen_id"


_ASKED = _in_order(", ".join(_ASKED_FIELDS), "job_id = ? AND state <> 'closed'", "created_at, lock_id")
_ENDS = (
    "SELECT lock_id, state, answered_at, answered_by, result_json, sealed FROM locks INDEXED BY locks_by_job"
    " WHERE job_id = ? AND lock_id > ? AND state <> 'pending' ORDER BY lock_id LIMIT ?"
)


def get(connection: sqlite3.Connection, lock_id: str) -> Lock:
    """As `JobStore.get_lock`."""
    row = connection.execute(f"SELECT {COLUMNS} FROM locks WHERE lock_id = ? AND {_KEPT}", (lock_id,)).fetchone()
    if row is None:
        raise NotFound("lock not found", resource=f"locks/{lock_id}")
    return _lock(row)


def find(connection: sqlite3.Connection, query: LockQuery, limit: int) -> list[Lock]:
    """As `JobStore.find_locks`."""
    clauses = [_KEPT]
    values: list[Any] = []
    for clause, value in (("owner = ?", query.owner), ("job_id = ?", query.job_id)):
        if value:
            clauses.append(clause)
            values.append(value)
    if not query.ended:
        clauses.append("state = 'pending'")
    if query.before is not None:
        clauses.append("(created_at, lock_id) < (?, ?)")
        values += query.before
    statement = _in_order(COLUMNS, " AND ".join(clauses), "created_at DESC, lock_id DESC")
    return list(paging.until_full(map(_lock, connection.execute(statement, (*values, limit)))))


def asked(connection: sqlite3.Connection, job_id: str) -> list[Asked]:
    """As `JobStore.asked`."""
    found = map(_asked, connection.execute(_ASKED, (job_id, -1)))
    return list(paging.until_full(found, pages.bytes_of_asked, ASKED_BYTES_MAX))


def ends(connection: sqlite3.Connection, job_id: str, after: str, limit: int) -> list[LockEnd]:
    """As `JobStore.lock_ends`."""
    rows = connection.execute(_ENDS, (job_id, after, limit))
    found = (
        LockEnd(lock_id=r[0], state=LockState(r[1]), at=r[2], by=r[3], result_json=r[4], sealed=r[5]) for r in rows
    )
    return list(paging.until_full(found, pages.bytes_of_answer))


def _lock(row: Sequence[Any]) -> Lock:
    values = dict(zip(FIELDS, row, strict=True))
    return Lock(**{**values, "state": LockState(values["state"])})


def _asked(row: Sequence[Any]) -> Asked:
    values = dict(zip(_ASKED_FIELDS, row, strict=True))
    return Asked(**{**values, "state": LockState(values["state"])})
