"""Where users, sessions, API keys and revocations are kept.

Every method is one step: what it checks still holds when it writes.  A store stamps what it issues and revokes
itself, inside that step, from a strictly increasing clock; so the order of stamps is the order of the writes, and a
token is either caught by a revocation or was issued after it.  `tests/auth/stores` holds every store to
this.
"""

import dataclasses
import datetime
from collections.abc import Callable, Sequence
from typing import Protocol

from meshkit.idempotency import Request, RequestStore
from services.auth.domain import ApiKey, Revocation, Session, User, UserChange

Clock = Callable[[], datetime.datetime]
"""Returns a time later than any it has returned before."""
Place = tuple[datetime.datetime, str]
"""Where a session is in a list: when it was begun, and its id."""


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


class AuthStore(RequestStore, Protocol):
    """Keeps what the auth service knows."""

    async def add_user(self, user: User, request: Request | None = None) -> None:
        """Keep `user`, and the request that asked for it.

        Raises `AlreadyExists` if its login or e-mail is taken, or the request was made before.
        """

    async def get_user(self, user_id: str) -> User:
        """Return the user, or raise `NotFound`."""

    async def find_user(self, login: str) -> User:
        """Return the user who signs in with `login`, or raise `NotFound`."""

    async def find_user_by_email(self, email: str) -> User:
        """Return the user with this address, in which case does not matter, or raise `NotFound`."""

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

        The times of `session` are replaced.  If the user has too many sessions, the oldest end with their access
        tokens: of what is not listed nothing may go on.  Raises `Unauthenticated` if the user has become inactive or
        has got another password meanwhile.
        """

    async def rotate(
        self, session_id: str, old_hash: str, new_hash: str, jti: str, *, was_issued: bool
    ) -> Issued | Reuse:
        """Exchange a session's refresh token; `was_issued` says whether the old one was ever one of the session's.

        Raises `Unauthenticated` if the session is unknown or has expired, and for a token that never was one of its:
        whoever knows the name of a session must not be able to end it.
        """

    async def revoke_all(self, user_id: str) -> Revocation:
        """End all that a user holds: sessions and API keys.  Raises `NotFound`."""

    async def use_session(self, session_id: str) -> None:
        """Note that a session is in use now; of one that has ended, nothing."""

    async def list_sessions(self, user_id: str, before: Place | None, limit: int) -> list[Session]:
        """Return up to `limit` live sessions of the user that come behind `before`, the newest first."""

    async def count_sessions(self, user_ids: Sequence[str]) -> dict[str, int]:
        """Return how many live sessions each of the users has; who has none may be missing."""

    async def delete_session(self, session_id: str, user_id: str = "") -> tuple[str, list[Revocation]]:
        """End a live session, of `user_id` if that is not empty; return whose it was, and what fails by it.

        Raises `NotFound`.
        """

    async def end_sessions(self, user_id: str, but: str = "") -> tuple[int, list[Revocation]]:
        """End a user's sessions but the one `but`; return how many of them were live, and all that fails now."""

    async def end_session(self, session_id: str, jti: str, expires_at: datetime.datetime) -> list[Revocation]:
        """End a session (if the id is not empty) and revoke `jti`, an API key perhaps; return all that fails now."""

    async def add_api_key(
        self,
        user_id: str,
        key_id: str,
        display_name: str,
        ttl: datetime.timedelta,
        caller_issued_at: datetime.datetime,
        asked: Callable[[User, ApiKey], Request] | None = None,
    ) -> tuple[User, ApiKey]:
        """Make an API key for a caller whose token was issued at `caller_issued_at`.

        `asked` returns the request that asked for it, given what was made; it is kept with the key.
        Raises `Unauthenticated` if the caller's token fails by now, `FailedPrecondition` if the user has too many keys,
        and `AlreadyExists` if the request was made before.
        """

    async def list_api_keys(self, user_id: str, before: datetime.datetime | None, limit: int) -> list[ApiKey]:
        """Return up to `limit` live keys of the user made before `before`, newest first."""

    async def delete_api_key(self, user_id: str, key_id: str) -> Revocation:
        """Delete and revoke a key, or raise `NotFound` if it is not this user's."""

    async def revocations(self, after: int, limit: int) -> list[tuple[int, Revocation]]:
        """Return up to `limit` live revocations numbered above `after`, in the order in which they were written.

        A target that is revoked again gets a new number, so whoever reads on from the last number misses nothing.
        """

    async def last_revoked_at(self) -> datetime.datetime | None:
        """Return the latest stamp of a revocation that is kept; `None` if there is none."""

    async def has_users(self) -> bool:
        """Return whether there is any user at all."""
