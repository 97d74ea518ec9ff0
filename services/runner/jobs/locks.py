"""Locks: opened by jobs, answered by people, expired by the clock.

A lock is a row; this module adds what a row cannot do: one timer that sleeps until the next lock expires, the app's
check of an answer, and streams for approvers.  The answer's way back to the job is the journal's.
"""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from agentmesh_protos.runner.v1 import host_pb2

from meshkit import clock, jsons, paging
from meshkit.bus import Bus
from meshkit.errors import AlreadyExists, FailedPrecondition, Internal, Invalid, MeshError, NotFound
from meshkit.tasks import Apart
from services.runner import domain
from services.runner.callers.refusals import refused
from services.runner.callers.requests import Requests
from services.runner.domain import Change, Job, Lock, LockEnd, LockState, State
from services.runner.hosts.links import Hosts, Link
from services.runner.jobs.dispatcher import Dispatcher
from services.runner.jobs.journal import APPS, LOCKS, Journal, locks_of
from services.runner.ports.store import JobStore

_LOOK_AGAIN_S = 5.0
_DUE_MAX = 500
_MANY = 500
_PAUSE_S = 0.25


class Locks:
    """The locks of this mesh."""

    def __init__(
        self,
        store: JobStore,
        journal: Journal,
        dispatcher: Dispatcher,
        hosts: Hosts,
        requests: Requests,
        bus: Bus,
        *,
        timeout_s: float,
        patience_s: float,
        now: Callable[[], float] = clock.now,
    ) -> None:
        self._store = store
        self._journal = journal
        self._dispatcher = dispatcher
        self._hosts = hosts
        self._requests = requests
        self._bus = bus
        self._timeout_s = timeout_s
        self._patience_s = patience_s
        self._now = now

    async def expire(self) -> None:
        """End locks at their time, until cancelled: sleeps to the next one, or until the locks change.

        Raises `Unavailable` if that cannot be written now: begin anew.
        """
        apart = Apart("locks")
        is_set_back = clock.SetBack(self._now)
        async with self._bus.subscribe(LOCKS) as waker:
            while not waker.closed:
                if is_set_back():  # else what was asked while it was fast expires as much too late
                    await self._store.bring_back_locks(self._now())
                for lock_id, job_id in await self._store.due_locks(self._now(), _DUE_MAX):
                    with apart(lock_id), contextlib.suppress(NotFound):  # deleted with its job
                        try:
                            rule = functools.partial(_expire, lock_id=lock_id, now=self._now)
                            await self._go_on(await self._journal.change(job_id, rule))
                        except FailedPrecondition:  # answered at the last moment, or its job has ended
                            await self._close_unknown(lock_id, job_id)
                next_at = await self._store.next_expiry()
                wait_s = _LOOK_AGAIN_S if next_at is None else next_at - self._now()
                # The clock may be set: it is looked at now and then, however far away the next lock is.
                await waker.wait(min(max(wait_s, apart.pause_s(), 0.01), _LOOK_AGAIN_S))

    async def _close_unknown(self, lock_id: str, job_id: str) -> None:
        """Close a lock that its job does not know, as one of an id with a blank was kept: else it is due for ever."""
        if (await self._store.get_lock(lock_id)).state == LockState.PENDING:
            await self._journal.change(job_id, functools.partial(_close_unknown, lock_id=lock_id, now=self._now))

    async def answer(self, lock: Lock, inputs_json: str, user: str, request_id: str = "") -> Lock:
        """Take somebody's answer, a JSON object; return the lock as it is then.

        Raises `Invalid` with the fields if the form or the app refuses it (the lock stays pending),
        `FailedPrecondition` if the lock is not pending any more, `Unavailable` while its app does not run.
        """
        request = self._requests.made(user, request_id, lock.name, inputs_json)
        async with self._requests.one_at_a_time(request):
            if request is not None and await self._requests.known(request) is not None:
                return await self._store.get_lock(lock.lock_id)
            self._check_open(await self._store.get_lock(lock.lock_id))
            try:
                result_json = await self._ask_app(lock, inputs_json, user)
            except MeshError as error:
                raise self._journal.masks.asked(lock, jsons.value_of(inputs_json)).error(error) from None
            sent = jsons.value_of(inputs_json)
            rule = functools.partial(self._take, lock=lock, sent=sent, result_json=result_json, user=user)
            try:
                done = request and request.answered(lock.name.encode())
                await self._go_on(await self._journal.change(lock.job_id, rule, done))
            except AlreadyExists:  # the same request, a moment earlier, by another runner
                if request is None or await self._requests.known(request) is None:
                    raise
        return await self._store.get_lock(lock.lock_id)

    def _take(self, job: Job, *, lock: Lock, sent: Any, result_json: str, user: str) -> Change:
        job, shown, sealed = self._journal.masks.answered(job, lock, sent, result_json)
        return domain.locks.answer(job, lock, shown, user, self._now(), sealed)

    async def _go_on(self, job: Job) -> None:
        """Start another attempt of a job that waited without a process."""
        if job.state == State.QUEUED:
            await self._dispatcher.enqueue(job)

    def _check_open(self, lock: Lock) -> None:
        if lock.state != LockState.PENDING or lock.expires_at <= self._now():
            how = "expired" if lock.state == LockState.PENDING else lock.state
            raise FailedPrecondition(f"the lock is {how}: it takes no answer any more", state=how)

    async def _serving(self, expose: str) -> Link:
        """Return a host of an app; wait a moment for one that is being restarted.  Raises `Unavailable`."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._patience_s
        async with self._bus.subscribe(APPS) as waker:
            while not self._hosts.serving.get(expose) and not waker.closed and (left_s := until - loop.time()) > 0:
                await waker.wait(left_s)
        return self._hosts.asked_least(expose)

    async def _ask_app(self, lock: Lock, inputs_json: str, user: str) -> str:
        """Have the app parse, check and lease the answer; return what the flow gets, as JSON."""
        job = await self._store.get(lock.job_id)
        link = self._hosts.links.get(job.host_id) or await self._serving(job.expose)
        checked = await link.check_lock(
            host_pb2.CheckLock(
                lock=lock.name,
                title=lock.title,
                inputs_json=inputs_json,
                data_json=lock.data_json or "{}",
                user=user,
                base_url=job.base_url,
                timeout_s=self._timeout_s,
            )
        )
        if checked.errors:
            raise refused("the answer is refused", checked.errors)
        if checked.failed:
            raise Internal(checked.detail or "the app failed to take the answer")
        if not checked.result_json:
            detail = checked.detail or "the answer is refused"
            raise Invalid(detail, {"inputs": [detail]})
        try:
            return domain.readings.checked(checked.result_json)
        except ValueError:
            raise Internal("the app's answer is no JSON, or is nested too deeply") from None

    async def watch(self, owner: str, heartbeat_s: float) -> AsyncIterator[Sequence[Lock]]:
        """Yield the pending locks of `owner` (empty: of all), then each after a change; [] is a heartbeat."""
        known: set[str] = set()
        first = True
        async with self._bus.subscribe(locks_of(owner) if owner else LOCKS) as waker:
            while not waker.closed:
                pending = await self._store.pending_locks(owner)
                new = set(pending) - known
                changed: list[Lock] = []
                for lock_id in (*(one for one in pending if one in new), *known.difference(pending)):
                    with contextlib.suppress(NotFound):  # deleted with its job
                        changed.append(await self._store.get_lock(lock_id))
                    if len(paging.full(changed)) < len(changed):  # each may have megabytes of a form
                        yield changed[:-1]
                        changed = changed[-1:]
                known = set(pending)
                if changed or first:
                    yield changed
                first = False
                if len(pending) > _MANY:  # each look reads them all: not for every change of a busy mesh
                    await asyncio.sleep(_PAUSE_S)
                if not await waker.wait(heartbeat_s):
                    yield []


def _expire(job: Job, *, lock_id: str, now: Callable[[], float]) -> Change:
    return domain.locks.expire(job, lock_id, now())


def _close_unknown(job: Job, *, lock_id: str, now: Callable[[], float]) -> Change:
    if lock_id in job.pending_locks:
        return Change(job=job)
    return Change(job=job, ended=(LockEnd(lock_id=lock_id, state=LockState.CLOSED, at=now()),))
