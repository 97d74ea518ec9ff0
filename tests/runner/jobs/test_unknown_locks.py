"""A lock that its job does not know, as one with a blank in its id was kept once."""

import asyncio
import dataclasses
from typing import Any

from meshkit.bus import MemoryBus
from services.runner import domain
from services.runner.domain import Birth, Change, End, Job, Lease, LockState, OpenLock, Reason, State
from services.runner.jobs.locks import Locks
from tests.runner.stores.conftest import Store
from tests.runner.stores.conftest import store as store
from tests.runner.stores.test_stores import job


class _Journal:
    """Writes, and tells nobody but a test."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.closed = asyncio.Event()

    async def change(self, job_id: str, rule: Any) -> Job:
        def decide(found: Job) -> Change:
            decided.append(rule(found))
            return decided[-1]

        decided: list[Change] = []
        written, _ = await self._store.update(job_id, decide)
        if any(end.state == LockState.CLOSED for end in decided[-1].ended):
            self.closed.set()
        return written


async def test_it_is_closed_when_it_is_due(store: Store) -> None:
    """Nobody looks for it for ever."""
    new = job(1)
    await store.create([Birth(job=new)], None)
    await store.update(new.job_id, lambda found: domain.lease(found, "h", 2.0))
    opening = OpenLock(lock_id="a", title="t", elements_json="[]", data_json="{}", timeout_s=1.0)
    await store.update(new.job_id, lambda found: domain.report(found, Lease("h", 1), 1, (), None, 3.0, opening))

    def forget(found: Job) -> Change:
        failed = End(state=State.FAILED, reason=Reason.ERROR, error="x")
        return domain.finish(dataclasses.replace(found, pending_locks=()), failed, 3.0)

    await store.update(new.job_id, forget)
    assert LockState.PENDING == (await store.get_lock("a")).state
    journal: Any = _Journal(store)
    nothing: Any = None
    locks = Locks(
        store, journal, nothing, nothing, nothing, MemoryBus(), timeout_s=1.0, patience_s=1.0, now=lambda: 10.0
    )
    expiring = asyncio.create_task(locks.expire())
    async with asyncio.timeout(30):
        await journal.closed.wait()
    expiring.cancel()
    await asyncio.gather(expiring, return_exceptions=True)

    assert LockState.CLOSED == (await store.get_lock("a")).state
    assert await store.next_expiry() is None
