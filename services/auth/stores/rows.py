"""Rows of the auth database as records, and what several of its writes do.

Times in it are whole microseconds since 1970, UTC.
"""

import datetime
import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from meshkit import clock
from services.auth import domain
from services.auth.domain import ApiKey, Revocation, Session, Tier, User
from services.auth.ports.store import Place

USER = "user_id, login, email, password_hash, active, operator, tier, created_at"
SESSION = (
    "session_id, user_id, token_hash, access_ttl_s, access, issued_at, expires_at, created_at, used_at, client, address"
)
BEGUN = "CASE created_at WHEN 0 THEN issued_at ELSE created_at END"
"""When a session began: a version that did not know it wrote 0, and may still, beside us."""
KEY = "key_id, user_id, display_name, created_at, expires_at"
Connection = sqlite3.Connection


def user_values(user: User) -> tuple[Any, ...]:
    """Return what an INSERT or UPDATE of a user writes, in the order of `USER` without its ends."""
    return (user.login, user.email, user.password_hash, int(user.active), int(user.operator), user.tier.value)


def to_user(row: tuple[Any, ...]) -> User:
    """Return the user of a row of `USER`."""
    user_id, login, email, password_hash, active, operator, tier, created_at = row
    return User(
        user_id=user_id,
        login=login,
        email=email,
        password_hash=password_hash,
        active=bool(active),
        operator=bool(operator),
        tier=Tier(tier),
        created_at=clock.from_micros(created_at),
    )


def to_key(row: tuple[Any, ...]) -> ApiKey:
    """Return the API key of a row of `KEY`."""
    key_id, user_id, display_name, created_at, expires_at = row
    return ApiKey(
        key_id=key_id,
        user_id=user_id,
        display_name=display_name,
        created_at=clock.from_micros(created_at),
        expires_at=clock.from_micros(expires_at),
    )


def find_user(connection: Connection, user_id: str) -> User | None:
    """Return the user, if there is one."""
    row = connection.execute(f"SELECT {USER} FROM users WHERE user_id = ?", (user_id,)).fetchone()
    return to_user(row) if row is not None else None


def get_user(connection: Connection, user_id: str) -> User:
    """Return the user, or raise `NotFound`."""
    found = find_user(connection, user_id)
    if found is None:
        raise domain.no_user(user_id)
    return found


def check_unique(connection: Connection, user: User) -> None:
    """Raise `AlreadyExists` if somebody else has the user's login or e-mail."""
    for field, column, value in (("login", "login", user.login), ("email", "email_key", user.email.lower())):
        sql = f"SELECT 1 FROM users WHERE {column} = ? AND user_id <> ?"
        if connection.execute(sql, (value, user.user_id)).fetchone():
            raise domain.taken(field)


def other_operators(connection: Connection, user_id: str) -> int:
    """Return how many active operators there are beside this user."""
    sql = "SELECT count(*) FROM users WHERE active AND operator AND user_id <> ?"
    return int(connection.execute(sql, (user_id,)).fetchone()[0])


def find_session(connection: Connection, session_id: str) -> Session | None:
    """Return the session, if there is one."""
    row = connection.execute(f"SELECT {SESSION} FROM sessions WHERE session_id = ?", (session_id,)).fetchone()
    return to_session(row) if row is not None else None


def to_session(row: tuple[Any, ...]) -> Session:
    """Return the session of a row of `SESSION`."""
    session_id, user_id, token_hash, access_ttl_s, access, issued_at, expires_at, created_at, used_at, *seen = row
    return Session(
        session_id=session_id,
        user_id=user_id,
        token_hash=token_hash,
        access_ttl_s=access_ttl_s,
        access=tuple((jti, clock.from_micros(us)) for jti, us in json.loads(access)),
        issued_at=clock.from_micros(issued_at),
        expires_at=clock.from_micros(expires_at),
        created_at=clock.from_micros(created_at or issued_at),
        used_at=clock.from_micros(max(used_at, issued_at)),
        client=seen[0],
        address=seen[1],
    )


def before(place: Place | None) -> tuple[int, str]:
    """Return what `BEGUN` and the id of a session behind that place are less than."""
    return (clock.micros(place[0]), place[1]) if place is not None else (2**62, "")


def session_values(session: Session) -> tuple[Any, ...]:
    """Return the row of `SESSION` that keeps a session as it is now."""
    return (
        session.session_id,
        session.user_id,
        session.token_hash,
        session.access_ttl_s,
        json.dumps([(jti, clock.micros(at)) for jti, at in session.access]),
        clock.micros(session.issued_at),
        clock.micros(session.expires_at),
        clock.micros(session.created_at),
        clock.micros(session.used_at),
        session.client,
        session.address,
    )


def put_session(connection: Connection, session: Session) -> None:
    """Keep a session as it is now."""
    connection.execute(
        f"INSERT OR REPLACE INTO sessions ({SESSION}) VALUES (?,?,?,?,?,?,?,?,?,?,?)", session_values(session)
    )


def end_session(connection: Connection, session_id: str, now: datetime.datetime) -> list[Revocation]:
    """Delete a session; return what fails by it."""
    session = find_session(connection, session_id)
    if session is None:
        return []
    connection.execute("DELETE FROM sessions WHERE session_id = ?", (session_id,))
    return put_revocations(connection, session.end(now))


def to_revocation(row: tuple[Any, ...]) -> Revocation:
    """Return the revocation of a row of jti, user_id, issued_at, expires_at."""
    jti, user_id, issued_at, expires_at = row
    return Revocation(
        jti=jti, user_id=user_id, issued_at=clock.from_micros(issued_at), expires_at=clock.from_micros(expires_at)
    )


def find_revocation(connection: Connection, jti: str, user_id: str) -> Revocation | None:
    """Return what is revoked of a target, if anything is."""
    sql = "SELECT jti, user_id, issued_at, expires_at FROM revocations WHERE jti = ? AND user_id = ?"
    row = connection.execute(sql, (jti, user_id)).fetchone()
    return to_revocation(row) if row is not None else None


def put_revocation(connection: Connection, revocation: Revocation) -> Revocation:
    """As `put_revocations`, of one."""
    (merged,) = put_revocations(connection, [revocation])
    return merged


def put_revocations(connection: Connection, revocations: Sequence[Revocation]) -> list[Revocation]:
    """Keep revocations under new numbers, merged with older ones of their targets; return them.

    Forgets what has expired by them.
    """
    if not revocations:
        return []
    over = clock.micros(min(each.issued_at for each in revocations))
    connection.execute("DELETE FROM revocations WHERE expires_at <= ?", (over,))
    merged = [domain.merge(find_revocation(connection, each.jti, each.user_id), each) for each in revocations]
    connection.executemany(
        "INSERT OR REPLACE INTO revocations (jti, user_id, issued_at, expires_at) VALUES (?,?,?,?)",
        ((each.jti, each.user_id, clock.micros(each.issued_at), clock.micros(each.expires_at)) for each in merged),
    )
    return merged


def revoke_user(connection: Connection, user_id: str, now: datetime.datetime) -> Revocation:
    """Revoke all that a user holds, and delete it."""
    last = connection.execute("SELECT max(expires_at) FROM api_keys WHERE user_id = ?", (user_id,)).fetchone()[0]
    connection.execute("DELETE FROM sessions WHERE user_id = ?", (user_id,))
    connection.execute("DELETE FROM api_keys WHERE user_id = ?", (user_id,))
    return put_revocation(
        connection, domain.user_revocation(user_id, now, clock.from_micros(last) if last is not None else None)
    )
