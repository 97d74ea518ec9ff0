"""The throttle of a service with replicas: failures count here, and together in Redis.

Both must let an attempt through.  What replicas share holds whichever of them is asked; what this process has counted
itself holds while Redis is gone, or says what is not true: guessing is then as slow as `Throttle` makes it at each
replica.  Redis sees keyed digests in place of names and addresses, and forgets them as `Throttle` does.
"""

from typing import Any

import structlog

from meshkit.redis.link import Link, NoRedis
from services.auth.throttle import FORGET_S, Throttle, network_of, refuse_if_early

log = structlog.get_logger()

_LOOK = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local pair = redis.call('HMGET', KEYS[1], 'count', 'at')
return {tonumber(pair[1] or 0), now - tonumber(pair[2] or now), tonumber(redis.call('GET', KEYS[2]) or 0)}
"""
"""Returns failures of the pair, the milliseconds since the last of them, and failures of the name."""

_FAILED = """
local time = redis.call('TIME')
redis.call('HINCRBY', KEYS[1], 'count', 1)
redis.call('HSET', KEYS[1], 'at', time[1] * 1000 + math.floor(time[2] / 1000))
redis.call('PEXPIRE', KEYS[1], ARGV[1])
redis.call('INCR', KEYS[2])
redis.call('PEXPIRE', KEYS[2], ARGV[1])
"""
_SUCCEEDED = "redis.call('DEL', KEYS[1])"


class SharedThrottle:
    """A `Throttle` that replicas share, if there is a link to Redis."""

    def __init__(self, own: Throttle, link: Link | None) -> None:
        self._own = own
        self._link = link

    async def check(self, name: str, address: str) -> None:
        """Raise `Exhausted`, saying how long to wait, if `name` was tried from `address` too often, at any replica."""
        self._own.check(name, address)
        found = await self._ask(_LOOK, name, address)
        if isinstance(found, list) and [int] * 3 == list(map(type, found)):
            of_pair, age_ms, of_name = found
            refuse_if_early(of_pair, of_name, max(0.0, age_ms / 1000))

    async def failed(self, name: str, address: str) -> None:
        """Count a failure."""
        self._own.failed(name, address)  # before anything is waited for: a caller may go away
        await self._ask(_FAILED, name, address, FORGET_S * 1000)

    async def succeeded(self, name: str, address: str) -> None:
        """Forget the failures of `name` from `address`."""
        self._own.succeeded(name, address)
        await self._ask(_SUCCEEDED, name, address)

    async def _ask(self, script: str, name: str, address: str, *arguments: float) -> Any:
        if self._link is None:
            return None
        keys = [self._link.key("pair", name, network_of(address)), self._link.key("name", name)]
        try:
            return await self._link.run(script, keys, *(round(each) for each in arguments))
        except NoRedis as error:
            log.debug("the throttle counts alone", why=str(error))
            return None
