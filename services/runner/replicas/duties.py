"""What one replica does for all: whoever has the duty keeps it for as long as they say so.

A duty is a row that counts up.  Who does not have it looks; when the number has stood still for a lease, by the own
clock of who looks, they take it.  Who cannot say that they have it gives it up by themselves before that: they count
their lease from before they asked, and wait for no answer beyond it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog

from meshkit.errors import Unavailable
from services.runner.ports.replicas import ReplicaStore

log = structlog.get_logger()
_STEPS = 5
"""Looks in the time of a lease."""
_KEPT = 0.9
"""Of a lease: so long a duty is kept that cannot be said to be ours.  What we do for it must have ended by its end."""


class Duty:
    """One duty, at one replica."""

    def __init__(self, name: str, runner_id: str, store: ReplicaStore, *, lease_s: float) -> None:
        self._name = name
        self._runner_id = runner_id
        self._store = store
        self._lease_s = lease_s
        self.holder = ""
        """The replica that had it when we looked last; empty if we gave it up, or never heard."""

    @property
    def ours(self) -> bool:
        """Whether it was ours when we looked last, and has not been given up since."""
        return self.holder == self._runner_id

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do the work whenever the duty is ours, until cancelled; work that ends by itself is begun anew."""
        working: asyncio.Task[None] | None = None
        known: tuple[str, int] | None = None
        since = time.monotonic()
        kept_until = 0.0
        try:
            while True:
                now = time.monotonic()
                stands = known if now - since > self._lease_s else None
                try:
                    async with asyncio.timeout(_left_s(kept_until, now) or self._lease_s / 2):
                        found = await self._store.take_duty(self._name, self._runner_id, stands)
                except (Unavailable, TimeoutError) as error:
                    log.debug("a duty cannot be kept now", duty=self._name, why=str(error))
                    since = time.monotonic()  # nobody could say anything: their lease begins anew
                else:
                    if found != known:
                        known, since = found, time.monotonic()
                    self.holder = found[0]
                    kept_until = now + self._lease_s * _KEPT if self.ours else 0.0
                # Who cannot say that they have it may have lost it.
                ours = _left_s(kept_until, time.monotonic()) is not None
                if self.ours and not ours:
                    self.holder = ""  # given up for want of an answer: the next one says who has it
                if ours and (working is None or working.done()):
                    log.info("takes on a duty", duty=self._name)
                    working = asyncio.create_task(self._do(work), name=f"duty-{self._name}")
                elif not ours and working is not None:
                    log.warning("has lost a duty", duty=self._name, holder=self.holder)
                    await _end(working)
                    working = None
                step_s = self._lease_s / _STEPS
                await asyncio.sleep(min(step_s, _left_s(kept_until, time.monotonic()) or step_s))
        finally:
            if working is not None:
                await _end(working)

    async def _do(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except Unavailable as error:
            log.debug("begins anew", work=self._name, why=str(error))
        except Exception:
            log.exception("what a duty is about has failed", duty=self._name)


def _left_s(until: float, now: float) -> float | None:
    """Return how long it is until then; `None` if that is over."""
    return until - now if until > now else None


async def _end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait([task])  # raises nothing of the task's, and what cancels us meanwhile is ours
