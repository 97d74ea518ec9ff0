"""API keys: access tokens that live long, and are listed and revoked by their `jti`."""

import dataclasses
import datetime

from meshkit.errors import FailedPrecondition, Invalid, NotFound, Unauthenticated
from services.auth.domain.revocations import whole_second
from services.auth.domain.users import User

KEY_TTL_DAYS = 365
KEY_TTL_MAX_DAYS = 3650
KEYS_PER_USER_MAX = 1000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A long-lived access token, by its `jti`."""

    key_id: str
    user_id: str
    display_name: str
    created_at: datetime.datetime
    """Unique in a store and increasing: the order of lists."""
    expires_at: datetime.datetime


def key_ttl(days: int) -> datetime.timedelta:
    """Return how long an API key lives; 0 means the default.  Raises `Invalid` outside 0..3650."""
    if not 0 <= days <= KEY_TTL_MAX_DAYS:
        raise Invalid("ttl_days is out of range", {"ttl_days": [f"must be 0 to {KEY_TTL_MAX_DAYS} days"]})
    return datetime.timedelta(days=days or KEY_TTL_DAYS)


def new_api_key(
    user_id: str, key_id: str, display_name: str, ttl: datetime.timedelta, now: datetime.datetime
) -> ApiKey:
    """Return a key made now."""
    return ApiKey(
        key_id=key_id,
        user_id=user_id,
        display_name=display_name,
        created_at=now,
        expires_at=whole_second(now + ttl),
    )


def check_still_valid(
    user: User | None, caller_issued_at: datetime.datetime, revoked_up_to: datetime.datetime | None
) -> User:
    """Return the user, or raise `Unauthenticated` if the caller's token was revoked while the call was under way."""
    if user is None or not user.active or (revoked_up_to is not None and caller_issued_at <= revoked_up_to):
        raise Unauthenticated("token has been revoked: sign in again", token="refused")
    return user


def check_key_count(count: int) -> None:
    """Raise `FailedPrecondition` if a user with `count` keys may not have another."""
    if count >= KEYS_PER_USER_MAX:
        raise FailedPrecondition(f"there are {count} API keys already: delete some first")


def no_key(key_id: str) -> NotFound:
    """Return the error for an API key that is not the caller's."""
    return NotFound("API key not found", resource=f"apiKeys/{key_id[:64]}")
