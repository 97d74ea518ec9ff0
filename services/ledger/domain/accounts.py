"""Who may use the ledger (API keys) and what is sold on it (agents), as records."""

import dataclasses
import hashlib
from typing import Any

from services.ledger.domain.errors import Unauthorized
from services.ledger.domain.options import NETWORKS

DEV_KEY_ID = "cdev000000000000000000000"
SELLING, PURCHASING = "selling", "purchasing"
"""The kinds of wallets: where a key is paid, and what it pays from."""


@dataclasses.dataclass(slots=True, kw_only=True)
class Key:
    """An API key: the caller of the HTTP API.  The token itself is not kept."""

    id: str
    name: str
    can_read: bool = True
    can_pay: bool = False
    can_admin: bool = False
    networks: list[str] = dataclasses.field(default_factory=lambda: list(NETWORKS))
    usage_limited: bool = False
    credits: dict[str, str] = dataclasses.field(default_factory=dict)
    """Of a usage-limited key: what it may still spend, by unit; decimal digits."""
    revoked: bool = False
    created_at: int = 0

    @property
    def permission(self) -> str:
        """The legacy name of what it may do."""
        return "Admin" if self.can_admin else "ReadAndPay" if self.can_pay else "Read"


HOUSE = Key(id="house", name="the mesh itself", can_pay=True, can_admin=True)
"""The payments service of the mesh, which needs no token."""


def digest(token: str) -> str:
    """Return what is kept of a token.  Tokens are long and random, so a plain hash is enough."""
    return hashlib.sha256(token.encode()).hexdigest()


def check_key(key: Key | None, token: str) -> Key:
    """Return the key of `token`, or raise `Unauthorized` in the service's words."""
    if not token:
        raise Unauthorized("Unauthorized, no authentication token provided")
    if key is None:
        raise Unauthorized("Unauthorized, invalid authentication token provided")
    if key.revoked:
        raise Unauthorized("Unauthorized, authentication token has been revoked")
    return key


def check_may(key: Key, need: str, network: str = "") -> None:
    """Raise `Unauthorized` unless the key may `read` or `pay` on the network."""
    if not (key.can_admin or key.can_pay or (need == "read" and key.can_read)):
        what = "payment" if need == "pay" else "read"
        raise Unauthorized(f"Unauthorized, {what} access required")
    if network and not key.can_admin and network not in key.networks:
        raise Unauthorized("Unauthorized, network not allowed")


@dataclasses.dataclass(slots=True, kw_only=True)
class Agent:
    """An entry of the registry."""

    id: str
    agent_identifier: str
    network: str
    holder_vkey: str
    """The wallet that holds its NFT."""
    state: str = "RegistrationConfirmed"
    name: str
    pricing_type: str = "Fixed"
    """Fixed, Free or Dynamic."""
    pricing: list[tuple[int, str]] = dataclasses.field(default_factory=list)
    metadata: dict[str, Any] = dataclasses.field(default_factory=dict)
    """What was registered: description, apiBaseUrl, Tags and so on, by their names of `POST /registry`."""
    key_id: str
    created_at: int
    updated_at: int
