"""Sessions: what one sign-in starts, a chain of refresh tokens of which only the newest works.

Using an older one again means that somebody has a copy, so it ends the whole chain (RFC 9700 §4.14.2).
"""

import dataclasses
import datetime

from meshkit.errors import Invalid, Unauthenticated
from services.auth.domain.revocations import Revocation, whole_second

ACCESS_TTL_S = 15 * 60
ACCESS_TTL_MAX_S = 24 * 3600
REFRESH_TTL = datetime.timedelta(days=30)
SESSIONS_PER_USER_MAX = 1000
ACCESS_PER_SESSION_MAX = 64


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What one sign-in started.  Of its chain of refresh tokens only the newest works, and only its hash is kept."""

    session_id: str
    """The access tokens' `sid` claim, and the first half of every refresh token of the chain."""
    user_id: str
    token_hash: str
    access_ttl_s: int
    """What the sign-in asked for; kept for the tokens that follow."""
    access: tuple[tuple[str, datetime.datetime], ...] = ()
    """Id and expiry of the access tokens that may be alive, oldest first; the last came with the refresh token."""
    issued_at: datetime.datetime
    """When the newest tokens were issued."""
    expires_at: datetime.datetime
    """When the refresh token stops working."""

    def issue(self, token_hash: str, jti: str, now: datetime.datetime) -> tuple["Session", list[Revocation]]:
        """Return the session with new tokens, and what fails because it has too many access tokens alive."""
        access_expires_at = whole_second(now + datetime.timedelta(seconds=self.access_ttl_s))
        alive = [*((old, at) for old, at in self.access if at > now), (jti, access_expires_at)]
        surplus, kept = alive[:-ACCESS_PER_SESSION_MAX], alive[-ACCESS_PER_SESSION_MAX:]
        session = dataclasses.replace(
            self, token_hash=token_hash, access=tuple(kept), issued_at=now, expires_at=now + REFRESH_TTL
        )
        return session, [Revocation(jti=old, issued_at=now, expires_at=at) for old, at in surplus]

    def end(self, now: datetime.datetime) -> list[Revocation]:
        """Return what fails when the session ends: its access tokens that have not expired."""
        return [Revocation(jti=jti, issued_at=now, expires_at=at) for jti, at in self.access if at > now]


def access_ttl_s(asked: int) -> int:
    """Return how long an access token lives; 0 means the default.  Raises `Invalid` outside 0..86400."""
    if not 0 <= asked <= ACCESS_TTL_MAX_S:
        raise Invalid("access_ttl_s is out of range", {"access_ttl_s": [f"must be 0 to {ACCESS_TTL_MAX_S} seconds"]})
    return asked or ACCESS_TTL_S


def bad_refresh_token() -> Unauthenticated:
    """Return the error for every refresh token that does not work, whatever the cause."""
    return Unauthenticated("refresh token is not valid: sign in again")
