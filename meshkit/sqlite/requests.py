"""The requests of a store in SQLite (`meshkit.idempotency`): one table, for any service's file.

`find` and `keep` are also for works of PostgreSQL that must not await.
"""

from meshkit.idempotency import KEPT_S, Request, repeated
from meshkit.sql import Sql

MIGRATION = """
    CREATE TABLE requests (
      owner TEXT NOT NULL, request_id TEXT NOT NULL, body_hash TEXT NOT NULL, answer BLOB NOT NULL,
      created_at REAL NOT NULL, PRIMARY KEY (owner, request_id)
    ) STRICT;
    CREATE INDEX requests_by_age ON requests (created_at);
"""
"""For a service's list of migrations."""
_FORGOTTEN_MAX = 100
"""At once: after a day in which nobody asked there may be millions, and each write keeps others waiting."""


def find(connection: Sql, owner: str, request_id: str) -> Request | None:
    """Return the request of this name, if it is remembered."""
    row = connection.execute(
        "SELECT body_hash, answer FROM requests WHERE owner = ? AND request_id = ?", (owner, request_id)
    ).fetchone()
    if row is None:
        return None
    return Request(owner=owner, request_id=request_id, body_hash=row[0], answer=row[1])


def keep(connection: Sql, request: Request | None, now: float) -> None:
    """Keep it, if there is one, and forget some of what is older than a day: within the write that has the effect.

    Raises `AlreadyExists` if it is kept already; the write is then undone as a whole.
    """
    if request is None:
        return
    connection.execute(
        "DELETE FROM requests WHERE (owner, request_id) IN (SELECT owner, request_id FROM requests"
        " WHERE created_at <= ? ORDER BY created_at LIMIT ?)",
        (now - KEPT_S, _FORGOTTEN_MAX),
    )
    kept = connection.execute(
        "INSERT INTO requests (owner, request_id, body_hash, answer, created_at) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        (request.owner, request.request_id, request.body_hash, request.answer, now),
    )
    if not kept.rowcount:
        raise repeated(request)
