"""Pages (AIP-158): sizes are coerced, tokens are opaque and only good for the filter they were made with."""

import base64
import binascii
import hashlib
import json

from meshkit.errors import Invalid

DEFAULT = 50
MAX = 1000
_TOKEN_CHARS_MAX = 4096


def size(page_size: int) -> int:
    """Return how many items a page has: 0 means the default, too many is coerced down; negative raises `Invalid`."""
    if page_size < 0:
        raise Invalid("page_size is negative", {"page_size": ["must be 0 (the default) or more"]})
    return min(page_size or DEFAULT, MAX)


def encode(last_key: str, *filters: str) -> str:
    """Return the token of the page behind `last_key`."""
    return base64.urlsafe_b64encode(json.dumps([last_key, _digest(filters)]).encode()).decode().rstrip("=")


def decode(token: str, *filters: str) -> str:
    """Return the key to continue behind; empty for no token.  Raises `Invalid` if it was made for another filter."""
    if not token:
        return ""
    try:
        if len(token) > _TOKEN_CHARS_MAX:
            raise ValueError
        last_key, digest = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        last_key.encode()  # text, and text that a database takes
    except (binascii.Error, ValueError, TypeError, AttributeError):
        raise Invalid("page_token is not one of ours", {"page_token": ["pass it as it was given"]}) from None
    if digest != _digest(filters):
        raise Invalid("page_token belongs to another filter", {"page_token": ["start again without it"]})
    return str(last_key)


def _digest(filters: tuple[str, ...]) -> str:
    return hashlib.sha256("\0".join(filters).encode()).hexdigest()[:8]
