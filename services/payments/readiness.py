"""Whether payments can be made on a network: checked at the start, and until it holds; a failure stops nothing else."""

import asyncio
import contextlib

import structlog

from meshkit.errors import DeadlineExceeded, Exhausted, FailedPrecondition, Internal, MeshError, Unavailable
from services.payments.domain.pace import Pace
from services.payments.ports.provider import Provider

log = structlog.get_logger()
_PASSING = (Unavailable, DeadlineExceeded, Exhausted, Internal)
"""What the check may get over by itself: who waits for a payment waits on, and no job fails for it."""


class Readiness:
    """What the last check of a provider has found.  `run` must run."""

    def __init__(self, network: str, provider: Provider, pace: Pace) -> None:
        self._network = network
        self._provider = provider
        self._pace = pace
        self._refusal: MeshError | None = None
        self._known = asyncio.Event()
        self._due = asyncio.Event()
        self._due.set()

    async def require(self, timeout_s: float) -> None:
        """Return once payments can be made; raise why they cannot, or `Unavailable` if that is not known in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._known.wait()
        if not self._known.is_set():
            raise Unavailable(f"payments on {self._network} are still being checked: try again in a moment")
        if self._refusal is not None:
            kind = Unavailable if isinstance(self._refusal, _PASSING) else FailedPrecondition
            raise kind(f"payments on {self._network} are not possible now: {self._refusal}", network=self._network)

    def doubt(self, error: MeshError) -> None:
        """Have no payment made until the check has passed again."""
        self._refusal = error
        self._due.set()

    async def run(self) -> None:
        """Check whenever there is doubt, until cancelled."""
        attempt = 0
        while True:
            await self._due.wait()
            try:
                await self._check()
            except MeshError as error:
                if str(error) != str(self._refusal) or not attempt:
                    log.warning("payments are not possible", network=self._network, reason=str(error))
                self._refusal = error
                self._known.set()
                attempt += 1
                await asyncio.sleep(self._pace.retry_delay_s(attempt, error))
            else:
                log.info("payments are possible", network=self._network, provider=self._provider.name)
                attempt, self._refusal = 0, None
                self._due.clear()
                self._known.set()

    async def _check(self) -> None:
        try:
            await self._provider.check()
        except MeshError:
            raise
        except Exception as error:
            log.exception("check failed", network=self._network)
            raise Internal("the check itself failed: see the log") from error
