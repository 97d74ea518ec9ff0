"""Signed envelopes: tokens that a dashboard makes of the secret that it shares with the runtime, good for a while.

`X-Runtime-Token: {payload}.{signature}`: the payload is a JSON object in base64url, the signature the HMAC-SHA256 of
that text with RUNTIME_LOCAL_UI_TOKEN, in base64url; both without padding.  In the object are `expires_at` (seconds
since 1970), `capabilities` (`read`, `mutate`) and `agent_scope`.
"""

import base64
import hashlib
import hmac
import json
import math
from typing import Any

from meshkit.errors import Denied, Unauthenticated
from meshkit.verifier import REFUSED

_SAFE = ("GET", "HEAD", "OPTIONS")
_BYTES_MAX = 4096
_EVERY_AGENT = (None, "", "*")


def opened(text: str, secret: str) -> dict[str, Any] | None:
    """Return what an envelope says; None for what is none, or is signed with something else."""
    payload, dot, signature = text.partition(".")
    if not dot or len(text) > _BYTES_MAX or not text.isascii():
        return None
    expected = hmac.digest(secret.encode(), payload.encode(), hashlib.sha256)
    try:
        if not hmac.compare_digest(expected, _decoded(signature)):
            return None
        said = json.loads(_decoded(payload))
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def check(envelope: dict[str, Any], method: str, now: float) -> None:
    """Raise `Unauthenticated` for an envelope that has expired, and `Denied` for what it does not allow."""
    expires_at = envelope.get("expires_at")
    if isinstance(expires_at, bool) or not isinstance(expires_at, int | float) or not now < expires_at < math.inf:
        raise Unauthenticated("the runtime token has expired: make another one", token=REFUSED)
    wanted = "read" if method in _SAFE else "mutate"
    capabilities = envelope.get("capabilities")
    if not isinstance(capabilities, list) or wanted not in capabilities:
        raise Denied(f"the runtime token is not for this: it lacks the capability {wanted}")
    if envelope.get("agent_scope") not in _EVERY_AGENT:
        raise Denied("a runtime token for some agents only is not taken here: make one for all of them")


def _decoded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
