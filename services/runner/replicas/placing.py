"""What one replica of the runner does for all, and how the others reach it."""

import asyncio
from typing import Any

from meshkit.errors import Unavailable
from services.runner.apps.apps import Apps
from services.runner.hosts.roll import Roll
from services.runner.replicas.duties import Duty
from services.runner.replicas.far import FarHosts

_PLACING_S = 15.0
_LOOK_S = 0.2


class Placing:
    """Who places hosts."""

    def __init__(self, duty: Duty, apps: Apps, roll: Roll, far: FarHosts) -> None:
        self._duty = duty
        self._apps = apps
        self._roll = roll
        self._far = far

    async def elsewhere(self) -> Any:
        """Return the `AppService` of the replica that places hosts, `None` if that is this one.

        Raises `Unavailable` if nobody does for longer than it takes to find somebody.
        """
        until = asyncio.get_running_loop().time() + _PLACING_S
        while not self._apps.in_charge:
            address = self._roll.address_of(self._duty.holder) if not self._duty.ours else ""
            if address and (found := await self._far.apps(address)) is not None:
                return found
            if asyncio.get_running_loop().time() > until:
                raise Unavailable("no replica of the runner places hosts now: try again")
            await asyncio.sleep(_LOOK_S)
        return None
