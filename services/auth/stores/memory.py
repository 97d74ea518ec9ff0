"""The auth store in memory."""

import collections
import dataclasses
import datetime
from collections.abc import Callable, Sequence

from meshkit.idempotency import MemoryRequests, Request
from services.auth import domain
from services.auth.domain import ApiKey, Revocation, Session, User, UserChange
from services.auth.ports.store import Clock, Issued, Place, Reuse


class MemoryStore:
    """A store that is gone with its process: for tests and trials."""

    def __init__(self, now: Clock) -> None:
        self._now = now
        self._users: dict[str, User] = {}
        self._sessions: dict[str, Session] = {}
        self._keys: dict[str, ApiKey] = {}
        self._revoked: dict[tuple[str, str], tuple[int, Revocation]] = {}
        self._numbers = 0
        self._requests = MemoryRequests()

    async def request(self, owner: str, request_id: str) -> Request | None:
        """Return a request that has been carried out."""
        return self._requests.find(owner, request_id)

    async def add_user(self, user: User, request: Request | None = None) -> None:
        """Keep `user`.  Raises `AlreadyExists`."""
        self._check_unique(user)
        self._requests.keep(request, self._now().timestamp())
        self._users[user.user_id] = user

    async def get_user(self, user_id: str) -> User:
        """Return the user, or raise `NotFound`."""
        try:
            return self._users[user_id]
        except KeyError:
            raise domain.no_user(user_id) from None

    async def find_user(self, login: str) -> User:
        """Return the user, or raise `NotFound`."""
        for user in self._users.values():
            if user.login == login:
                return user
        raise domain.no_user(login)

    async def find_user_by_email(self, email: str) -> User:
        """Return the user, or raise `NotFound`."""
        for user in self._users.values():
            if user.email.lower() == email.lower():
                return user
        raise domain.no_user(email)

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

    async def revoke_all(self, user_id: str) -> Revocation:
        """End all that a user holds."""
        await self.get_user(user_id)
        return self._revoke_user(user_id)

    async def add_session(self, session: Session, user: User, jti: str) -> Issued:
        """Start a session."""
        user = domain.check_unchanged(user, self._users.get(user.user_id))
        now = self._now()
        session, revocations = session.start(jti, now)
        self._sessions = {key: value for key, value in self._sessions.items() if value.expires_at > now}
        self._sessions[session.session_id] = session
        mine = [value for value in self._sessions.values() if value.user_id == user.user_id]
        mine.sort(key=lambda value: value.issued_at)
        for oldest in mine[: -domain.SESSIONS_PER_USER_MAX]:
            revocations += self._end(oldest.session_id, now)
        return Issued(user=user, session=session, revocations=revocations)

    async def rotate(
        self, session_id: str, old_hash: str, new_hash: str, jti: str, *, was_issued: bool
    ) -> Issued | Reuse:
        """Exchange a refresh token."""
        now = self._now()
        session = self._sessions.get(session_id)
        user = self._users.get(session.user_id) if session is not None else None
        if session is None or user is None or session.expires_at <= now:
            raise domain.bad_refresh_token()
        if session.token_hash != old_hash:
            if not was_issued:
                raise domain.bad_refresh_token()
            return Reuse(user_id=session.user_id, revocations=self._end(session_id, now))
        session, revocations = session.issue(new_hash, jti, now)
        self._sessions[session_id] = session
        for revocation in revocations:
            self._revoke(revocation)
        return Issued(user=user, session=session, revocations=revocations)

    async def use_session(self, session_id: str) -> None:
        """Note that a session is in use now."""
        if (session := self._sessions.get(session_id)) is not None:
            self._sessions[session_id] = dataclasses.replace(session, used_at=self._now())

    async def list_sessions(self, user_id: str, before: Place | None, limit: int) -> list[Session]:
        """Return a page of live sessions, newest first."""
        found = [session for session in self._live() if session.user_id == user_id]
        found.sort(key=_place, reverse=True)
        return [session for session in found if before is None or _place(session) < before][:limit]

    async def count_sessions(self, user_ids: Sequence[str]) -> dict[str, int]:
        """Return how many live sessions each user has."""
        return collections.Counter(session.user_id for session in self._live() if session.user_id in user_ids)

    async def delete_session(self, session_id: str, user_id: str = "") -> tuple[str, list[Revocation]]:
        """End a live session."""
        session = next((session for session in self._live() if session.session_id == session_id), None)
        if session is None or user_id not in ("", session.user_id):
            raise domain.no_session(session_id)
        return session.user_id, self._end(session_id, self._now())

    async def end_sessions(self, user_id: str, but: str = "") -> tuple[int, list[Revocation]]:
        """End a user's sessions but one."""
        ending = [session for session in self._live() if session.user_id == user_id and session.session_id != but]
        now = self._now()
        return len(ending), [each for session in ending for each in self._end(session.session_id, now)]

    async def end_session(self, session_id: str, jti: str, expires_at: datetime.datetime) -> list[Revocation]:
        """End a session and revoke a token."""
        now = self._now()
        revocations = self._end(session_id, now)
        self._keys.pop(jti, None)
        if jti not in {revocation.jti for revocation in revocations}:
            revocations.append(self._revoke(Revocation(jti=jti, issued_at=now, expires_at=expires_at)))
        return revocations

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
        revoked = self._revocation("", user_id)
        user = domain.check_still_valid(
            self._users.get(user_id), caller_issued_at, revoked.issued_at if revoked is not None else None
        )
        now = self._now()
        self._keys = {key: value for key, value in self._keys.items() if value.expires_at > now}
        domain.check_key_count(sum(key.user_id == user_id for key in self._keys.values()))
        key = domain.new_api_key(user_id, key_id, display_name, ttl, now)
        self._requests.keep(asked(user, key) if asked is not None else None, now.timestamp())
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
            raise domain.no_key(key_id)
        del self._keys[key_id]
        return self._revoke(Revocation(jti=key_id, issued_at=self._now(), expires_at=key.expires_at))

    async def revocations(self, after: int, limit: int) -> list[tuple[int, Revocation]]:
        """Return live revocations by number."""
        now = self._now()
        self._revoked = {key: found for key, found in self._revoked.items() if found[1].expires_at > now}
        return sorted((found for found in self._revoked.values() if found[0] > after), key=lambda found: found[0])[
            :limit
        ]

    async def last_revoked_at(self) -> datetime.datetime | None:
        """Return the latest stamp of a revocation."""
        return max((revocation.issued_at for _, revocation in self._revoked.values()), default=None)

    async def has_users(self) -> bool:
        """Return whether there is any user."""
        return bool(self._users)

    def _check_unique(self, user: User) -> None:
        for other in self._users.values():
            if other.user_id == user.user_id:
                continue
            if other.login == user.login:
                raise domain.taken("login")
            if other.email.lower() == user.email.lower():
                raise domain.taken("email")

    def _other_operators(self, user_id: str) -> int:
        return sum(user.active and user.operator and user.user_id != user_id for user in self._users.values())

    def _revocation(self, jti: str, user_id: str) -> Revocation | None:
        found = self._revoked.get((jti, user_id))
        return found[1] if found is not None else None

    def _revoke(self, revocation: Revocation) -> Revocation:
        merged = domain.merge(self._revocation(revocation.jti, revocation.user_id), revocation)
        self._numbers += 1
        self._revoked[revocation.jti, revocation.user_id] = (self._numbers, merged)
        return merged

    def _revoke_user(self, user_id: str) -> Revocation:
        expiries = [key.expires_at for key in self._keys.values() if key.user_id == user_id]
        self._keys = {key: value for key, value in self._keys.items() if value.user_id != user_id}
        self._sessions = {key: value for key, value in self._sessions.items() if value.user_id != user_id}
        return self._revoke(domain.user_revocation(user_id, self._now(), max(expiries, default=None)))

    def _live(self) -> list[Session]:
        now = self._now()
        return [session for session in self._sessions.values() if session.expires_at > now]

    def _end(self, session_id: str, now: datetime.datetime) -> list[Revocation]:
        session = self._sessions.pop(session_id, None)
        return [self._revoke(revocation) for revocation in session.end(now)] if session is not None else []


def _place(session: Session) -> Place:
    return session.created_at, session.session_id
