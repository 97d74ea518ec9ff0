"""Rows of the auth schema in PostgreSQL, and what several of its writes do.  Times are microseconds since 1970, UTC.

Locks are taken in this order: the user's row, `operators`, `revocations`.
"""

import datetime
from collections.abc import Sequence

from meshkit import clock
from meshkit.postgres import Connection, lock
from services.auth import domain
from services.auth.domain import Revocation, Session, User
from services.auth.ports.store import Clock
from services.auth.stores import rows

MIGRATION = """
    CREATE TABLE users (
        user_id text PRIMARY KEY,
        login text COLLATE "C" NOT NULL CONSTRAINT login_is_taken UNIQUE,
        email text NOT NULL,
        email_key text NOT NULL CONSTRAINT email_is_taken UNIQUE,  -- lower case, by Python's rule
        password_hash text NOT NULL,
        active boolean NOT NULL,
        operator boolean NOT NULL,
        tier text NOT NULL,
        created_at bigint NOT NULL,
        stamped_at bigint NOT NULL DEFAULT 0  -- of what was issued to them or revoked last, by whatever replica's clock
    );
    CREATE TABLE sessions (
        session_id text PRIMARY KEY,
        user_id text NOT NULL REFERENCES users ON DELETE CASCADE,
        token_hash text NOT NULL,
        access_ttl_s integer NOT NULL,
        access text NOT NULL,  -- JSON: [[jti, expires_at], ...]
        issued_at bigint NOT NULL,
        expires_at bigint NOT NULL
    );
    CREATE INDEX sessions_user ON sessions (user_id, issued_at);
    CREATE INDEX sessions_expiry ON sessions (expires_at);
    CREATE TABLE api_keys (
        key_id text PRIMARY KEY,
        user_id text NOT NULL REFERENCES users ON DELETE CASCADE,
        display_name text NOT NULL,
        created_at bigint NOT NULL,
        expires_at bigint NOT NULL
    );
    CREATE INDEX api_keys_user ON api_keys (user_id, created_at);
    CREATE TABLE revocations (
        number bigserial PRIMARY KEY,  -- in the order of the commits: followers read on from the last they have seen
        jti text NOT NULL,
        user_id text NOT NULL,
        issued_at bigint NOT NULL,
        expires_at bigint NOT NULL,
        UNIQUE (jti, user_id)
    );
    CREATE INDEX revocations_expiry ON revocations (expires_at);
"""
SEEN = """
    ALTER TABLE sessions
        ADD COLUMN created_at bigint NOT NULL DEFAULT 0,
        ADD COLUMN used_at bigint NOT NULL DEFAULT 0,
        ADD COLUMN client text NOT NULL DEFAULT '',
        ADD COLUMN address text NOT NULL DEFAULT '';
    UPDATE sessions SET created_at = issued_at, used_at = issued_at;
"""


async def locked_user(connection: Connection, user_id: str) -> User | None:
    """Return the user, if there is one, to whom nobody else does anything now."""
    row = await connection.fetchrow(f"SELECT {rows.USER} FROM users WHERE user_id = $1 FOR UPDATE", user_id)
    return rows.to_user(tuple(row)) if row is not None else None


async def get_locked_user(connection: Connection, user_id: str) -> User:
    """As `locked_user`; raises `NotFound`."""
    found = await locked_user(connection, user_id)
    if found is None:
        raise domain.no_user(user_id)
    return found


async def stamp(connection: Connection, user_id: str, now: Clock) -> datetime.datetime:
    """Return a time that is later than any before of this user's, whose clock ever it was.

    Their row must be locked.  For somebody who is not there it is just the time.
    """
    wall = now()
    stamped = await connection.fetchval(
        "UPDATE users SET stamped_at = greatest($2, stamped_at + 1) WHERE user_id = $1 RETURNING stamped_at",
        user_id,
        clock.micros(wall),
    )
    return clock.from_micros(stamped) if stamped is not None else wall


async def other_operators(connection: Connection, user_id: str) -> int:
    """Return how many active operators there are beside this user; nobody else takes one away meanwhile."""
    await lock(connection, "operators")
    sql = "SELECT count(*) FROM users WHERE active AND operator AND user_id <> $1"
    return int(await connection.fetchval(sql, user_id))


async def locked_session(connection: Connection, session_id: str) -> tuple[Session, User] | None:
    """Return a session with its user, whose row is locked; `None` if it is not there."""
    user_id = await connection.fetchval("SELECT user_id FROM sessions WHERE session_id = $1", session_id)
    user = await locked_user(connection, user_id) if user_id is not None else None
    # Anew: whoever had the lock may have changed or ended it.
    sql = f"SELECT {rows.SESSION} FROM sessions WHERE session_id = $1"
    row = await connection.fetchrow(sql, session_id) if user is not None else None
    if user is None or row is None:
        return None
    return rows.to_session(tuple(row)), user


async def put_session(connection: Connection, session: Session) -> None:
    """Keep a session as it is now."""
    await connection.execute(
        f"INSERT INTO sessions ({rows.SESSION}) VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11)"
        " ON CONFLICT (session_id) DO UPDATE SET"
        " token_hash = excluded.token_hash, access = excluded.access, issued_at = excluded.issued_at,"
        " created_at = excluded.created_at, used_at = excluded.used_at, expires_at = excluded.expires_at",
        *rows.session_values(session),
    )


async def end_session(connection: Connection, session: Session, now: datetime.datetime) -> list[Revocation]:
    """Delete a session; return what fails by it."""
    await connection.execute("DELETE FROM sessions WHERE session_id = $1", session.session_id)
    return await put_revocations(connection, session.end(now))


async def find_revocation(connection: Connection, jti: str, user_id: str) -> Revocation | None:
    """Return what is revoked of a target, if anything is."""
    sql = "SELECT jti, user_id, issued_at, expires_at FROM revocations WHERE jti = $1 AND user_id = $2"
    row = await connection.fetchrow(sql, jti, user_id)
    return rows.to_revocation(tuple(row)) if row is not None else None


async def put_revocation(connection: Connection, revocation: Revocation) -> Revocation:
    """As `put_revocations`, of one."""
    (merged,) = await put_revocations(connection, [revocation])
    return merged


async def put_revocations(connection: Connection, revocations: Sequence[Revocation]) -> list[Revocation]:
    """Keep revocations under new numbers, merged with older ones of their targets; return them.

    Forgets what has expired by them.  However many there are, others wait for a few statements only.
    """
    if not revocations:
        return []
    await lock(connection, "revocations")  # or a higher number would be seen before a lower one, which is then missed
    over = clock.micros(min(each.issued_at for each in revocations))
    await connection.execute("DELETE FROM revocations WHERE expires_at <= $1", over)
    # Ids of ours: an array knows nothing of NUL (`meshkit.postgres`).
    found = await connection.fetch(
        "SELECT jti, user_id, issued_at, expires_at FROM revocations"
        " WHERE (jti, user_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))",
        [each.jti for each in revocations],
        [each.user_id for each in revocations],
    )
    kept = {(each.jti, each.user_id): each for each in (rows.to_revocation(tuple(row)) for row in found)}
    for each in revocations:
        kept[each.jti, each.user_id] = domain.merge(kept.get((each.jti, each.user_id)), each)
    merged = list(kept.values())
    await connection.execute(
        "INSERT INTO revocations (jti, user_id, issued_at, expires_at)"
        " SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[])"
        " ON CONFLICT (jti, user_id) DO UPDATE SET"
        " number = excluded.number, issued_at = excluded.issued_at, expires_at = excluded.expires_at",
        [each.jti for each in merged],
        [each.user_id for each in merged],
        [clock.micros(each.issued_at) for each in merged],
        [clock.micros(each.expires_at) for each in merged],
    )
    return merged


async def revoke_user(connection: Connection, user_id: str, now: Clock) -> Revocation:
    """Revoke all that a user holds, and delete it.  Their row must be locked."""
    at = await stamp(connection, user_id, now)
    last = await connection.fetchval("SELECT max(expires_at) FROM api_keys WHERE user_id = $1", user_id)
    await connection.execute("DELETE FROM sessions WHERE user_id = $1", user_id)
    await connection.execute("DELETE FROM api_keys WHERE user_id = $1", user_id)
    keys_expire = clock.from_micros(last) if last is not None else None
    return await put_revocation(connection, domain.user_revocation(user_id, at, keys_expire))
