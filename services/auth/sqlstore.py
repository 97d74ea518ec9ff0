"""The auth store in a SQLite file.  Times in it are integers: microseconds since 1970, UTC."""

import datetime
import json
import sqlite3
from typing import Any

from meshkit.sqlite import Database
from services.auth import domain, store
from services.auth.domain import ApiKey, Revocation, Session, Tier, User, UserChange
from services.auth.store import Clock, Issued, Reuse

MIGRATIONS = [
    """
    CREATE TABLE users (
        user_id TEXT PRIMARY KEY,
        login TEXT NOT NULL UNIQUE,
        email TEXT NOT NULL,
        email_key TEXT NOT NULL UNIQUE,  -- lower case, by Python's rule: SQLite knows only ASCII's
        password_hash TEXT NOT NULL,
        active INTEGER NOT NULL,
        operator INTEGER NOT NULL,
        tier TEXT NOT NULL,
        created_at INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE sessions (
        session_id TEXT PRIMARY KEY,
        user_id TEXT NOT NULL REFERENCES users ON DELETE CASCADE,
        token_hash TEXT NOT NULL,
        access_ttl_s INTEGER NOT NULL,
        access TEXT NOT NULL,  -- JSON: [[jti, expires_at], ...]
        issued_at INTEGER NOT NULL,
        expires_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX sessions_user ON sessions (user_id, issued_at);
    CREATE INDEX sessions_expiry ON sessions (expires_at);
    CREATE TABLE api_keys (
        key_id TEXT PRIMARY KEY,
        user_id TEXT NOT NULL REFERENCES users ON DELETE CASCADE,
        display_name TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        expires_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX api_keys_user ON api_keys (user_id, created_at);
    CREATE TABLE revocations (
        jti TEXT NOT NULL,
        user_id TEXT NOT NULL,
        issued_at INTEGER NOT NULL,
        expires_at INTEGER NOT NULL,
        PRIMARY KEY (jti, user_id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX revocations_expiry ON revocations (expires_at);
    """,
]
_USER = "user_id, login, email, password_hash, active, operator, tier, created_at"
_SESSION = "session_id, user_id, token_hash, access_ttl_s, access, issued_at, expires_at"
_KEY = "key_id, user_id, display_name, created_at, expires_at"
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_US = datetime.timedelta(microseconds=1)
Connection = sqlite3.Connection


class SqliteStore:
    """Keeps everything in a `meshkit.sqlite.Database` made with `MIGRATIONS`, which the caller opens and closes."""

    def __init__(self, database: Database, now: Clock) -> None:
        self._db = database
        self._now = now

    async def add_user(self, user: User) -> None:
        """Keep `user`.  Raises `AlreadyExists`."""

        def work(connection: Connection) -> None:
            _check_unique(connection, user)
            connection.execute(
                f"INSERT INTO users ({_USER}, email_key) VALUES (?,?,?,?,?,?,?,?,?)",
                (user.user_id, *_user_values(user), _us(user.created_at), user.email.lower()),
            )

        await self._db.write(work)

    async def get_user(self, user_id: str) -> User:
        """Return the user, or raise `NotFound`."""
        return self._db.read_now(lambda connection: _get_user(connection, user_id))

    async def find_user(self, login: str) -> User:
        """Return the user, or raise `NotFound`."""
        row = self._db.read_now(
            lambda connection: connection.execute(f"SELECT {_USER} FROM users WHERE login = ?", (login,)).fetchone()
        )
        if row is None:
            raise store.no_user(login)
        return _user(row)

    async def list_users(self, after: str, limit: int) -> list[User]:
        """Return a page of users by login."""
        sql = f"SELECT {_USER} FROM users WHERE login > ? ORDER BY login LIMIT ?"
        rows = self._db.read_now(lambda connection: connection.execute(sql, (after, limit)).fetchall())
        return [_user(row) for row in rows]

    async def update_user(self, user_id: str, change: UserChange) -> tuple[User, Revocation | None]:
        """Change a user."""

        def work(connection: Connection) -> tuple[User, Revocation | None]:
            before = _get_user(connection, user_id)
            after = change.applied_to(before)
            _check_unique(connection, after)
            domain.check_operator_stays(before, after, _other_operators(connection, user_id))
            connection.execute(
                "UPDATE users SET login=?, email=?, password_hash=?, active=?, operator=?, tier=?, email_key=?"
                " WHERE user_id = ?",
                (*_user_values(after), after.email.lower(), user_id),
            )
            revokes = domain.revokes(before, after)
            return after, _revoke_user(connection, user_id, self._now()) if revokes else None

        return await self._db.write(work)

    async def delete_user(self, user_id: str) -> Revocation:
        """Delete a user with all they hold."""

        def work(connection: Connection) -> Revocation:
            before = _get_user(connection, user_id)
            domain.check_operator_stays(before, None, _other_operators(connection, user_id))
            revocation = _revoke_user(connection, user_id, self._now())
            connection.execute("DELETE FROM users WHERE user_id = ?", (user_id,))
            return revocation

        return await self._db.write(work)

    async def add_session(self, session: Session, user: User, jti: str) -> Issued:
        """Start a session."""

        def work(connection: Connection) -> Issued:
            current = store.check_unchanged(user, _find_user(connection, user.user_id))
            now = self._now()
            connection.execute("DELETE FROM sessions WHERE expires_at <= ?", (_us(now),))
            started, revocations = session.issue(session.token_hash, jti, now)
            _put_session(connection, started)
            connection.execute(
                "DELETE FROM sessions WHERE session_id IN"
                " (SELECT session_id FROM sessions WHERE user_id = ? ORDER BY issued_at DESC LIMIT -1 OFFSET ?)",
                (user.user_id, domain.SESSIONS_PER_USER_MAX),
            )
            return Issued(user=current, session=started, revocations=revocations)

        return await self._db.write(work)

    async def rotate(self, session_id: str, old_hash: str, new_hash: str, jti: str) -> Issued | Reuse:
        """Exchange a refresh token."""

        def work(connection: Connection) -> Issued | Reuse:
            now = self._now()
            session = _find_session(connection, session_id)
            user = _find_user(connection, session.user_id) if session is not None else None
            if session is None or user is None or session.expires_at <= now:
                raise store.bad_refresh_token()
            if session.token_hash != old_hash:
                return Reuse(user_id=session.user_id, revocations=_end_session(connection, session_id, now))
            following, revocations = session.issue(new_hash, jti, now)
            _put_session(connection, following)
            for revocation in revocations:
                _put_revocation(connection, revocation)
            return Issued(user=user, session=following, revocations=revocations)

        return await self._db.write(work)

    async def end_session(self, session_id: str, jti: str, expires_at: datetime.datetime) -> list[Revocation]:
        """End a session and revoke a token."""

        def work(connection: Connection) -> list[Revocation]:
            now = self._now()
            revocations = _end_session(connection, session_id, now)
            connection.execute("DELETE FROM api_keys WHERE key_id = ?", (jti,))
            if jti not in {revocation.jti for revocation in revocations}:
                revocation = Revocation(jti=jti, issued_at=now, expires_at=expires_at)
                revocations.append(_put_revocation(connection, revocation))
            return revocations

        return await self._db.write(work)

    async def add_api_key(
        self, user_id: str, key_id: str, display_name: str, ttl: datetime.timedelta, caller_issued_at: datetime.datetime
    ) -> tuple[User, ApiKey]:
        """Make an API key."""

        def work(connection: Connection) -> tuple[User, ApiKey]:
            revoked = _find_revocation(connection, "", user_id)
            revoked_up_to = revoked.issued_at if revoked is not None else None
            user = store.check_still_valid(_find_user(connection, user_id), caller_issued_at, revoked_up_to)
            now = self._now()
            connection.execute("DELETE FROM api_keys WHERE user_id = ? AND expires_at <= ?", (user_id, _us(now)))
            count = connection.execute("SELECT count(*) FROM api_keys WHERE user_id = ?", (user_id,)).fetchone()[0]
            store.check_key_count(count)
            key = store.new_api_key(user_id, key_id, display_name, ttl, now)
            connection.execute(
                f"INSERT INTO api_keys ({_KEY}) VALUES (?,?,?,?,?)",
                (key.key_id, key.user_id, key.display_name, _us(key.created_at), _us(key.expires_at)),
            )
            return user, key

        return await self._db.write(work)

    async def list_api_keys(self, user_id: str, before: datetime.datetime | None, limit: int) -> list[ApiKey]:
        """Return a page of keys, newest first."""
        now = self._now()
        before_us = _us(before) if before is not None else 2**62
        sql = (
            f"SELECT {_KEY} FROM api_keys WHERE user_id = ? AND created_at < ? AND expires_at > ?"
            " ORDER BY created_at DESC LIMIT ?"
        )
        values = (user_id, before_us, _us(now), limit)
        rows = self._db.read_now(lambda connection: connection.execute(sql, values).fetchall())
        return [_key(row) for row in rows]

    async def delete_api_key(self, user_id: str, key_id: str) -> Revocation:
        """Delete and revoke a key."""

        def work(connection: Connection) -> Revocation:
            sql = "DELETE FROM api_keys WHERE key_id = ? AND user_id = ? RETURNING expires_at"
            rows = connection.execute(sql, (key_id, user_id)).fetchall()
            if not rows:
                raise store.no_key(key_id)
            revocation = Revocation(jti=key_id, issued_at=self._now(), expires_at=_time(rows[0][0]))
            return _put_revocation(connection, revocation)

        return await self._db.write(work)

    async def revocations(self) -> list[Revocation]:
        """Return what must fail now."""

        def work(connection: Connection) -> list[Revocation]:
            connection.execute("DELETE FROM revocations WHERE expires_at <= ?", (_us(self._now()),))
            sql = "SELECT jti, user_id, issued_at, expires_at FROM revocations ORDER BY issued_at"
            return [
                Revocation(jti=jti, user_id=user_id, issued_at=_time(issued_at), expires_at=_time(expires_at))
                for jti, user_id, issued_at, expires_at in connection.execute(sql)
            ]

        return await self._db.write(work)

    async def has_users(self) -> bool:
        """Return whether there is any user."""
        sql = "SELECT EXISTS (SELECT 1 FROM users)"
        return bool(self._db.read_now(lambda connection: connection.execute(sql).fetchone()[0]))


def _us(moment: datetime.datetime) -> int:
    return (moment - _EPOCH) // _US


def _time(us: int) -> datetime.datetime:
    return _EPOCH + us * _US


def _user_values(user: User) -> tuple[Any, ...]:
    return (user.login, user.email, user.password_hash, int(user.active), int(user.operator), user.tier.value)


def _user(row: tuple[Any, ...]) -> User:
    user_id, login, email, password_hash, active, operator, tier, created_at = row
    return User(
        user_id=user_id,
        login=login,
        email=email,
        password_hash=password_hash,
        active=bool(active),
        operator=bool(operator),
        tier=Tier(tier),
        created_at=_time(created_at),
    )


def _key(row: tuple[Any, ...]) -> ApiKey:
    key_id, user_id, display_name, created_at, expires_at = row
    return ApiKey(
        key_id=key_id,
        user_id=user_id,
        display_name=display_name,
        created_at=_time(created_at),
        expires_at=_time(expires_at),
    )


def _find_user(connection: Connection, user_id: str) -> User | None:
    row = connection.execute(f"SELECT {_USER} FROM users WHERE user_id = ?", (user_id,)).fetchone()
    return _user(row) if row is not None else None


def _get_user(connection: Connection, user_id: str) -> User:
    user = _find_user(connection, user_id)
    if user is None:
        raise store.no_user(user_id)
    return user


def _check_unique(connection: Connection, user: User) -> None:
    for field, column, value in (("login", "login", user.login), ("email", "email_key", user.email.lower())):
        sql = f"SELECT 1 FROM users WHERE {column} = ? AND user_id <> ?"
        if connection.execute(sql, (value, user.user_id)).fetchone():
            raise store.taken(field)


def _other_operators(connection: Connection, user_id: str) -> int:
    sql = "SELECT count(*) FROM users WHERE active AND operator AND user_id <> ?"
    return int(connection.execute(sql, (user_id,)).fetchone()[0])


def _find_session(connection: Connection, session_id: str) -> Session | None:
    row = connection.execute(f"SELECT {_SESSION} FROM sessions WHERE session_id = ?", (session_id,)).fetchone()
    if row is None:
        return None
    session_id, user_id, token_hash, access_ttl_s, access, issued_at, expires_at = row
    return Session(
        session_id=session_id,
        user_id=user_id,
        token_hash=token_hash,
        access_ttl_s=access_ttl_s,
        access=tuple((jti, _time(us)) for jti, us in json.loads(access)),
        issued_at=_time(issued_at),
        expires_at=_time(expires_at),
    )


def _put_session(connection: Connection, session: Session) -> None:
    connection.execute(
        f"INSERT OR REPLACE INTO sessions ({_SESSION}) VALUES (?,?,?,?,?,?,?)",
        (
            session.session_id,
            session.user_id,
            session.token_hash,
            session.access_ttl_s,
            json.dumps([(jti, _us(at)) for jti, at in session.access]),
            _us(session.issued_at),
            _us(session.expires_at),
        ),
    )


def _end_session(connection: Connection, session_id: str, now: datetime.datetime) -> list[Revocation]:
    session = _find_session(connection, session_id)
    if session is None:
        return []
    connection.execute("DELETE FROM sessions WHERE session_id = ?", (session_id,))
    return [_put_revocation(connection, revocation) for revocation in session.end(now)]


def _find_revocation(connection: Connection, jti: str, user_id: str) -> Revocation | None:
    sql = "SELECT issued_at, expires_at FROM revocations WHERE jti = ? AND user_id = ?"
    row = connection.execute(sql, (jti, user_id)).fetchone()
    if row is None:
        return None
    return Revocation(jti=jti, user_id=user_id, issued_at=_time(row[0]), expires_at=_time(row[1]))


def _put_revocation(connection: Connection, revocation: Revocation) -> Revocation:
    merged = domain.merge(_find_revocation(connection, revocation.jti, revocation.user_id), revocation)
    connection.execute(
        "INSERT OR REPLACE INTO revocations (jti, user_id, issued_at, expires_at) VALUES (?,?,?,?)",
        (merged.jti, merged.user_id, _us(merged.issued_at), _us(merged.expires_at)),
    )
    return merged


def _revoke_user(connection: Connection, user_id: str, now: datetime.datetime) -> Revocation:
    last = connection.execute("SELECT max(expires_at) FROM api_keys WHERE user_id = ?", (user_id,)).fetchone()[0]
    connection.execute("DELETE FROM sessions WHERE user_id = ?", (user_id,))
    connection.execute("DELETE FROM api_keys WHERE user_id = ?", (user_id,))
    return _put_revocation(connection, domain.user_revocation(user_id, now, _time(last) if last is not None else None))
