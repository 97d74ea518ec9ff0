"""The runner's store in memory: for tests, and for a mesh that shall forget."""

import collections
import dataclasses
from collections.abc import Callable, Sequence

from meshkit import paging
from meshkit.errors import AlreadyExists, NotFound
from meshkit.idempotency import Request
from services.runner.domain import (
    SELLING,
    Asked,
    Birth,
    Change,
    Event,
    Job,
    Lock,
    LockEnd,
    LockState,
    PlacedApp,
    Retrying,
    State,
    cuts,
    pages,
)
from services.runner.ports.store import (
    ANY,
    ASKED_BYTES_MAX,
    DELETED_KEPT_S,
    EVENTS_BYTES_MAX,
    JobFilter,
    LockQuery,
    TooManyOpen,
    TooMuchStored,
    Written,
)
from services.runner.stores.memory.forgetful import MemoryConversations, MemoryMemories
from services.runner.stores.memory.retention import MemoryRetention
from services.runner.stores.memory.schedules import MemorySchedules
from services.runner.stores.memory.webhooks import MemoryWebhooks
from services.runner.stores.rows import job_exists, lock_exists
from services.runner.stores.texts import folded, text_of


class MemoryStore:
    """A `JobStore` and `AppStore` in two dictionaries."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._events: dict[str, list[Event]] = {}
        self._deleted: dict[str, tuple[str, float]] = {}
        self._locks: dict[str, Lock] = {}
        self._requests: dict[tuple[str, str], tuple[float, Request]] = {}
        """By owner and id, with when they were made."""
        self._apps: dict[str, PlacedApp] = {}
        self._open: collections.Counter[str] = collections.Counter()
        """How many jobs of an owner have not ended."""
        self._briefs: dict[str, bytes] = {}
        self._stored: collections.Counter[str] = collections.Counter()
        """How many bytes are kept of an owner."""
        self.conversations = MemoryConversations(self._note, self._targets, self._stored)
        self.memories = MemoryMemories(self._note, self._stored)
        self.schedules = MemorySchedules(self._note, self._stored)
        self.webhooks = MemoryWebhooks(self._note, self._stored)
        self.retention = MemoryRetention(self._note, self._jobs.values, self.conversations.all)

    async def create(
        self,
        births: Sequence[Birth],
        request: Request | None,
        *,
        open_max: int | None = None,
        stored_max: int | None = None,
    ) -> list[Written]:
        """As `JobStore.create`."""
        owner = births[0].job.owner
        if open_max is not None and self._open[owner] + len(births) > open_max:
            raise TooManyOpen
        if stored_max is not None and self._stored[owner] >= stored_max:
            raise TooMuchStored
        ids = [birth.job.job_id for birth in births]
        for job_id in ids:
            if job_id in self._jobs or job_id in self._deleted or ids.count(job_id) > 1:
                raise job_exists(job_id)
        self._note(request, births[0].job.created_at)
        written = []
        for birth in births:
            self._jobs[birth.job.job_id] = dataclasses.replace(
                birth.job, stored_bytes=pages.kept_at_birth(dataclasses.replace(birth, events=()))
            )
            self._stored[owner] += self._jobs[birth.job.job_id].stored_bytes
            self._open[owner] += not birth.job.ended
            self._events[birth.job.job_id] = []
            if birth.brief:
                self._briefs[birth.job.job_id] = birth.brief
            written.append(self._apply(Change(job=birth.job, events=birth.events, said=birth.said)))
            self.webhooks.tell(None, written[-1][0], Change(job=birth.job))
        return written

    async def stored_bytes(self, owner: str) -> int:
        """As `JobStore.stored_bytes`."""
        return self._stored[owner]

    async def request(self, owner: str, request_id: str) -> Request | None:
        """As `JobStore.request`."""
        found = self._requests.get((owner, request_id))
        return found[1] if found is not None else None

    async def forget_requests(self, before: float) -> None:
        """As `JobStore.forget_requests`."""
        self._requests = {key: made for key, made in self._requests.items() if made[0] >= before}

    async def update(self, job_id: str, rule: Callable[[Job], Change], request: Request | None = None) -> Written:
        """As `JobStore.update`."""
        change = rule(self._get(job_id))
        self._note(request, change.job.updated_at)
        return self._apply(change)

    async def get(self, job_id: str) -> Job:
        """As `JobStore.get`."""
        return self._get(job_id)

    def _get(self, job_id: str) -> Job:
        try:
            return self._jobs[job_id]
        except KeyError:
            raise NotFound("job not found", resource=f"jobs/{job_id}") from None

    async def events(self, job_id: str, after_seq: int, limit: int) -> list[Event]:
        """As `JobStore.events`."""
        found = self._events.get(job_id, [])[after_seq : after_seq + limit]
        return list(paging.until_full(found, pages.bytes_of_event))

    async def events_of(self, job_id: str, kinds: Sequence[str]) -> list[Event]:
        """As `JobStore.events_of`."""
        found = (event for event in self._events.get(job_id, []) if event.kind in kinds)
        return list(paging.until_full(found, pages.bytes_of_event, EVENTS_BYTES_MAX))

    async def brief(self, job_id: str) -> bytes:
        """As `JobStore.brief`."""
        return self._briefs.get(job_id, b"")

    async def count(self, owner: str | None, targets: Sequence[str]) -> dict[tuple[str, State], int]:
        """As `JobStore.count`."""
        counts: dict[tuple[str, State], int] = {}
        for job in self._jobs.values():
            if job.target in targets and owner in (None, job.owner):
                counts[job.target, job.state] = counts.get((job.target, job.state), 0) + 1
        return counts

    async def retrying_jobs(self, after: str, limit: int) -> list[Retrying]:
        """As `JobStore.retrying_jobs`."""
        found = [job for job in self._behind(after) if job.state == State.RETRYING][:limit]
        return [
            Retrying(
                job_id=job.job_id,
                updated_at=job.updated_at,
                epoch=job.epoch,
                attempt=job.attempt,
                failures=job.failures,
                retries_json=job.retries_json,
            )
            for job in found
        ]

    def _behind(self, after: str) -> list[Job]:
        return [job for job_id, job in sorted(self._jobs.items()) if job_id > after]

    def _targets(self, conversation: str) -> list[str]:
        return [job.target for job in self._jobs.values() if job.conversation == conversation]

    async def find(
        self,
        owner: str | None,
        query: str,
        before: str,
        limit: int,
        only: JobFilter = ANY,
        *,
        text_bytes_max: int = 0,
    ) -> list[Job]:
        """As `JobStore.find`."""
        found = [
            job
            for job_id, job in sorted(self._jobs.items(), reverse=True)
            if (owner is None or job.owner == owner)
            and (not before or job_id < before)
            and only.takes(job)
            and folded(query) in text_of(job)
        ]
        shown = (cuts.cut(job, text_bytes_max) if text_bytes_max else job for job in found[:limit])
        return list(paging.until_full(shown, pages.bytes_of_job))

    async def late_jobs(self, before: float, limit: int) -> list[str]:
        """As `JobStore.late_jobs`."""
        return [job_id for at, job_id in self._deadlines() if at <= before][:limit]

    async def next_deadline(self) -> float | None:
        """As `JobStore.next_deadline`."""
        return min((at for at, _ in self._deadlines()), default=None)

    def _deadlines(self) -> list[tuple[float, str]]:
        jobs = self._jobs.values()
        return sorted(
            (job.deadline_at, job.job_id)
            for job in jobs
            if job.deadline_at and not job.ended and job.state != State.STOPPING
        )

    async def open_jobs(self) -> list[Job]:
        """As `JobStore.open_jobs`."""
        return [job for _, job in sorted(self._jobs.items()) if not job.ended]

    async def todo_jobs(self, after: str, limit: int) -> list[str]:
        """As `JobStore.todo_jobs`."""
        return [job.job_id for job in self._behind(after) if job.payment_todo or job.unasked][:limit]

    async def unpaid_jobs(self, after: str, limit: int) -> list[str]:
        """As `JobStore.unpaid_jobs`."""
        found = (job for job in self._behind(after) if job.state == State.AWAITING_PAYMENT and not job.unasked)
        return [job.job_id for job in found][:limit]

    async def sold_jobs(self) -> list[str]:
        """As `JobStore.sold_jobs`."""
        return [job_id for job_id, job in sorted(self._jobs.items()) if job.ended and job.payment_step in SELLING]

    async def get_lock(self, lock_id: str) -> Lock:
        """As `JobStore.get_lock`."""
        try:
            return self._locks[lock_id]
        except KeyError:
            raise NotFound("lock not found", resource=f"locks/{lock_id}") from None

    async def asked(self, job_id: str) -> list[Asked]:
        """As `JobStore.asked`."""
        found = [lock for lock in self._locks.values() if lock.job_id == job_id and lock.state != LockState.CLOSED]
        asked = (
            Asked(
                lock_id=lock.lock_id,
                title=lock.title,
                data_json=lock.data_json,
                state=lock.state,
                result_json=lock.result_json,
                sealed=lock.sealed,
            )
            for lock in sorted(found, key=lambda lock: (lock.created_at, lock.lock_id))
        )
        return list(paging.until_full(asked, pages.bytes_of_asked, ASKED_BYTES_MAX))

    async def lock_ends(self, job_id: str, after: str, limit: int) -> list[LockEnd]:
        """As `JobStore.lock_ends`."""
        ends = [
            LockEnd(
                lock_id=lock.lock_id,
                state=lock.state,
                at=lock.answered_at,
                by=lock.answered_by,
                result_json=lock.result_json,
                sealed=lock.sealed,
            )
            for lock_id, lock in sorted(self._locks.items())
            if lock.job_id == job_id and lock_id > after and lock.state != LockState.PENDING
        ]
        return list(paging.until_full(ends[:limit], pages.bytes_of_answer))

    async def pending_locks(self, owner: str = "") -> list[str]:
        """As `JobStore.pending_locks`."""
        return [lock.lock_id for lock in self._pending() if owner in ("", lock.owner)]

    async def due_locks(self, before: float, limit: int) -> list[tuple[str, str]]:
        """As `JobStore.due_locks`."""
        return [(lock.lock_id, lock.job_id) for lock in self._pending() if lock.expires_at <= before][:limit]

    async def next_expiry(self) -> float | None:
        """As `JobStore.next_expiry`."""
        return min((lock.expires_at for lock in self._pending()), default=None)

    def _pending(self) -> list[Lock]:
        found = [lock for lock in self._locks.values() if lock.state == LockState.PENDING]
        return sorted(found, key=lambda lock: (lock.expires_at, lock.lock_id))

    async def bring_back_locks(self, now: float) -> None:
        """As `JobStore.bring_back_locks`."""
        for lock in self._pending():
            if lock.created_at > now:
                expires_at = now + lock.expires_at - lock.created_at
                self._locks[lock.lock_id] = dataclasses.replace(lock, created_at=now, expires_at=expires_at)

    async def find_locks(self, query: LockQuery, limit: int) -> list[Lock]:
        """As `JobStore.find_locks`."""
        found = [
            lock
            for lock in self._locks.values()
            if query.owner in ("", lock.owner)
            and query.job_id in ("", lock.job_id)
            and (query.ended or lock.state == LockState.PENDING)
            and (query.before is None or (lock.created_at, lock.lock_id) < query.before)
        ]
        newest = sorted(found, key=lambda lock: (lock.created_at, lock.lock_id), reverse=True)
        return list(paging.until_full(newest[:limit]))

    async def delete(self, job_id: str, at: float) -> None:
        """As `JobStore.delete`."""
        job = self._get(job_id)
        self._open[job.owner] -= not job.ended
        self._stored[job.owner] -= job.stored_bytes
        self._deleted = {key: kept for key, kept in self._deleted.items() if kept[1] >= at - DELETED_KEPT_S}
        self._deleted[job_id] = (job.owner, at)
        del self._jobs[job_id], self._events[job_id]
        self._briefs.pop(job_id, None)
        self._locks = {lock_id: lock for lock_id, lock in self._locks.items() if lock.job_id != job_id}

    async def deleted(self, owner: str, since: float, limit: int) -> list[str]:
        """As `JobStore.deleted`."""
        found = [(at, job_id) for job_id, (of, at) in self._deleted.items() if of == owner and at >= since]
        return [job_id for _, job_id in sorted(found, reverse=True)[:limit]]

    async def save_app(self, app: PlacedApp) -> None:
        """As `AppStore.save_app`."""
        self._apps[app.expose] = app

    async def delete_app(self, expose: str) -> None:
        """As `AppStore.delete_app`."""
        self._apps.pop(expose, None)

    async def apps(self) -> list[PlacedApp]:
        """As `AppStore.apps`."""
        return [app for _, app in sorted(self._apps.items())]

    def _apply(self, change: Change) -> Written:
        before = self._jobs[change.job.job_id]
        for lock in change.opened:
            if lock.lock_id in self._locks:
                raise lock_exists(lock.lock_id)
        first = before.last_seq + 1
        self._open[before.owner] -= change.job.ended and not before.ended
        numbered = [event.numbered(seq) for seq, event in enumerate(change.events, start=first)]
        stored = pages.kept(before, change)
        self._stored[before.owner] += stored - before.stored_bytes
        job = dataclasses.replace(change.job, last_seq=first - 1 + len(numbered), stored_bytes=stored)
        self._jobs[job.job_id] = job
        self._events[job.job_id].extend(numbered)
        self.conversations.append(change.said)
        self.memories.write(change.remembered)
        self.webhooks.tell(before, job, change)
        for lock in change.opened:
            self._locks[lock.lock_id] = lock
        for end in change.ended:
            at = end.at if end.state == LockState.ANSWERED else 0.0
            self._locks[end.lock_id] = dataclasses.replace(
                self._locks[end.lock_id],
                state=end.state,
                answered_at=at,
                answered_by=end.by,
                result_json=end.result_json,
                sealed=end.sealed,
            )
        return job, numbered

    def _note(self, request: Request | None, at: float) -> None:
        if request is None:
            return
        key = (request.owner, request.request_id)
        if key in self._requests:
            raise AlreadyExists("request was made before", resource=request.request_id)
        self._requests[key] = (at, request)
