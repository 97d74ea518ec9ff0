"""How fast the jobs of one owner may talk: beyond it they are held back, and nothing they say is lost.

What a host reports is written down at once; that it was is told later.  Until then it counts as on its way, and a host
lets no job have more than a few megabytes on their way: who talks too fast waits, alone.

Replicas tell each other through Redis, a few times a second, what their owners have said; nobody waits for that.  So
what an owner says at all of them together is held to the rate, but for the quarter of a second until all know of it.
"""

import asyncio
import time
from collections.abc import Callable, Sequence

import structlog

from meshkit.redis.link import Link, NoRedis
from services.runner.domain import Event

log = structlog.get_logger()

_BURST_S = 5.0
"""Who was silent may say as much at once as is said in this time."""
_DELAY_S_MAX = 30.0
_OWNERS_MAX = 10_000
_UNIT_BYTES = 1024
"""A long event counts as several."""
_SHARE_S = 0.25
_SHARED_AT_ONCE = 500
"""Owners in one message to Redis."""
_SHARE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local burst, most = tonumber(ARGV[1]), tonumber(ARGV[2])
local delays = {}
for each, key in ipairs(KEYS) do
  local paid = math.max(tonumber(redis.call('GET', key) or 0), now - burst) + tonumber(ARGV[each + 2])
  paid = math.min(paid, now + most)
  redis.call('SET', key, paid, 'PX', burst + most)
  delays[each] = math.floor(paid - now)
end
return delays
"""
"""Adds what each owner has said, in milliseconds of its rate; returns in how many milliseconds it is paid off."""


class Pace:
    """A bucket for each owner."""

    def __init__(
        self, events_per_s: float, now: Callable[[], float] = time.monotonic, link: Link | None = None
    ) -> None:
        """`events_per_s` of one owner are taken without delay; 0 for any number.  Other replicas are told by `link`."""
        self._rate = events_per_s
        self._now = now
        self._until: dict[str, float] = {}
        """By owner: when what they have said is paid off."""
        self._link = link
        self._untold: dict[str, float] = {}
        """What they have said since other replicas were told, in seconds of the rate."""
        self._said = asyncio.Event()

    def delay_s(self, owner: str, events: Sequence[Event]) -> float:
        """Return for how long an owner's events are not acknowledged yet."""
        if not self._rate or not owner:
            return 0.0
        now = self._now()
        units = sum(1 + len(event.payload) // _UNIT_BYTES for event in events)
        until = max(self._until.get(owner, 0.0), now - _BURST_S) + units / self._rate
        self._until[owner] = min(until, now + _DELAY_S_MAX)
        if self._link is not None:
            self._untold[owner] = self._untold.get(owner, 0.0) + units / self._rate
            self._said.set()
        if len(self._until) > _OWNERS_MAX:
            self._until = {one: at for one, at in self._until.items() if at > now - _BURST_S}
        return max(0.0, self._until[owner] - now)

    async def share(self) -> None:
        """Tell other replicas what was said here, and hear what was said there; until cancelled."""
        while True:
            await self._said.wait()
            await asyncio.sleep(_SHARE_S)
            self._said.clear()
            while self._untold:
                told = [(owner, self._untold.pop(owner)) for owner in list(self._untold)[:_SHARED_AT_ONCE]]
                await self._exchange(told)

    async def _exchange(self, told: Sequence[tuple[str, float]]) -> None:
        assert self._link is not None, "without it nothing is to be told"
        keys = [self._link.key("pace", owner) for owner, _ in told]
        costs = [round(said_s * 1000, 3) for _, said_s in told]
        try:
            delays = await self._link.run(_SHARE, keys, round(_BURST_S * 1000), round(_DELAY_S_MAX * 1000), *costs)
        except NoRedis as error:
            log.debug("each replica keeps its own pace", why=str(error))
            return
        if not isinstance(delays, list) or len(delays) != len(told):
            return
        now = self._now()
        for (owner, _), delay_ms in zip(told, delays, strict=True):
            if isinstance(delay_ms, int) and owner in self._until:
                self._until[owner] = max(self._until[owner], now + min(delay_ms / 1000, _DELAY_S_MAX))
