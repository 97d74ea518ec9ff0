"""The auth store in a SQLite file.  Times in it are integers: microseconds since 1970, UTC."""

import datetime
from collections.abc import Callable, Sequence

from meshkit import clock
from meshkit.idempotency import Request
from meshkit.sqlite import Database, requests
from services.auth import domain
from services.auth.domain import ApiKey, Revocation, Session, User, UserChange
from services.auth.ports.store import Clock, Issued, Place, Reuse
from services.auth.stores import rows
from services.auth.stores.rows import Connection

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
    """
    ALTER TABLE revocations RENAME TO unnumbered;
    DROP INDEX revocations_expiry;
    CREATE TABLE revocations (
        number INTEGER PRIMARY KEY AUTOINCREMENT,  -- never given twice: followers read on from the last they have seen
        jti TEXT NOT NULL,
        user_id TEXT NOT NULL,
        issued_at INTEGER NOT NULL,
        expires_at INTEGER NOT NULL,
        UNIQUE (jti, user_id)
    ) STRICT;
    INSERT INTO revocations (jti, user_id, issued_at, expires_at)
        SELECT jti, user_id, issued_at, expires_at FROM unnumbered ORDER BY issued_at;
    DROP TABLE unnumbered;
    CREATE INDEX revocations_expiry ON revocations (expires_at);
    """,
    requests.MIGRATION,
    """
    ALTER TABLE sessions ADD COLUMN created_at INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE sessions ADD COLUMN used_at INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE sessions ADD COLUMN client TEXT NOT NULL DEFAULT '';
    ALTER TABLE sessions ADD COLUMN address TEXT NOT NULL DEFAULT '';
    UPDATE sessions SET created_at = issued_at, used_at = issued_at;
    """,
]


class SqliteStore:
    """Keeps everything in a `meshkit.sqlite.Database` made with `MIGRATIONS`, which the caller opens and closes."""

    def __init__(self, database: Database, now: Clock) -> None:
        self._db = database
        self._now = now

    async def request(self, owner: str, request_id: str) -> Request | None:
        """Return a request that has been carried out."""
        return await self._db.read(lambda connection: requests.find(connection, owner, request_id))

    async def add_user(self, user: User, request: Request | None = None) -> None:
        """Keep `user`.  Raises `AlreadyExists`."""

        def work(connection: Connection) -> None:
            requests.keep(connection, request, self._now().timestamp())
            rows.check_unique(connection, user)
            connection.execute(
                f"INSERT INTO users ({rows.USER}, email_key) VALUES (?,?,?,?,?,?,?,?,?)",
                (user.user_id, *rows.user_values(user), clock.micros(user.created_at), user.email.lower()),
            )

        await self._db.write(work)

    async def get_user(self, user_id: str) -> User:
        """Return the user, or raise `NotFound`."""
        return await self._db.read(lambda connection: rows.get_user(connection, user_id))

    async def find_user(self, login: str) -> User:
        """Return the user, or raise `NotFound`."""
        return await self._find("login", login)

    async def find_user_by_email(self, email: str) -> User:
        """Return the user, or raise `NotFound`."""
        return await self._find("email_key", email.lower())

    async def _find(self, column: str, key: str) -> User:
        row = await self._db.read(
            lambda connection: connection.execute(
                f"SELECT {rows.USER} FROM users WHERE {column} = ?", (key,)
            ).fetchone()
        )
        if row is None:
            raise domain.no_user(key)
        return rows.to_user(row)

    async def list_users(self, after: str, limit: int) -> list[User]:
        """Return a page of users by login."""
        sql = f"SELECT {rows.USER} FROM users WHERE login > ? ORDER BY login LIMIT ?"
        found = await self._db.read(lambda connection: connection.execute(sql, (after, limit)).fetchall())
        return [rows.to_user(row) for row in found]

    async def update_user(self, user_id: str, change: UserChange) -> tuple[User, Revocation | None]:
        """Change a user."""

        def work(connection: Connection) -> tuple[User, Revocation | None]:
            before = rows.get_user(connection, user_id)
            after = change.applied_to(before)
            rows.check_unique(connection, after)
            domain.check_operator_stays(before, after, rows.other_operators(connection, user_id))
            connection.execute(
                "UPDATE users SET login=?, email=?, password_hash=?, active=?, operator=?, tier=?, email_key=?"
                " WHERE user_id = ?",
                (*rows.user_values(after), after.email.lower(), user_id),
            )
            revokes = domain.revokes(before, after)
            return after, rows.revoke_user(connection, user_id, self._now()) if revokes else None

        return await self._db.write(work)

    async def delete_user(self, user_id: str) -> Revocation:
        """Delete a user with all they hold."""

        def work(connection: Connection) -> Revocation:
            before = rows.get_user(connection, user_id)
            domain.check_operator_stays(before, None, rows.other_operators(connection, user_id))
            revocation = rows.revoke_user(connection, user_id, self._now())
            connection.execute("DELETE FROM users WHERE user_id = ?", (user_id,))
            return revocation

        return await self._db.write(work)

    async def revoke_all(self, user_id: str) -> Revocation:
        """End all that a user holds."""

        def work(connection: Connection) -> Revocation:
            rows.get_user(connection, user_id)
            return rows.revoke_user(connection, user_id, self._now())

        return await self._db.write(work)

    async def add_session(self, session: Session, user: User, jti: str) -> Issued:
        """Start a session."""

        def work(connection: Connection) -> Issued:
            current = domain.check_unchanged(user, rows.find_user(connection, user.user_id))
            now = self._now()
            connection.execute("DELETE FROM sessions WHERE expires_at <= ?", (clock.micros(now),))
            started, revocations = session.start(jti, now)
            rows.put_session(connection, started)
            sql = "SELECT session_id FROM sessions WHERE user_id = ? ORDER BY issued_at DESC LIMIT -1 OFFSET ?"
            surplus = connection.execute(sql, (user.user_id, domain.SESSIONS_PER_USER_MAX)).fetchall()
            for (session_id,) in surplus:
                revocations += rows.end_session(connection, session_id, now)
            return Issued(user=current, session=started, revocations=revocations)

        return await self._db.write(work)

    async def rotate(
        self, session_id: str, old_hash: str, new_hash: str, jti: str, *, was_issued: bool
    ) -> Issued | Reuse:
        """Exchange a refresh token."""

        def work(connection: Connection) -> Issued | Reuse:
            now = self._now()
            session = rows.find_session(connection, session_id)
            user = rows.find_user(connection, session.user_id) if session is not None else None
            if session is None or user is None or session.expires_at <= now:
                raise domain.bad_refresh_token()
            if session.token_hash != old_hash:
                if not was_issued:
                    raise domain.bad_refresh_token()
                return Reuse(user_id=session.user_id, revocations=rows.end_session(connection, session_id, now))
            following, revocations = session.issue(new_hash, jti, now)
            rows.put_session(connection, following)
            rows.put_revocations(connection, revocations)
            return Issued(user=user, session=following, revocations=revocations)

        return await self._db.write(work)

    async def use_session(self, session_id: str) -> None:
        """Note that a session is in use now."""

        def work(connection: Connection) -> None:
            connection.execute(
                "UPDATE sessions SET used_at = ? WHERE session_id = ?", (clock.micros(self._now()), session_id)
            )

        await self._db.write(work)

    async def list_sessions(self, user_id: str, before: Place | None, limit: int) -> list[Session]:
        """Return a page of live sessions, newest first."""
        sql = (
            f"SELECT {rows.SESSION} FROM sessions WHERE user_id = ? AND ({rows.BEGUN}, session_id) < (?, ?)"
            f" AND expires_at > ? ORDER BY {rows.BEGUN} DESC, session_id DESC LIMIT ?"
        )
        values = (user_id, *rows.before(before), clock.micros(self._now()), limit)
        found = await self._db.read(lambda connection: connection.execute(sql, values).fetchall())
        return [rows.to_session(row) for row in found]

    async def count_sessions(self, user_ids: Sequence[str]) -> dict[str, int]:
        """Return how many live sessions each user has."""
        sql = (
            "SELECT user_id, count(*) FROM sessions"
            f" WHERE expires_at > ? AND user_id IN ({','.join('?' * len(user_ids))}) GROUP BY user_id"
        )
        values = (clock.micros(self._now()), *user_ids)
        return dict(await self._db.read(lambda connection: connection.execute(sql, values).fetchall()))

    async def delete_session(self, session_id: str, user_id: str = "") -> tuple[str, list[Revocation]]:
        """End a live session."""

        def work(connection: Connection) -> tuple[str, list[Revocation]]:
            now = self._now()
            session = rows.find_session(connection, session_id)
            if session is None or session.expires_at <= now or user_id not in ("", session.user_id):
                raise domain.no_session(session_id)
            return session.user_id, rows.end_session(connection, session_id, now)

        return await self._db.write(work)

    async def end_sessions(self, user_id: str, but: str = "") -> tuple[int, list[Revocation]]:
        """End a user's sessions but one."""

        def work(connection: Connection) -> tuple[int, list[Revocation]]:
            now = self._now()
            sql = f"DELETE FROM sessions WHERE user_id = ? AND session_id <> ? RETURNING {rows.SESSION}"
            ended = [rows.to_session(row) for row in connection.execute(sql, (user_id, but)).fetchall()]
            failing = [revocation for session in ended for revocation in session.end(now)]
            live = sum(session.expires_at > now for session in ended)
            return live, rows.put_revocations(connection, failing)

        return await self._db.write(work)

    async def end_session(self, session_id: str, jti: str, expires_at: datetime.datetime) -> list[Revocation]:
        """End a session and revoke a token."""

        def work(connection: Connection) -> list[Revocation]:
            now = self._now()
            revocations = rows.end_session(connection, session_id, now)
            connection.execute("DELETE FROM api_keys WHERE key_id = ?", (jti,))
            if jti not in {revocation.jti for revocation in revocations}:
                revocation = Revocation(jti=jti, issued_at=now, expires_at=expires_at)
                revocations.append(rows.put_revocation(connection, revocation))
            return revocations

        return await self._db.write(work)

    async def add_api_key(
        self,
        user_id: str,
        key_id: str,
        display_name: str,
        ttl: datetime.timedelta,
        caller_issued_at: datetime.datetime,
        asked: Callable[[User, ApiKey], Request] | None = None,
    ) -> tuple[User, ApiKey]:
        """Make an API key."""

        def work(connection: Connection) -> tuple[User, ApiKey]:
            revoked = rows.find_revocation(connection, "", user_id)
            revoked_up_to = revoked.issued_at if revoked is not None else None
            user = domain.check_still_valid(rows.find_user(connection, user_id), caller_issued_at, revoked_up_to)
            now = self._now()
            connection.execute(
                "DELETE FROM api_keys WHERE user_id = ? AND expires_at <= ?", (user_id, clock.micros(now))
            )
            count = connection.execute("SELECT count(*) FROM api_keys WHERE user_id = ?", (user_id,)).fetchone()[0]
            domain.check_key_count(count)
            key = domain.new_api_key(user_id, key_id, display_name, ttl, now)
            connection.execute(
                f"INSERT INTO api_keys ({rows.KEY}) VALUES (?,?,?,?,?)",
                (key.key_id, key.user_id, key.display_name, clock.micros(key.created_at), clock.micros(key.expires_at)),
            )
            requests.keep(connection, asked(user, key) if asked is not None else None, now.timestamp())
            return user, key

        return await self._db.write(work)

    async def list_api_keys(self, user_id: str, before: datetime.datetime | None, limit: int) -> list[ApiKey]:
        """Return a page of keys, newest first."""
        now = self._now()
        before_us = clock.micros(before) if before is not None else 2**62
        sql = (
            f"SELECT {rows.KEY} FROM api_keys WHERE user_id = ? AND created_at < ? AND expires_at > ?"
            " ORDER BY created_at DESC LIMIT ?"
        )
        values = (user_id, before_us, clock.micros(now), limit)
        found = await self._db.read(lambda connection: connection.execute(sql, values).fetchall())
        return [rows.to_key(row) for row in found]

    async def delete_api_key(self, user_id: str, key_id: str) -> Revocation:
        """Delete and revoke a key."""

        def work(connection: Connection) -> Revocation:
            sql = "DELETE FROM api_keys WHERE key_id = ? AND user_id = ? RETURNING expires_at"
            found = connection.execute(sql, (key_id, user_id)).fetchall()
            if not found:
                raise domain.no_key(key_id)
            revocation = Revocation(jti=key_id, issued_at=self._now(), expires_at=clock.from_micros(found[0][0]))
            return rows.put_revocation(connection, revocation)

        return await self._db.write(work)

    async def revocations(self, after: int, limit: int) -> list[tuple[int, Revocation]]:
        """Return live revocations by number."""
        sql = (
            "SELECT number, jti, user_id, issued_at, expires_at FROM revocations"
            " WHERE number > ? AND expires_at > ? ORDER BY number LIMIT ?"
        )
        values = (after, clock.micros(self._now()), limit)
        # A service that starts anew is told of all of them: many thousands perhaps, so not on the loop.
        found = await self._db.query(lambda connection: connection.execute(sql, values).fetchall())
        return [(row[0], rows.to_revocation(row[1:])) for row in found]

    async def last_revoked_at(self) -> datetime.datetime | None:
        """Return the latest stamp of a revocation."""
        found = await self._db.read(
            lambda connection: connection.execute("SELECT max(issued_at) FROM revocations").fetchone()
        )
        return clock.from_micros(found[0]) if found[0] is not None else None

    async def has_users(self) -> bool:
        """Return whether there is any user."""
        sql = "SELECT EXISTS (SELECT 1 FROM users)"
        return bool(await self._db.read(lambda connection: connection.execute(sql).fetchone()[0]))
