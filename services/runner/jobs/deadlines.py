"""Jobs that take longer than they may: they are stopped, and have failed then."""

from collections.abc import Callable

from meshkit import clock
from meshkit.bus import Bus
from meshkit.tasks import Apart
from services.runner.domain import End, Reason, State
from services.runner.jobs.jobs import Jobs
from services.runner.jobs.journal import DEADLINES
from services.runner.ports.store import JobStore

_LOOK_AGAIN_S = 5.0
_BATCH = 100
TOO_LATE = End(state=State.FAILED, reason=Reason.TIMEOUT, error="the job took longer than it may: its deadline is over")


class Deadlines:
    """Ends jobs at their deadlines."""

    def __init__(self, store: JobStore, jobs: Jobs, bus: Bus, now: Callable[[], float] = clock.now) -> None:
        self._store = store
        self._jobs = jobs
        self._bus = bus
        self._now = now

    async def run(self) -> None:
        """Stop jobs once their time is over, until cancelled."""
        apart = Apart("deadlines")
        async with self._bus.subscribe(DEADLINES) as waker:
            while not waker.closed:
                late = await self._store.late_jobs(self._now(), _BATCH)
                for job_id in late:
                    with apart(job_id):
                        await self._jobs.give_up(job_id, TOO_LATE)
                pause_s = apart.pause_s()
                if late and not pause_s:
                    continue
                next_at = await self._store.next_deadline()
                left_s = _LOOK_AGAIN_S if next_at is None else next_at - self._now()
                await waker.wait(min(max(left_s, pause_s, 0.01), _LOOK_AGAIN_S))
