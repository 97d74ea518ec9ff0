"""The one place where a rule is applied to a job: written first, then everybody is told who must know.

Watchers are woken, the job's host hears of locks that ended, its room is free again when the job has ended.  Whoever
looks after something by itself is woken on a topic: it reads the store, which is the truth.
"""

import asyncio
from collections.abc import Callable, Sequence

from agentmesh_protos.runner.v1 import host_pb2

from meshkit.bus import Bus
from meshkit.errors import Unavailable
from meshkit.idempotency import Request
from services.runner.callers.masking import Masks
from services.runner.domain import Asked, Birth, Change, Event, Isolation, Job, LockState, State, Step
from services.runner.domain.steps import finished
from services.runner.files.files import Files
from services.runner.hosts.links import Hosts
from services.runner.jobs.spans import Spans
from services.runner.jobs.tails import Tails
from services.runner.jobs.turns import Turns
from services.runner.ports.replicas import ReplicaStore, Rule
from services.runner.ports.store import JobStore

_AGAIN_S = 0.5
QUEUE = "queue"
"""Jobs wait, or hosts have come: the dispatcher looks."""
ROOM = "room"
"""A host has room again: the dispatcher looks, if it knows of jobs that wait."""
APPS = "apps"
"""An app has come or gone, stands elsewhere than before, or can be asked now."""
LOCKS = "locks"
"""Locks have been opened or have ended: their timer and watchers look."""
RETRIES = "retries"
"""A job was lost and is to be started again: retries look."""
DEADLINES = "deadlines"
"""A job has come to be that may not take as long as it likes: whoever keeps the time looks."""
PAYMENTS = "payments"
"""The payments service must be told something: billing looks."""
WEBHOOKS = "webhooks"
"""Something has happened that webhooks may be told of: who sends it looks."""
_TOLD = frozenset(("status", "payment"))


class Journal:
    """Applies rules to jobs."""

    def __init__(
        self,
        store: JobStore,
        tails: Tails,
        hosts: Hosts,
        turns: Turns,
        bus: Bus,
        masks: Masks,
        files: Files,
        spans: Spans | None = None,
    ) -> None:
        """`spans` hear of what is written."""
        self._files = files
        self.masks = masks
        """What is secret in jobs, and not to be seen in what is written."""
        self._store = store
        self._tails = tails
        self._hosts = hosts
        self._turns = turns
        self._bus = bus
        self._spans = spans

    async def create(
        self,
        births: Sequence[Birth],
        request: Request | None = None,
        *,
        open_max: int | None = None,
        stored_max: int | None = None,
    ) -> list[Job]:
        """Keep new jobs of one owner, all or none: they are on disk when this returns.  Raises as `JobStore.create`."""
        written = await self._store.create(births, request, open_max=open_max, stored_max=stored_max)
        for job, events in written:
            await self._announce(job, events, Change(job=job))
        if any(job.deadline_at for job, _ in written):
            await self._bus.publish(DEADLINES)
        return [job for job, _ in written]

    async def look(self, job_id: str) -> Job:
        """Return a job as it is.  Raises `NotFound`."""
        return await self._store.get(job_id)

    async def change(self, job_id: str, rule: Callable[[Job], Change], request: Request | None = None) -> Job:
        """Apply a rule; return the job as it is then.

        Raises what the rule raises, `NotFound`, and `AlreadyExists` if `request` was made before.
        """
        decided: list[Change] = []

        def decide(job: Job) -> Change:
            decided.append(rule(job))
            return decided[-1]

        job, events = await self._store.update(job_id, decide, request)
        await self._announce(job, events, decided[-1])
        return job

    async def claim(
        self, replicas: ReplicaStore, expose: str, isolation: Isolation, limit: int, rule: Rule
    ) -> list[Job]:
        """Apply a rule to jobs that wait in a line (`ReplicaStore.claim`); return those that it has changed."""
        written = await replicas.claim(expose, isolation, limit, rule)
        for job, events in written:
            await self._announce(job, events, Change(job=job))
        return [job for job, _ in written]

    async def insist(self, job_id: str, rule: Callable[[Job], Change]) -> Job:
        """As `change`, again and again until it can be written: for what nobody will ask for a second time."""
        while True:
            try:
                return await self.change(job_id, rule)
            except Unavailable:
                await asyncio.sleep(_AGAIN_S)

    async def asked(self, job: Job) -> list[Asked]:
        """Return what attempts of a job have asked that is not to be asked again (`JobStore.asked`)."""
        return await self._store.asked(job.job_id) if job.attempt else []

    async def steps(self, job: Job) -> list[Step]:
        """Return what attempts of a job have finished, in order."""
        return finished(await self._store.events_of(job.job_id, ("step",))) if job.attempt else []

    async def delete(self, job_id: str, at: float) -> None:
        """Forget a job that has ended, with its files.  Raises `NotFound`, and `Unavailable`: try again."""
        job = await self._store.get(job_id)
        await self._files.forget(job.owner, job_id)  # first: nobody would look for them without their job
        await self._store.delete(job_id, at)
        await self._tails.forget(job_id)

    async def _announce(self, job: Job, events: Sequence[Event], change: Change) -> None:
        await self._tails.push(job, events)
        for lock in change.opened:
            if lock.state != LockState.PENDING:  # refused: the flow must not wait for it
                self._tell_lock_end(job, lock.lock_id)
        for end in change.ended:
            if end.state != LockState.CLOSED:
                result_json = self.masks.answer(end.lock_id, end.result_json, end.sealed)
                self._tell_lock_end(job, end.lock_id, result_json, answered=end.state == LockState.ANSWERED)
        if change.opened or change.ended:
            await self._bus.publish(LOCKS, locks_of(job.owner))
        if self._spans is not None and events:
            self._spans.written(job, events)
        if job.ended or job.state == State.RETRYING or job.parked:
            self._hosts.release(job)
            self._turns.free(job)
            await self._bus.publish(ROOM)
        elif self._hosts.follow(job):
            await self._bus.publish(ROOM)
        if job.state == State.RETRYING:
            await self._bus.publish(RETRIES)
        if job.payment_todo or job.unasked:
            await self._bus.publish(PAYMENTS)
        if change.opened or change.ended or any(event.kind in _TOLD for event in events):
            await self._bus.publish(WEBHOOKS)

    def _tell_lock_end(self, job: Job, lock_id: str, result_json: str = "", *, answered: bool = False) -> None:
        self._hosts.tell(job, lock_end(job, lock_id, result_json, answered=answered))


def locks_of(owner: str) -> str:
    """Return the topic of one owner's locks."""
    return f"{LOCKS}/{owner}"


def lock_end(job: Job, lock_id: str, result_json: str, *, answered: bool) -> host_pb2.RunnerMessage:
    """Return what a job's host is told of a lock that has ended."""
    end = host_pb2.LockEnd(
        job=f"jobs/{job.job_id}", epoch=job.epoch, lock_id=lock_id, result_json=result_json, expired=not answered
    )
    return host_pb2.RunnerMessage(lock_end=end)
