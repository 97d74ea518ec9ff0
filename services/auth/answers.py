"""What is kept of an answer, so that a create that comes again is answered alike.

Of a user everything but the password's hash.  Of an API key what its token says: the token itself is signed anew.
"""

import datetime
import json
from typing import Any

from meshkit.clock import from_micros, micros
from services.auth.domain import ApiKey, Tier, User


def dump_user(user: User) -> bytes:
    """Return a user as JSON."""
    return json.dumps(_user(user)).encode()


def load_user(answer: bytes) -> User:
    """Return the user of `dump_user`, without a password."""
    return _to_user(json.loads(answer))


def dump_key(user: User, key: ApiKey) -> bytes:
    """Return an API key and whose it is as JSON."""
    made = [key.key_id, key.display_name, micros(key.created_at), micros(key.expires_at)]
    return json.dumps({"user": _user(user), "key": made}).encode()


def load_key(answer: bytes) -> tuple[User, ApiKey]:
    """Return what `dump_key` was given."""
    found = json.loads(answer)
    user = _to_user(found["user"])
    key_id, display_name, created_at, expires_at = found["key"]
    key = ApiKey(
        key_id=key_id,
        user_id=user.user_id,
        display_name=display_name,
        created_at=from_micros(created_at),
        expires_at=from_micros(expires_at),
    )
    return user, key


def _user(user: User) -> dict[str, Any]:
    return {
        "user_id": user.user_id,
        "login": user.login,
        "email": user.email,
        "active": user.active,
        "operator": user.operator,
        "tier": user.tier.value,
        "created_at": micros(user.created_at),
    }


def _to_user(found: dict[str, Any]) -> User:
    created_at: datetime.datetime = from_micros(found["created_at"])
    return User(**{**found, "tier": Tier(found["tier"]), "created_at": created_at}, password_hash="")
