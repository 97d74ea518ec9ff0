"""The auth store in PostgreSQL, which any number of replicas write.

Whatever is issued to a user or revoked of them is stamped and written under their row's lock, so a token is either
caught by a revocation or was issued after it, whichever replicas did the two and however their clocks differ.
"""

import contextlib
import datetime
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TypeVar

import asyncpg

from meshkit import clock, postgres
from meshkit.databases import PostgresDatabase
from meshkit.idempotency import Request
from meshkit.postgres import Connection, Database, Work, requests
from services.auth import domain
from services.auth.domain import ApiKey, Revocation, Session, User, UserChange
from services.auth.ports.store import Clock, Issued, Place, Reuse
from services.auth.stores import postgres_rows, rows

MIGRATIONS = [postgres_rows.MIGRATION, requests.MIGRATION, postgres_rows.SEEN]
_FORGOTTEN_MAX = 100
T = TypeVar("T")


class PostgresStore:
    """Keeps everything in a `meshkit.postgres.Database` made with `MIGRATIONS`, which the caller opens and closes."""

    def __init__(self, database: Database, now: Clock) -> None:
        self._db = database
        self._now = now

    async def request(self, owner: str, request_id: str) -> Request | None:
        """Return a request that has been carried out."""
        return await self._db.read(lambda connection: requests.find(connection, owner, request_id))

    async def add_user(self, user: User, request: Request | None = None) -> None:
        """Keep `user`.  Raises `AlreadyExists`."""

        async def work(connection: Connection) -> None:
            await requests.keep(connection, request, self._now().timestamp())
            await connection.execute(
                f"INSERT INTO users ({rows.USER}, email_key) VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9)",
                user.user_id,
                user.login,
                user.email,
                user.password_hash,
                user.active,
                user.operator,
                user.tier.value,
                clock.micros(user.created_at),
                user.email.lower(),
            )

        await self._write_unique(work)

    async def get_user(self, user_id: str) -> User:
        """Return the user, or raise `NotFound`."""
        return await self._find("user_id", user_id)

    async def find_user(self, login: str) -> User:
        """Return the user, or raise `NotFound`."""
        return await self._find("login", login)

    async def find_user_by_email(self, email: str) -> User:
        """Return the user, or raise `NotFound`."""
        return await self._find("email_key", email.lower())

    async def list_users(self, after: str, limit: int) -> list[User]:
        """Return a page of users by login."""
        sql = f"SELECT {rows.USER} FROM users WHERE login > $1 ORDER BY login LIMIT $2"
        return [rows.to_user(tuple(row)) for row in await self._db.fetch(sql, after, limit)]

    async def update_user(self, user_id: str, change: UserChange) -> tuple[User, Revocation | None]:
        """Change a user."""

        async def work(connection: Connection) -> tuple[User, Revocation | None]:
            before = await postgres_rows.get_locked_user(connection, user_id)
            after = change.applied_to(before)
            if before.operator and not (after.operator and after.active):
                others = await postgres_rows.other_operators(connection, user_id)
                domain.check_operator_stays(before, after, others)
            await connection.execute(
                "UPDATE users SET login=$2, email=$3, password_hash=$4, active=$5, operator=$6, tier=$7, email_key=$8"
                " WHERE user_id = $1",
                user_id,
                after.login,
                after.email,
                after.password_hash,
                after.active,
                after.operator,
                after.tier.value,
                after.email.lower(),
            )
            if not domain.revokes(before, after):
                return after, None
            return after, await postgres_rows.revoke_user(connection, user_id, self._now)

        return await self._write_unique(work)

    async def delete_user(self, user_id: str) -> Revocation:
        """Delete a user with all they hold."""

        async def work(connection: Connection) -> Revocation:
            before = await postgres_rows.get_locked_user(connection, user_id)
            domain.check_operator_stays(before, None, await postgres_rows.other_operators(connection, user_id))
            revocation = await postgres_rows.revoke_user(connection, user_id, self._now)
            await connection.execute("DELETE FROM users WHERE user_id = $1", user_id)
            return revocation

        return await self._db.write(work)

    async def revoke_all(self, user_id: str) -> Revocation:
        """End all that a user holds."""

        async def work(connection: Connection) -> Revocation:
            await postgres_rows.get_locked_user(connection, user_id)
            return await postgres_rows.revoke_user(connection, user_id, self._now)

        return await self._db.write(work)

    async def add_session(self, session: Session, user: User, jti: str) -> Issued:
        """Start a session."""

        async def work(connection: Connection) -> Issued:
            current = domain.check_unchanged(user, await postgres_rows.locked_user(connection, user.user_id))
            now = await postgres_rows.stamp(connection, user.user_id, self._now)
            started, revocations = session.start(jti, now)
            await postgres_rows.put_session(connection, started)
            sql = f"SELECT {rows.SESSION} FROM sessions WHERE user_id = $1 ORDER BY issued_at DESC OFFSET $2"
            for row in await connection.fetch(sql, user.user_id, domain.SESSIONS_PER_USER_MAX):
                revocations += await postgres_rows.end_session(connection, rows.to_session(tuple(row)), now)
            # Of anybody's; those that somebody works on are left to the next sign-in.
            await connection.execute(
                "DELETE FROM sessions WHERE session_id IN (SELECT session_id FROM sessions WHERE expires_at <= $1"
                " ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
                clock.micros(now),
                _FORGOTTEN_MAX,
            )
            return Issued(user=current, session=started, revocations=revocations)

        return await self._db.write(work)

    async def rotate(
        self, session_id: str, old_hash: str, new_hash: str, jti: str, *, was_issued: bool
    ) -> Issued | Reuse:
        """Exchange a refresh token."""

        async def work(connection: Connection) -> Issued | Reuse:
            found = await postgres_rows.locked_session(connection, session_id)
            if found is None:
                raise domain.bad_refresh_token()
            session, user = found
            now = await postgres_rows.stamp(connection, user.user_id, self._now)
            if session.expires_at <= now:
                raise domain.bad_refresh_token()
            if session.token_hash != old_hash:
                if not was_issued:
                    raise domain.bad_refresh_token()
                ended = await postgres_rows.end_session(connection, session, now)
                return Reuse(user_id=session.user_id, revocations=ended)
            following, revocations = session.issue(new_hash, jti, now)
            await postgres_rows.put_session(connection, following)
            await postgres_rows.put_revocations(connection, revocations)
            return Issued(user=user, session=following, revocations=revocations)

        return await self._db.write(work)

    async def use_session(self, session_id: str) -> None:
        """Note that a session is in use now."""
        used_at = clock.micros(self._now())

        async def work(connection: Connection) -> None:
            await connection.execute("UPDATE sessions SET used_at = $2 WHERE session_id = $1", session_id, used_at)

        await self._db.write(work)

    async def list_sessions(self, user_id: str, before: Place | None, limit: int) -> list[Session]:
        """Return a page of live sessions, newest first."""
        place = 'session_id COLLATE "C"'  # as Python compares them
        sql = (
            f"SELECT {rows.SESSION} FROM sessions WHERE user_id = $1 AND ({rows.BEGUN}, {place}) < ($2, $3)"
            f" AND expires_at > $4 ORDER BY {rows.BEGUN} DESC, {place} DESC LIMIT $5"
        )
        found = await self._db.fetch(sql, user_id, *rows.before(before), clock.micros(self._now()), limit)
        return [rows.to_session(tuple(row)) for row in found]

    async def count_sessions(self, user_ids: Sequence[str]) -> dict[str, int]:
        """Return how many live sessions each user has."""
        sql = (
            "SELECT user_id, count(*) FROM sessions WHERE expires_at > $1 AND user_id = ANY($2::text[])"
            " GROUP BY user_id"
        )
        found = await self._db.fetch(sql, clock.micros(self._now()), list(user_ids))
        return {row[0]: row[1] for row in found}

    async def delete_session(self, session_id: str, user_id: str = "") -> tuple[str, list[Revocation]]:
        """End a live session."""

        async def work(connection: Connection) -> tuple[str, list[Revocation]]:
            found = await postgres_rows.locked_session(connection, session_id)
            if found is None or user_id not in ("", found[1].user_id):
                raise domain.no_session(session_id)
            now = await postgres_rows.stamp(connection, found[1].user_id, self._now)
            if found[0].expires_at <= now:
                raise domain.no_session(session_id)
            return found[1].user_id, await postgres_rows.end_session(connection, found[0], now)

        return await self._db.write(work)

    async def end_sessions(self, user_id: str, but: str = "") -> tuple[int, list[Revocation]]:
        """End a user's sessions but one."""

        async def work(connection: Connection) -> tuple[int, list[Revocation]]:
            await postgres_rows.locked_user(connection, user_id)
            now = await postgres_rows.stamp(connection, user_id, self._now)
            sql = f"DELETE FROM sessions WHERE user_id = $1 AND session_id <> $2 RETURNING {rows.SESSION}"
            ended = [rows.to_session(tuple(row)) for row in await connection.fetch(sql, user_id, but)]
            failing = [revocation for session in ended for revocation in session.end(now)]
            live = sum(session.expires_at > now for session in ended)
            return live, await postgres_rows.put_revocations(connection, failing)

        return await self._db.write(work)

    async def end_session(self, session_id: str, jti: str, expires_at: datetime.datetime) -> list[Revocation]:
        """End a session and revoke a token."""

        async def work(connection: Connection) -> list[Revocation]:
            found = await postgres_rows.locked_session(connection, session_id)
            now, revocations = self._now(), list[Revocation]()
            if found is not None:
                now = await postgres_rows.stamp(connection, found[1].user_id, self._now)
                revocations = await postgres_rows.end_session(connection, found[0], now)
            await connection.execute("DELETE FROM api_keys WHERE key_id = $1", jti)
            if jti not in {revocation.jti for revocation in revocations}:
                revocation = Revocation(jti=jti, issued_at=now, expires_at=expires_at)
                revocations.append(await postgres_rows.put_revocation(connection, revocation))
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

        async def work(connection: Connection) -> tuple[User, ApiKey]:
            found = await postgres_rows.locked_user(connection, user_id)
            revoked = await postgres_rows.find_revocation(connection, "", user_id)
            revoked_up_to = revoked.issued_at if revoked is not None else None
            user = domain.check_still_valid(found, caller_issued_at, revoked_up_to)
            now = await postgres_rows.stamp(connection, user_id, self._now)
            expired = "DELETE FROM api_keys WHERE user_id = $1 AND expires_at <= $2"
            await connection.execute(expired, user_id, clock.micros(now))
            domain.check_key_count(
                await connection.fetchval("SELECT count(*) FROM api_keys WHERE user_id = $1", user_id)
            )
            key = domain.new_api_key(user_id, key_id, display_name, ttl, now)
            await connection.execute(
                f"INSERT INTO api_keys ({rows.KEY}) VALUES ($1,$2,$3,$4,$5)",
                key.key_id,
                key.user_id,
                key.display_name,
                clock.micros(key.created_at),
                clock.micros(key.expires_at),
            )
            request = asked(user, key) if asked is not None else None
            await requests.keep(connection, request, now.timestamp())
            return user, key

        return await self._db.write(work)

    async def list_api_keys(self, user_id: str, before: datetime.datetime | None, limit: int) -> list[ApiKey]:
        """Return a page of keys, newest first."""
        sql = (
            f"SELECT {rows.KEY} FROM api_keys WHERE user_id = $1 AND created_at < $2 AND expires_at > $3"
            " ORDER BY created_at DESC LIMIT $4"
        )
        before_us = clock.micros(before) if before is not None else 2**62
        found = await self._db.fetch(sql, user_id, before_us, clock.micros(self._now()), limit)
        return [rows.to_key(tuple(row)) for row in found]

    async def delete_api_key(self, user_id: str, key_id: str) -> Revocation:
        """Delete and revoke a key."""

        async def work(connection: Connection) -> Revocation:
            await postgres_rows.locked_user(connection, user_id)
            sql = "DELETE FROM api_keys WHERE key_id = $1 AND user_id = $2 RETURNING expires_at"
            expires_at = await connection.fetchval(sql, key_id, user_id)
            if expires_at is None:
                raise domain.no_key(key_id)
            revocation = Revocation(jti=key_id, issued_at=self._now(), expires_at=clock.from_micros(expires_at))
            return await postgres_rows.put_revocation(connection, revocation)

        return await self._db.write(work)

    async def revocations(self, after: int, limit: int) -> list[tuple[int, Revocation]]:
        """Return live revocations by number."""
        sql = (
            "SELECT number, jti, user_id, issued_at, expires_at FROM revocations"
            " WHERE number > $1 AND expires_at > $2 ORDER BY number LIMIT $3"
        )
        found = await self._db.fetch(sql, after, clock.micros(self._now()), limit)
        return [(row[0], rows.to_revocation(tuple(row)[1:])) for row in found]

    async def last_revoked_at(self) -> datetime.datetime | None:
        """Return the latest stamp of a revocation."""
        found = await self._db.fetchval("SELECT max(issued_at) FROM revocations")
        return clock.from_micros(found) if found is not None else None

    async def has_users(self) -> bool:
        """Return whether there is any user."""
        return bool(await self._db.fetchval("SELECT EXISTS (SELECT 1 FROM users)"))

    async def _find(self, column: str, key: str) -> User:
        row = await self._db.fetchrow(f"SELECT {rows.USER} FROM users WHERE {column} = $1", key)
        if row is None:
            raise domain.no_user(key)
        return rows.to_user(tuple(row))

    async def _write_unique(self, work: Work[T]) -> T:
        try:
            return await self._db.write(work)
        except asyncpg.UniqueViolationError as error:
            raise domain.taken("email" if error.constraint_name == "email_is_taken" else "login") from None


@contextlib.asynccontextmanager
async def opened(place: PostgresDatabase, now: Clock) -> AsyncIterator[PostgresStore]:
    """Keep everything there for the length of the block."""
    async with postgres.opened(place, "auth", MIGRATIONS) as database:
        yield PostgresStore(database, now)
