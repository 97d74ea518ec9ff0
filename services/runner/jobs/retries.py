"""Jobs that were lost wait a little, then for a host again."""

import contextlib
from collections.abc import Callable

from meshkit import clock
from meshkit.bus import Bus
from meshkit.errors import FailedPrecondition, NotFound
from meshkit.tasks import Apart
from services.runner import domain
from services.runner.jobs.dispatcher import Dispatcher
from services.runner.jobs.journal import RETRIES, Journal
from services.runner.jobs.walks import each
from services.runner.ports.store import JobStore

_LOOK_AGAIN_S = 5.0


class Retries:
    """Starts jobs again."""

    def __init__(
        self, store: JobStore, journal: Journal, dispatcher: Dispatcher, bus: Bus, now: Callable[[], float] = clock.now
    ) -> None:
        self._store = store
        self._journal = journal
        self._dispatcher = dispatcher
        self._bus = bus
        self._now = now

    async def run(self) -> None:
        """Let jobs that are RETRYING wait for a host once their pause is over, until cancelled."""
        apart = Apart("retries")
        seen: dict[tuple[str, int], float] = {}
        """Since which tick each job is known to wait, by its epoch."""
        async with self._bus.subscribe(RETRIES) as waker:
            while not waker.closed:
                wait_s, known, seen = _LOOK_AGAIN_S, seen, {}
                async for job in each(self._store.retrying_jobs, lambda job: job.job_id):
                    since = seen[job.job_id, job.epoch] = known.get((job.job_id, job.epoch), clock.ticks())
                    left_s = domain.attempts.left_s(job, self._now(), clock.ticks() - since)
                    if left_s > 0:
                        wait_s = min(wait_s, left_s)
                        continue
                    with apart(job.job_id), contextlib.suppress(FailedPrecondition, NotFound):
                        await self._queue(job.job_id)  # unless it was stopped or deleted a moment ago
                await waker.wait(min(max(wait_s, apart.pause_s(), 0.01), _LOOK_AGAIN_S))

    async def _queue(self, job_id: str) -> None:
        rule = domain.attempts.queue_again
        await self._dispatcher.enqueue(await self._journal.change(job_id, lambda job: rule(job, self._now())))
