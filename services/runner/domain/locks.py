"""The rules of locks: a job that waits on one is AWAITING_INPUT until the last pending one has ended."""

import dataclasses
import json
import math

from meshkit.errors import FailedPrecondition
from services.runner.domain import ends, pages
from services.runner.domain.records import Change, End, Event, Job, Lock, LockEnd, OpenLock
from services.runner.domain.states import LockState, Reason, State

TIMEOUT_S = 3 * 3600.0
"""How long an answer may take if the flow does not say (kodosumi's `LOCK_EXPIRES`)."""
TIMEOUT_S_MAX = 366 * 86_400.0
"""The longest that a flow may allow."""
DUE_MARGIN_S = 15 * 60.0
"""A paid job's locks end this long before its result is due, so that the result can still be submitted."""
BYTES_MAX = 9 * 1024 * 1024
"""Of a lock's form and data: a host of ours lets each have 4 MiB, and an answer comes on top."""
_GONE = End(state=State.FAILED, reason=Reason.WORKER_LOST, error="its host is gone")
_OPENING = frozenset({State.RUNNING, State.AWAITING_INPUT, State.PAUSED})
PENDING_MAX = 100
"""Locks that one job may have open at once."""


def open_lock(job: Job, events: tuple[Event, ...], opening: OpenLock, now: float) -> Change:
    """Open a lock behind `events`; one that is too many, too large or of a job that is being stopped is closed at once.

    It expires by the clock, though that may have been fast when the log's last time was written.

    One that an attempt before this one opened is waited on again, if it is still open; else its end is on its way.
    """
    if opening.again:
        waits = opening.lock_id in job.pending_locks and job.state == State.RUNNING
        job = dataclasses.replace(job, state=State.AWAITING_INPUT) if waits else job
        if opening.park and opening.lock_id in job.pending_locks and job.state == State.AWAITING_INPUT:
            job = park(job).job
        return Change(job=job, events=events)
    wanted = opening.timeout_s if math.isfinite(opening.timeout_s) and opening.timeout_s > 0 else TIMEOUT_S
    expires_at = now + min(wanted, TIMEOUT_S_MAX)
    if job.due_at:
        expires_at = min(expires_at, max(now, job.due_at - DUE_MARGIN_S))
    lock = Lock(
        lock_id=opening.lock_id,
        job_id=job.job_id,
        owner=job.owner,
        title=opening.title,
        elements_json=opening.elements_json,
        data_json=opening.data_json,
        created_at=now,
        expires_at=expires_at,
    )
    is_huge = pages.bytes_of_lock(lock) > BYTES_MAX
    if job.state not in _OPENING or len(job.pending_locks) >= PENDING_MAX or is_huge:
        closed = dataclasses.replace(lock, state=LockState.CLOSED)
        if is_huge:
            closed = dataclasses.replace(closed, title="", elements_json="[]", data_json="{}")
        return Change(job=job, events=events, opened=(closed,))
    at = max(now, job.updated_at)
    waiting = dataclasses.replace(
        job,
        state=State.PAUSED if job.state == State.PAUSED else State.AWAITING_INPUT,
        pending_locks=(*job.pending_locks, lock.lock_id),
        updated_at=at,
    )
    said = {"name": lock.title, "lid": lock.lock_id, "data": json.loads(lock.data_json or "{}"), "expires": expires_at}
    return Change(job=waiting, events=(*events, _event("lock", said, at)), opened=(lock,))


def answer(job: Job, lock: Lock, result_json: str, by: str, now: float, sealed: bytes = b"") -> Change:
    """Take an answer; exactly one wins.  `sealed` is as in `Lock`.

    Raises `FailedPrecondition` if the lock is not pending any more.
    """
    _check_pending(job, lock.lock_id)
    now = max(now, job.updated_at)
    said = {"name": lock.title, "lid": lock.lock_id, "result": json.loads(result_json)}
    end = LockEnd(lock_id=lock.lock_id, state=LockState.ANSWERED, at=now, by=by, result_json=result_json, sealed=sealed)
    return _ended(job, end, (_event("lease", said, now),), now)


def expire(job: Job, lock_id: str, now: float) -> Change:
    """End a lock that nobody answered in time.  Raises `FailedPrecondition` if somebody did."""
    _check_pending(job, lock_id)
    now = max(now, job.updated_at)
    end = LockEnd(lock_id=lock_id, state=LockState.EXPIRED, at=now)
    return _ended(job, end, (), now)


def park(job: Job) -> Change:
    """Let a job wait without a process: its host is gone or need not keep it, and with it the lease.

    Raises `FailedPrecondition` if it does not wait for a human, or to be resumed.
    """
    if job.state not in (State.AWAITING_INPUT, State.PAUSED):
        raise FailedPrecondition("the job does not wait for a human")
    return Change(job=dataclasses.replace(job, host_id="", epoch=job.epoch + 1, source_seq=0))


def orphan(job: Job, held: Job, now: float) -> Change:
    """Take in that the host is gone that `held`, as it was a moment ago, waited on: it waits on without one.

    One that was answered, or resumed, in that moment goes on in another attempt.
    """
    if job.ended or (job.host_id, job.epoch) != (held.host_id, held.epoch):
        return Change(job=job)
    if job.state == State.STOPPING:
        return ends.finish(job, ends.stopped_outcome(job, _GONE), now)
    if job.state in (State.AWAITING_INPUT, State.PAUSED):
        return park(job)
    now = max(now, job.updated_at)
    waiting = dataclasses.replace(
        job, state=State.QUEUED, host_id="", epoch=job.epoch + 1, source_seq=0, updated_at=now
    )
    return Change(job=waiting, events=(Event(kind="status", payload=State.QUEUED, time=now),))


def _check_pending(job: Job, lock_id: str) -> None:
    if lock_id not in job.pending_locks:
        raise FailedPrecondition("the lock is not open any more: it was answered, has expired or its job has ended")


def _ended(job: Job, end: LockEnd, events: tuple[Event, ...], now: float) -> Change:
    left = tuple(lock_id for lock_id in job.pending_locks if lock_id != end.lock_id)
    state = State.RUNNING if not left and job.state == State.AWAITING_INPUT else job.state
    if job.parked and job.state == State.AWAITING_INPUT:  # it may have waited for any of them
        state = State.QUEUED
        events = (*events, Event(kind="status", payload=State.QUEUED, time=now))
    changed = dataclasses.replace(job, state=state, pending_locks=left, updated_at=now)
    return Change(job=changed, events=events, ended=(end,))


def _event(kind: str, said: dict[str, object], now: float) -> Event:
    payload = json.dumps({"dict": said}, ensure_ascii=False, separators=(",", ":"))
    return Event(kind=kind, payload=payload, time=now)
