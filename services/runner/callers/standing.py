"""Whether something may be done in the name of who does not call: their user, and the key that asked for it."""

import json
from collections.abc import Callable

from meshkit import clock
from meshkit.principal import Principal
from meshkit.verifier import Revocations
from services.runner.ports.schedules import Owner, Owners

KEY_GONE = "the API key that made it has expired or was revoked: change it as who it belongs to"
OWNER_GONE = "its owner was deleted, or is not active any more"


class Standing:
    """Knows who is good for something still."""

    def __init__(self, owners: Owners, revocations: Revocations, now: Callable[[], float] = clock.now) -> None:
        self._owners = owners
        self._revocations = revocations
        self._now = now

    async def of(self, owner: str, key_json: str) -> Owner | str:
        """Return what an owner may, or why nothing is done in their name any more.

        `key_json` is of the API key that asked for it (`key_of`).  Raises `Unavailable` if it cannot be told now.
        """
        if key_json:
            key = json.loads(key_json)
            by = Principal(user=owner, jti=key["jti"], issued_at=key["issued_at"])
            if key["expires_at"] <= self._now() or self._revocations.hit(by):
                return KEY_GONE
        return await self._owners.find(owner) or OWNER_GONE


def key_of(caller: Principal) -> str:
    """Return what is to be known of the API key that calls, as JSON; empty if none does."""
    if not caller.is_key:
        return ""
    return json.dumps({"jti": caller.jti, "issued_at": caller.issued_at, "expires_at": caller.expires_at})
