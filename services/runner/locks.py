"""Locks: opened by jobs, answered by people, expired by the clock.

A lock is a row; this module adds what a row cannot do: one timer that sleeps until the next lock expires, the app's
check of an answer, the answer's way back to the job, and streams for approvers.
"""

import asyncio
import contextlib
import functools
import hashlib
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import structlog
from mesh.runner.v1 import host_pb2

from meshkit.errors import AlreadyExists, FailedPrecondition, Internal, Invalid, MeshError, NotFound
from meshkit.tasks import either
from services.runner import domain
from services.runner.domain import Change, Job, Lock, LockState, Request
from services.runner.hosts import Hosts
from services.runner.refusals import refused
from services.runner.store import JobStore

log = structlog.get_logger()
APP_PATH = "/_lock_/"
"""Where an app answers for its locks; closed to callers from outside."""


class Locks:
    """The locks of this mesh.  `change` applies a rule to a job and tells its watchers (`Jobs.change`)."""

    def __init__(
        self, store: JobStore, hosts: Hosts, *, timeout_s: float, now: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._hosts = hosts
        self._timeout_s = timeout_s
        self._now = now
        self._wake = asyncio.Event()
        self._watchers: set[_Watcher] = set()
        self.change: Callable[..., Any]
        """Set by the wiring: `Jobs.change`."""

    # -- what happens to locks -----------------------------------------------------------------------------------

    def note(self, job: Job, change: Change) -> None:
        """Hear what a change that is on disk did to locks."""
        for lock in change.opened:
            self._tell_watchers(lock)
            if lock.state != LockState.PENDING:
                self._tell_job(job, lock)
        for end in change.ended:
            with contextlib.suppress(NotFound):
                lock = self._store.get_lock(end.lock_id)
                self._tell_watchers(lock)
                if end.state != LockState.CLOSED:
                    self._tell_job(job, lock)
        if change.opened or change.ended:
            self._wake.set()

    def tell_again(self, job: Job) -> None:
        """Tell a job's host, which has just come back, of locks that ended meanwhile."""
        for lock in self._store.job_locks(job.job_id):
            if lock.state != LockState.PENDING:
                self._tell_job(job, lock)

    def _tell_job(self, job: Job, lock: Lock) -> None:
        link = self._hosts.links.get(job.host_id)
        if link is not None:
            end = host_pb2.LockEnd(
                job=f"jobs/{job.job_id}",
                epoch=job.epoch,
                lock_id=lock.lock_id,
                result_json=lock.result_json,
                expired=lock.state != LockState.ANSWERED,
            )
            link.post(host_pb2.RunnerMessage(lock_end=end))

    async def expire(self) -> None:
        """End locks at their time, until cancelled: sleeps to the next one, or until the locks change."""
        while True:
            self._wake.clear()
            pending = self._store.pending_locks()
            now = self._now()
            for lock in pending:
                if lock.expires_at > now:
                    break
                with contextlib.suppress(MeshError):  # answered at the last moment, or its job has ended
                    await self.change(lock.job_id, lambda job, lock=lock: domain.locks.expire(job, lock, self._now()))
            wait_s = next((lock.expires_at - now for lock in pending if lock.expires_at > now), None)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()

    # -- answering -----------------------------------------------------------------------------------------------

    async def answer(self, lock: Lock, inputs: dict[str, Any], user: str, request_id: str = "") -> Lock:
        """Take somebody's answer; return the lock as it is then.

        Raises `Invalid` with the fields if the form or the app refuses it (the lock stays pending),
        `FailedPrecondition` if the lock is not pending any more, `Unavailable` while its app does not run.
        """
        body_hash = hashlib.sha256(json.dumps([lock.name, inputs], sort_keys=True).encode()).hexdigest()
        request = None
        if request_id:
            request = Request(owner=user, request_id=request_id, body_hash=body_hash, answer=lock.name.encode())
            if await self._made_before(request):
                return self._store.get_lock(lock.lock_id)
        self._check_open(lock)
        result_json = await self._ask_app(lock, inputs, user)
        rule = functools.partial(_answer, lock=lock, result_json=result_json, user=user, now=self._now)
        try:
            await self.change(lock.job_id, rule, request)
        except AlreadyExists:  # the same request, a moment earlier
            if request is None or not await self._made_before(request):
                raise
        return self._store.get_lock(lock.lock_id)

    async def _made_before(self, request: Request) -> bool:
        known = await self._store.request(request.owner, request.request_id)
        if known is not None and known.body_hash != request.body_hash:
            raise Invalid("this request id was used for another request", {"request_id": ["take a new one"]})
        return known is not None

    def _check_open(self, lock: Lock) -> None:
        if lock.state != LockState.PENDING or lock.expires_at <= self._now():
            how = "expired" if lock.state == LockState.PENDING else lock.state
            raise FailedPrecondition(f"the lock is {how}: it takes no answer any more", state=how)

    async def _ask_app(self, lock: Lock, inputs: dict[str, Any], user: str) -> str:
        """Have the app parse, check and lease the answer; return what the flow gets, as JSON."""
        job = self._store.get(lock.job_id)
        link = self._hosts.links.get(job.host_id) or self._hosts.serving_link(job.expose)
        body = {"name": lock.title, "inputs": inputs, "data": json.loads(lock.data_json or "{}")}
        result = await link.call(
            host_pb2.Call(
                method="POST",
                path=f"{APP_PATH}{job.job_id}/{lock.lock_id}",
                body=json.dumps(body).encode(),
                user=user,
                base_url=job.base_url,
                timeout_s=self._timeout_s,
            )
        )
        try:
            answer = json.loads(result.body)
        except ValueError:
            answer = None
        if not isinstance(answer, dict) or result.status >= 500:
            detail = answer.get("detail") if isinstance(answer, dict) else None
            raise Internal(str(detail or f"the app answered {result.status} to the lock's answer"))
        if errors := answer.get("errors"):
            raise refused("the answer is refused", errors)
        if "result" not in answer:
            raise Invalid(str(answer.get("detail", "the answer is refused")), {"inputs": [str(answer.get("detail"))]})
        return json.dumps(answer["result"], ensure_ascii=False, separators=(",", ":"))

    # -- watching ------------------------------------------------------------------------------------------------

    async def watch(self, owner: str, heartbeat_s: float, stopping: asyncio.Event) -> AsyncIterator[Sequence[Lock]]:
        """Yield the pending locks of `owner` (empty: of all), then each after a change; [] is a heartbeat."""
        watcher = _Watcher(owner)
        self._watchers.add(watcher)
        stopped = asyncio.ensure_future(stopping.wait())
        try:
            for lock in self._store.pending_locks():
                watcher.tell(lock)
            yield watcher.take()
            while not stopping.is_set():
                await either(watcher.woken, stopped, heartbeat_s)
                if not stopping.is_set():
                    yield watcher.take()
        finally:
            stopped.cancel()
            self._watchers.discard(watcher)

    def _tell_watchers(self, lock: Lock) -> None:
        for watcher in self._watchers:
            watcher.tell(lock)


class _Watcher:
    """One stream of locks: remembers only the newest state of each that changed, however slow its reader is."""

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._changed: dict[str, Lock] = {}
        self.woken = asyncio.Event()

    def tell(self, lock: Lock) -> None:
        if self._owner in ("", lock.owner):
            self._changed[lock.lock_id] = lock
            self.woken.set()

    def take(self) -> list[Lock]:
        self.woken.clear()
        locks, self._changed = list(self._changed.values()), {}
        return locks


def _answer(job: Job, *, lock: Lock, result_json: str, user: str, now: Callable[[], float]) -> Change:
    return domain.locks.answer(job, lock, result_json, user, now())
