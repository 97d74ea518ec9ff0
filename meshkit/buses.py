"""Which bus a service has, and whether replicas count together: the one place that knows.

It goes by `AGENTMESH_REDIS_URL` and `AGENTMESH_REPLICAS`.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from meshkit.bus import Bus, MemoryBus
from meshkit.redis import bus as redis_bus
from meshkit.redis.link import Link
from meshkit.service import Settings
from meshkit.tasks import background

_POLL_S = 0.5
"""A session that was ended is refused within a second, by replicas that must look for it, too."""


class _PollingBus(MemoryBus):
    """A bus that does not hear the other replicas: everybody here looks by themselves twice a second."""

    @property
    def linked(self) -> bool:
        """Nothing is heard."""
        return False

    async def poll(self) -> None:
        """Wake everybody again and again."""
        while True:
            await asyncio.sleep(_POLL_S)
            await self.rouse()


@contextlib.asynccontextmanager
async def opened(settings: Settings, service: str, stopping: asyncio.Event | None = None) -> AsyncIterator[Bus]:
    """Open the bus of a service for the length of the block: between its replicas by Redis, if that is configured.

    A Redis that is not there delays this by seconds, and fails nothing.  `stopping` is set if the bus breaks.
    """
    url = settings.redis_url.get_secret_value()
    if url:
        async with redis_bus.opened(url, settings.secret, service, stopping) as bus:
            yield bus
    elif settings.replicas > 1:
        polling = _PollingBus()
        async with background(polling.poll(), "bus-poll", stopping):
            yield polling
    else:
        yield MemoryBus()


@contextlib.asynccontextmanager
async def counters(settings: Settings) -> AsyncIterator[Link | None]:
    """Keep a link to the Redis in which replicas count together for the length of the block; None if there is none."""
    url = settings.redis_url.get_secret_value()
    if not url:
        yield None
        return
    async with Link.to(url, settings.secret) as link:
        yield link
