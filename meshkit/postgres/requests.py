"""The requests of a store in PostgreSQL (`meshkit.idempotency`): one table, for any service's schema."""

from collections.abc import Sequence

from meshkit.idempotency import KEPT_S, Request, repeated
from meshkit.postgres.database import Connection

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
_KEEP = (
    "INSERT INTO requests (owner, request_id, body_hash, answer, created_at) VALUES ($1, $2, $3, $4, $5)"
    " ON CONFLICT DO NOTHING RETURNING owner, request_id"
)
_FORGET = (
    "DELETE FROM requests WHERE (owner, request_id) IN (SELECT owner, request_id FROM requests"
    " WHERE created_at <= $1 ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED)"
)


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
    if request is not None:
        await keep_all(connection, [request], now)


async def keep_all(connection: Connection, requests: Sequence[Request], now: float) -> None:
    """As `keep`, for several at once, in the order of their names: of two who keep the same ones, one waits."""
    if not requests:
        return
    ordered = sorted(requests, key=_name)
    values = [(*_name(request), request.body_hash, request.answer, now) for request in ordered]
    kept = {(row[0], row[1]) for row in await connection.fetchmany(_KEEP, values)}
    if len(kept) < len(ordered):
        raise repeated(next((request for request in ordered if _name(request) not in kept), ordered[0]))
    await connection.execute(_FORGET, now - KEPT_S, _FORGOTTEN_MAX)


def _name(request: Request) -> tuple[str, str]:
    return request.owner, request.request_id
