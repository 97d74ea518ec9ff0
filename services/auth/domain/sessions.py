"""Sessions: what one sign-in starts, a chain of refresh tokens of which only the newest works.

Using an older one again means that somebody has a copy, so it ends the whole chain (RFC 9700 §4.14.2).
"""

import dataclasses
import datetime

from meshkit.errors import Invalid, NotFound, Unauthenticated
from services.auth.domain.revocations import Revocation, whole_second

ACCESS_TTL_S = 15 * 60
ACCESS_TTL_MAX_S = 24 * 3600
REFRESH_TTL = datetime.timedelta(days=30)
SESSIONS_PER_USER_MAX = 1000
ACCESS_PER_SESSION_MAX = 64
CLIENT_CHARS_MAX = 300
USE_S = 5 * 60
"""A session's last use is noted once in so many seconds: a write each time would cost more than it tells."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What one sign-in started.  Of its chain of refresh tokens only the newest works, and only its hash is kept."""

    session_id: str
    """The access tokens' `sid` claim, and the first half of every refresh token of the chain."""
    user_id: str
    token_hash: str
    """Empty for a session that cannot be refreshed."""
    access_ttl_s: int
    """What the sign-in asked for; kept for the tokens that follow."""
    access: tuple[tuple[str, datetime.datetime], ...] = ()
    """Id and expiry of the access tokens that may be alive, oldest first; the last came with the refresh token."""
    created_at: datetime.datetime
    """When it was signed in."""
    issued_at: datetime.datetime
    """When the newest tokens were issued."""
    used_at: datetime.datetime
    """When it was last seen: then, or `USE_S` at most before it last asked who it is."""
    expires_at: datetime.datetime
    """When the refresh token stops working, or else the access token."""
    client: str = ""
    """What signed in, as it calls itself; empty if that is not known."""
    address: str = ""
    """From where; empty if that is not known."""

    def start(self, jti: str, now: datetime.datetime) -> tuple["Session", list[Revocation]]:
        """Return the session as it begins now, as `issue` does."""
        return dataclasses.replace(self, created_at=now).issue(self.token_hash, jti, now)

    def issue(self, token_hash: str, jti: str, now: datetime.datetime) -> tuple["Session", list[Revocation]]:
        """Return the session with new tokens, and what fails because it has too many access tokens alive."""
        access_expires_at = whole_second(now + datetime.timedelta(seconds=self.access_ttl_s))
        alive = [*((old, at) for old, at in self.access if at > now), (jti, access_expires_at)]
        surplus, kept = alive[:-ACCESS_PER_SESSION_MAX], alive[-ACCESS_PER_SESSION_MAX:]
        session = dataclasses.replace(
            self,
            token_hash=token_hash,
            access=tuple(kept),
            issued_at=now,
            used_at=now,
            expires_at=now + REFRESH_TTL if token_hash else access_expires_at,
        )
        return session, [Revocation(jti=old, issued_at=now, expires_at=at) for old, at in surplus]

    def end(self, now: datetime.datetime) -> list[Revocation]:
        """Return what fails when the session ends: its access tokens that have not expired."""
        return [Revocation(jti=jti, issued_at=now, expires_at=at) for jti, at in self.access if at > now]


def client_of(said: str) -> str:
    """Return what signs in as it calls itself, cut, and without what acts on a terminal that shows it."""
    return "".join(char for char in said[:CLIENT_CHARS_MAX] if char.isprintable())


def access_ttl_s(asked: int) -> int:
    """Return how long an access token lives; 0 means the default.  Raises `Invalid` outside 0..86400."""
    if not 0 <= asked <= ACCESS_TTL_MAX_S:
        raise Invalid("access_ttl_s is out of range", {"access_ttl_s": [f"must be 0 to {ACCESS_TTL_MAX_S} seconds"]})
    return asked or ACCESS_TTL_S


def no_session(session_id: str) -> NotFound:
    """Return the error for a session that has ended, or is not the caller's."""
    return NotFound(f"session {session_id[:64]} not found", resource=f"sessions/{session_id[:64]}")


def bad_refresh_token() -> Unauthenticated:
    """Return the error for every refresh token that does not work, whatever the cause."""
    return Unauthenticated("refresh token is not valid: sign in again")
