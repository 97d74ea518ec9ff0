"""The requests of a store in PostgreSQL (`meshkit.idempotency`): one table, for any service's schema."""

from meshkit.idempotency import KEPT_S, Request, repeated
from meshkit.postgres import Connection

MIGRATION = """
    CREATE TABLE requests (
      owner text NOT NULL, request_id text NOT NULL, body_hash text NOT NULL, answer bytea NOT NULL,
      created_at double precision NOT NULL, PRIMARY KEY (owner, request_id)
    );
    CREATE INDEX requests_by_age ON requests (created_at);
"""
"""For a service's list of migrations."""
_FORGOTTEN_MAX = 100
"""At once: of two who forget, one waits for the other."""


async def find(connection: Connection, owner: str, request_id: str) -> Request | None:
    """Return the request of this name, if it is remembered."""
    row = await connection.fetchrow(
        "SELECT body_hash, answer FROM requests WHERE owner = $1 AND request_id = $2", owner, request_id
    )
    if row is None:
        return None
    return Request(owner=owner, request_id=request_id, body_hash=row[0], answer=row[1])


async def keep(connection: Connection, request: Request | None, now: float) -> None:
    """Keep it, if there is one, and forget some of what is older than a day: within the write that has the effect.

    Raises `AlreadyExists` if it is kept already; the write is then undone as a whole.  Whoever keeps the same at the
    same time, on whatever replica, waits here for the outcome of the first: call it before anything that is dear.
    """
    if request is None:
        return
    kept = await connection.fetchval(
        "INSERT INTO requests (owner, request_id, body_hash, answer, created_at) VALUES ($1, $2, $3, $4, $5)"
        " ON CONFLICT DO NOTHING RETURNING 1",
        request.owner,
        request.request_id,
        request.body_hash,
        request.answer,
        now,
    )
    if kept is None:
        raise repeated(request)
    await connection.execute(
        "DELETE FROM requests WHERE (owner, request_id) IN (SELECT owner, request_id FROM requests"
        " WHERE created_at <= $1 ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
        now - KEPT_S,
        _FORGOTTEN_MAX,
    )
