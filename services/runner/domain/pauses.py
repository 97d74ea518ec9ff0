"""The rules by which a job is halted and goes on: with its process, or without one."""

import dataclasses

from meshkit.errors import FailedPrecondition
from services.runner.domain import ends
from services.runner.domain.records import Change, Event, Job
from services.runner.domain.states import Reason, State

_PAUSED_FROM = frozenset({State.QUEUED, State.RETRYING, State.RUNNING})
_ENDING = "a job that is {} can be neither paused nor resumed any more"
_WAITS = "a job that is {} waits as it is"


def pause(job: Job, now: float) -> Change:
    """Halt a job; of one that is paused nothing changes.  Raises `FailedPrecondition` for one that cannot be.

    One that is STARTING cannot be yet: its host has not heard of it.
    """
    if job.state == State.PAUSED:
        return Change(job=job)
    if job.state not in _PAUSED_FROM:
        words = _ENDING if job.ended or job.state == State.STOPPING else _WAITS
        raise FailedPrecondition(words.format(job.state), state=job.state)
    return _moved(job, State.PAUSED, now)


def resume(job: Job, now: float) -> Change:
    """Let a paused job go on; of one that is under way nothing changes.  Raises `FailedPrecondition` for others.

    It runs on where a host holds it still.  Else it waits for a host, or for the answer that it has waited for.
    """
    if job.ended or job.state == State.STOPPING:
        raise FailedPrecondition(_ENDING.format(job.state), state=job.state)
    if job.state in (State.AWAITING_INPUT, State.AWAITING_PAYMENT):
        raise FailedPrecondition(f"a job that is {job.state} goes on when it has what it waits for", state=job.state)
    if job.state != State.PAUSED:
        return Change(job=job)
    if job.pending_locks:
        return _moved(job, State.AWAITING_INPUT, now)
    return _moved(job, State.RUNNING if job.host_id else State.QUEUED, now)


def _moved(job: Job, state: State, now: float) -> Change:
    ends.move(job, state)
    now = max(now, job.updated_at)
    moved = dataclasses.replace(job, state=state, reason=Reason.NONE, updated_at=now)
    return Change(job=moved, events=(Event(kind="status", payload=state, time=now),))
