"""What one replica does for all: whoever has the duty keeps it for as long as they say so.

A duty is a row that counts up.  Who does not have it looks; when the number has stood still for a lease, by the own
clock of who looks, they take it.  Who cannot say for as long that they have it gives it up by themselves.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

import structlog

from meshkit.errors import Unavailable
from services.runner.ports.replicas import ReplicaStore

log = structlog.get_logger()
_STEPS = 5
"""Looks in the time of a lease."""


class Duty:
    """One duty, at one replica."""

    def __init__(self, name: str, runner_id: str, store: ReplicaStore, *, lease_s: float) -> None:
        self._name = name
        self._runner_id = runner_id
        self._store = store
        self._lease_s = lease_s
        self.holder = ""
        """The replica that had it when we looked last."""

    @property
    def ours(self) -> bool:
        """Whether it was ours when we looked last."""
        return self.holder == self._runner_id

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do the work whenever the duty is ours, until cancelled; work that ends by itself is begun anew."""
        working: asyncio.Task[None] | None = None
        known: tuple[str, int] | None = None
        kept_at = since = time.monotonic()
        try:
            while True:
                now = time.monotonic()
                try:
                    stands = known if now - since > self._lease_s else None
                    found = await self._store.take_duty(self._name, self._runner_id, stands)
                except Unavailable as error:
                    log.debug("a duty cannot be kept now", duty=self._name, why=str(error))
                    since = time.monotonic()  # nobody could say anything: their lease begins anew
                else:
                    kept_at = time.monotonic()
                    if found != known:
                        known, since = found, kept_at
                    self.holder = found[0]
                # Who cannot say that they have it may have lost it.
                ours = self.holder == self._runner_id and time.monotonic() - kept_at < self._lease_s
                if ours and (working is None or working.done()):
                    log.info("takes on a duty", duty=self._name)
                    working = asyncio.create_task(self._do(work), name=f"duty-{self._name}")
                elif not ours and working is not None:
                    log.warning("has lost a duty to another replica", duty=self._name, holder=self.holder)
                    await _end(working)
                    working = None
                await asyncio.sleep(self._lease_s / _STEPS)
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


async def _end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.wait([task])
