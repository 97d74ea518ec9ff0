"""Deadlines: who keeps the time does so for every job."""

import asyncio

from meshkit.bus import MemoryBus
from services.runner.domain import Birth, End
from services.runner.jobs.deadlines import Deadlines
from services.runner.jobs.jobs import Jobs
from services.runner.stores.memory import MemoryStore
from tests.runner.stack import DEADLINE_S
from tests.runner.stores.test_stores import job


class Stubborn(Jobs):
    """Jobs of which the first cannot be given up."""

    def __init__(self) -> None:
        self.given_up = asyncio.Event()

    async def give_up(self, job_id: str, end: End) -> None:
        """As `Jobs.give_up`."""
        if job_id == job(1).job_id:
            raise ValueError("a rule has a fault")
        self.given_up.set()


async def test_a_job_that_cannot_be_ended_keeps_no_other_alive() -> None:
    """It is looked at again; the one behind it ends."""
    store, jobs = MemoryStore(), Stubborn()
    for number in (1, 2):
        await store.create([Birth(job=job(number, deadline_at=1.0))], None)

    running = asyncio.create_task(Deadlines(store, jobs, MemoryBus()).run())
    try:
        async with asyncio.timeout(DEADLINE_S):
            await jobs.given_up.wait()
        assert not running.done()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
