"""Where users, sessions, API keys and revocations are kept: the port, and a store in memory.

Every method is one step: what it checks still holds when it writes.  A store stamps what it issues and revokes
itself, inside that step, from a strictly increasing clock; so the order of stamps is the order of the writes, and a
token is either caught by a revocation or was issued after it.  `tests/auth/test_store.py` holds every store to this.
"""

import dataclasses
import datetime
from collections.abc import Callable
from typing import Protocol

from meshkit.errors import AlreadyExists, FailedPrecondition, NotFound, Unauthenticated
from meshkit.verifier import REFUSED
from services.auth import domain
from services.auth.domain import ApiKey, Revocation, Session, User, UserChange

Clock = Callable[[], datetime.datetime]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """New tokens of a session: for whom, the session as it is now, and older access tokens that fail."""

    user: User
    session: Session
    revocations: list[Revocation]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reuse:
    """A refresh token came a second time: its session is over, and so are the session's access tokens."""

    user_id: str
    revocations: list[Revocation]


class AuthStore(Protocol):
    """Keeps what the auth service knows."""

    async def add_user(self, user: User) -> None:
        """Keep `user`.  Raises `AlreadyExists` if its login or e-mail is taken."""

    async def get_user(self, user_id: str) -> User:
        """Return the user, or raise `NotFound`."""

    async def find_user(self, login: str) -> User:
        """Return the user who signs in with `login`, or raise `NotFound`."""

    async def list_users(self, after: str, limit: int) -> list[User]:
        """Return up to `limit` users whose login sorts behind `after`, by login."""

    async def update_user(self, user_id: str, change: UserChange) -> tuple[User, Revocation | None]:
        """Change a user; return them, and what `domain.revokes` has made fail.

        With a revocation, the user's sessions and API keys are gone.  Raises `NotFound`, `AlreadyExists` if the login
        or e-mail is taken, and `FailedPrecondition` if no active operator would be left.
        """

    async def delete_user(self, user_id: str) -> Revocation:
        """Delete a user with all they hold.  Raises `NotFound`, or `FailedPrecondition` as in `update_user`."""

    async def add_session(self, session: Session, user: User, jti: str) -> Issued:
        """Start a session of `user`, as they were when the password matched, and issue the access token `jti`.

        The times of `session` are replaced.  If the user has too many sessions, the refresh tokens of the oldest stop
        working.  Raises `Unauthenticated` if the user has become inactive or has got another password meanwhile.
        """

    async def rotate(self, session_id: str, old_hash: str, new_hash: str, jti: str) -> Issued | Reuse:
        """Exchange a session's refresh token.  Raises `Unauthenticated` if the session is unknown or has expired."""

    async def end_session(self, session_id: str, jti: str, expires_at: datetime.datetime) -> list[Revocation]:
        """End a session (if the id is not empty) and revoke `jti`, an API key perhaps; return all that fails now."""

    async def add_api_key(
        self, user_id: str, key_id: str, display_name: str, ttl: datetime.timedelta, caller_issued_at: datetime.datetime
    ) -> tuple[User, ApiKey]:
        """Make an API key for a caller whose token was issued at `caller_issued_at`.

        Raises `Unauthenticated` if that token fails by now, and `FailedPrecondition` if the user has too many keys.
        """

    async def list_api_keys(self, user_id: str, before: datetime.datetime | None, limit: int) -> list[ApiKey]:
        """Return up to `limit` live keys of the user made before `before`, newest first."""

    async def delete_api_key(self, user_id: str, key_id: str) -> Revocation:
        """Delete and revoke a key, or raise `NotFound` if it is not this user's."""

    async def revocations(self) -> list[Revocation]:
        """Return what must fail now, oldest first; forget what has expired."""

    async def has_users(self) -> bool:
        """Return whether there is any user at all."""


class MemoryStore:
    """A store that is gone with its process: for tests and trials."""

    def __init__(self, now: Clock) -> None:
        self._now = now
        self._users: dict[str, User] = {}
        self._sessions: dict[str, Session] = {}
        self._keys: dict[str, ApiKey] = {}
        self._revoked: dict[tuple[str, str], Revocation] = {}

    async def add_user(self, user: User) -> None:
        """Keep `user`.  Raises `AlreadyExists`."""
        self._check_unique(user)
        self._users[user.user_id] = user

    async def get_user(self, user_id: str) -> User:
        """Return the user, or raise `NotFound`."""
        try:
            return self._users[user_id]
        except KeyError:
            raise no_user(user_id) from None

    async def find_user(self, login: str) -> User:
        """Return the user, or raise `NotFound`."""
        for user in self._users.values():
            if user.login == login:
                return user
        raise no_user(login)

    async def list_users(self, after: str, limit: int) -> list[User]:
        """Return a page of users by login."""
        users = sorted(self._users.values(), key=lambda user: user.login)
        return [user for user in users if user.login > after][:limit]

    async def update_user(self, user_id: str, change: UserChange) -> tuple[User, Revocation | None]:
        """Change a user."""
        before = await self.get_user(user_id)
        after = change.applied_to(before)
        self._check_unique(after)
        domain.check_operator_stays(before, after, self._other_operators(user_id))
        revocation = self._revoke_user(user_id) if domain.revokes(before, after) else None
        self._users[user_id] = after
        return after, revocation

    async def delete_user(self, user_id: str) -> Revocation:
        """Delete a user with all they hold."""
        before = await self.get_user(user_id)
        domain.check_operator_stays(before, None, self._other_operators(user_id))
        del self._users[user_id]
        return self._revoke_user(user_id)

    async def add_session(self, session: Session, user: User, jti: str) -> Issued:
        """Start a session."""
        user = check_unchanged(user, self._users.get(user.user_id))
        now = self._now()
        session, revocations = session.issue(session.token_hash, jti, now)
        self._sessions = {key: value for key, value in self._sessions.items() if value.expires_at > now}
        self._sessions[session.session_id] = session
        mine = [value for value in self._sessions.values() if value.user_id == user.user_id]
        mine.sort(key=lambda value: value.issued_at)
        for oldest in mine[: -domain.SESSIONS_PER_USER_MAX]:
            del self._sessions[oldest.session_id]
        return Issued(user=user, session=session, revocations=revocations)

    async def rotate(self, session_id: str, old_hash: str, new_hash: str, jti: str) -> Issued | Reuse:
        """Exchange a refresh token."""
        now = self._now()
        session = self._sessions.get(session_id)
        user = self._users.get(session.user_id) if session is not None else None
        if session is None or user is None or session.expires_at <= now:
            raise bad_refresh_token()
        if session.token_hash != old_hash:
            return Reuse(user_id=session.user_id, revocations=self._end(session_id, now))
        session, revocations = session.issue(new_hash, jti, now)
        self._sessions[session_id] = session
        for revocation in revocations:
            self._revoke(revocation)
        return Issued(user=user, session=session, revocations=revocations)

    async def end_session(self, session_id: str, jti: str, expires_at: datetime.datetime) -> list[Revocation]:
        """End a session and revoke a token."""
        now = self._now()
        revocations = self._end(session_id, now)
        self._keys.pop(jti, None)
        if jti not in {revocation.jti for revocation in revocations}:
            revocations.append(self._revoke(Revocation(jti=jti, issued_at=now, expires_at=expires_at)))
        return revocations

    async def add_api_key(
        self, user_id: str, key_id: str, display_name: str, ttl: datetime.timedelta, caller_issued_at: datetime.datetime
    ) -> tuple[User, ApiKey]:
        """Make an API key."""
        revoked = self._revoked.get(("", user_id))
        user = check_still_valid(
            self._users.get(user_id), caller_issued_at, revoked.issued_at if revoked is not None else None
        )
        now = self._now()
        self._keys = {key: value for key, value in self._keys.items() if value.expires_at > now}
        check_key_count(sum(key.user_id == user_id for key in self._keys.values()))
        key = new_api_key(user_id, key_id, display_name, ttl, now)
        self._keys[key_id] = key
        return user, key

    async def list_api_keys(self, user_id: str, before: datetime.datetime | None, limit: int) -> list[ApiKey]:
        """Return a page of keys, newest first."""
        now = self._now()
        keys = [key for key in self._keys.values() if key.user_id == user_id and key.expires_at > now]
        keys.sort(key=lambda key: key.created_at, reverse=True)
        return [key for key in keys if before is None or key.created_at < before][:limit]

    async def delete_api_key(self, user_id: str, key_id: str) -> Revocation:
        """Delete and revoke a key."""
        key = self._keys.get(key_id)
        if key is None or key.user_id != user_id:
            raise no_key(key_id)
        del self._keys[key_id]
        return self._revoke(Revocation(jti=key_id, issued_at=self._now(), expires_at=key.expires_at))

    async def revocations(self) -> list[Revocation]:
        """Return what must fail now."""
        now = self._now()
        self._revoked = {key: value for key, value in self._revoked.items() if value.expires_at > now}
        return sorted(self._revoked.values(), key=lambda revocation: revocation.issued_at)

    async def has_users(self) -> bool:
        """Return whether there is any user."""
        return bool(self._users)

    def _check_unique(self, user: User) -> None:
        for other in self._users.values():
            if other.user_id == user.user_id:
                continue
            if other.login == user.login:
                raise taken("login")
            if other.email.lower() == user.email.lower():
                raise taken("email")

    def _other_operators(self, user_id: str) -> int:
        return sum(user.active and user.operator and user.user_id != user_id for user in self._users.values())

    def _revoke(self, revocation: Revocation) -> Revocation:
        target = (revocation.jti, revocation.user_id)
        self._revoked[target] = domain.merge(self._revoked.get(target), revocation)
        return self._revoked[target]

    def _revoke_user(self, user_id: str) -> Revocation:
        expiries = [key.expires_at for key in self._keys.values() if key.user_id == user_id]
        self._keys = {key: value for key, value in self._keys.items() if value.user_id != user_id}
        self._sessions = {key: value for key, value in self._sessions.items() if value.user_id != user_id}
        return self._revoke(domain.user_revocation(user_id, self._now(), max(expiries, default=None)))

    def _end(self, session_id: str, now: datetime.datetime) -> list[Revocation]:
        session = self._sessions.pop(session_id, None)
        return [self._revoke(revocation) for revocation in session.end(now)] if session is not None else []


def no_user(who: str) -> NotFound:
    """Return the error for a user who does not exist."""
    return NotFound(f"user {who[: domain.LOGIN_CHARS_MAX]} not found", resource=f"users/{who[:64]}")


def no_key(key_id: str) -> NotFound:
    """Return the error for an API key that is not the caller's."""
    return NotFound("API key not found", resource=f"apiKeys/{key_id[:64]}")


def taken(field: str) -> AlreadyExists:
    """Return the error for a login or e-mail that somebody has."""
    return AlreadyExists(f"{field} is taken: choose another", field=field)


def bad_refresh_token() -> Unauthenticated:
    """Return the error for every refresh token that does not work, whatever the cause."""
    return Unauthenticated("refresh token is not valid: sign in again")


def check_unchanged(seen: User, now: User | None) -> User:
    """Return the user as they are now; raise `Unauthenticated` if the password that was verified is theirs no more."""
    if now is None or not now.active or now.password_hash != seen.password_hash:
        raise Unauthenticated("Invalid name or password")
    return now


def check_still_valid(
    user: User | None, caller_issued_at: datetime.datetime, revoked_up_to: datetime.datetime | None
) -> User:
    """Return the user, or raise `Unauthenticated` if the caller's token was revoked while the call was under way."""
    if user is None or not user.active or (revoked_up_to is not None and caller_issued_at <= revoked_up_to):
        raise Unauthenticated("token has been revoked: sign in again", token=REFUSED)
    return user


def check_key_count(count: int) -> None:
    """Raise `FailedPrecondition` if a user with `count` keys may not have another."""
    if count >= domain.KEYS_PER_USER_MAX:
        raise FailedPrecondition(f"there are {count} API keys already: delete some first")


def new_api_key(
    user_id: str, key_id: str, display_name: str, ttl: datetime.timedelta, now: datetime.datetime
) -> ApiKey:
    """Return a key made now."""
    return ApiKey(
        key_id=key_id,
        user_id=user_id,
        display_name=display_name,
        created_at=now,
        expires_at=domain.whole_second(now + ttl),
    )
