"""From which address a call comes: known to Envoy, believed of nobody else.

Envoy appends the address of its peer to `x-forwarded-for`, and marks what it passes on with what only the mesh can
know, as anybody may send that header.  A service hands the address of its own caller on, beside its badge.
"""

import hashlib
import hmac
from collections.abc import Mapping

EDGE_HEADER = "x-mesh-edge"
"""Set by Envoy, and removed by it from what clients send."""
ADDRESS_HEADER = "x-mesh-address"
"""Beside a service token: the address for which the service calls."""
CLIENT_HEADER = "x-mesh-client"
"""What a client calls itself, where gRPC puts the name of who passes the call on in its place."""
_FORWARDED = "x-forwarded-for"
_CHARS_MAX = 64


def mark(secret: bytes) -> str:
    """Return what Envoy marks requests with."""
    return hmac.digest(secret, b"agentmesh edge", hashlib.sha256).hex()


def address_of(metadata: Mapping[str, str], mark: str, *, by_service: bool) -> str:
    """Return the address that a call comes from; empty if nobody says it who may."""
    if by_service:
        return metadata.get(ADDRESS_HEADER, "")[:_CHARS_MAX]
    if hmac.compare_digest(metadata.get(EDGE_HEADER, "").encode(), mark.encode()):
        return metadata.get(_FORWARDED, "").rpartition(",")[2].strip()[:_CHARS_MAX]
    return ""
