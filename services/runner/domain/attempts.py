"""The rules by which a job that was lost or has failed is started again, and by which somebody outside ends one."""

import dataclasses

from meshkit.errors import FailedPrecondition
from services.runner.domain import ends, retrying
from services.runner.domain.records import Change, End, Event, Job, LockEnd, Retrying
from services.runner.domain.states import HELD, LockState, Reason, State

_EPOCHS_MAX = 40
"""A host that is lost with a job before it has begun counts no attempt; so often it may happen, by leases."""


def lose(job: Job, end: End, now: float) -> Change:
    """Take in that an attempt has failed, or what ran it is gone: it is started again if it may be, else it ends.

    Whether it may be is its policy's to say (`retrying`); how it ends, `end`'s.

    Its pending locks are closed (which brings it back to RUNNING); another attempt opens them anew.  Its epoch is over:
    a host that comes back after all is not listened to.
    """
    is_over = job.attempts_max <= 1 or job.ended or job.state == State.STOPPING or job.state not in HELD
    if is_over or not retrying.is_meant(job, end):
        return ends.finish(job, ends.stopped_outcome(job, end), now)
    failures = job.failures + (job.state != State.STARTING)
    if failures >= job.attempts_max or job.epoch >= _EPOCHS_MAX + 2 * job.attempt:
        error = f"{end.error}; it was started {job.attempt} times"
        return ends.finish(job, dataclasses.replace(end, reason=Reason.RETRIES_EXHAUSTED, error=error), now)
    now = max(now, job.updated_at)
    closed = tuple(LockEnd(lock_id=lock_id, state=LockState.CLOSED, at=now) for lock_id in job.pending_locks)
    waiting = dataclasses.replace(
        job,
        state=State.RETRYING,
        reason=end.reason,
        failures=failures,
        host_id="",
        epoch=job.epoch + 1,
        pending_locks=(),
        updated_at=now,
    )
    said: tuple[Event, ...] = (Event(kind="status", payload=State.RETRYING, time=now, detail=end.error),)
    if end.reason != Reason.WORKER_LOST:  # that is the mesh's affair, the author's errors are the author's
        why = f"attempt {failures} of {job.attempts_max} failed, and is made again: {end.error}"
        said = (Event(kind="stderr", payload=why, time=now, detail=end.detail), *said)
    return Change(job=waiting, events=said, ended=closed)


def due_at(job: Job | Retrying) -> float:
    """Return when a job that is RETRYING may be started again: later each time."""
    return job.updated_at + retrying.pause_s(job)


def left_s(job: Job | Retrying, now: float, waited_s: float) -> float:
    """Return how many seconds a job that has been seen RETRYING for so long waits still; 0 or less: no longer.

    Its pause is as long as it is meant to be, though the clock was an hour fast when it began and is right now.
    """
    return min(due_at(job) - now, retrying.pause_s(job) - waited_s)


def queue_again(job: Job, now: float) -> Change:
    """Let a job that is RETRYING wait for a host.  Raises `FailedPrecondition` if it is not."""
    if job.state != State.RETRYING:
        raise FailedPrecondition("the job does not wait for another attempt", state=job.state)
    now = max(now, job.updated_at)
    queued = dataclasses.replace(job, state=State.QUEUED, reason=Reason.NONE, updated_at=now)
    return Change(job=queued, events=(Event(kind="status", payload=State.QUEUED, time=now),))


_FREE = frozenset({State.PENDING, State.QUEUED, State.RETRYING})
"""Where no host holds a job."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What somebody outside made of a job."""

    end: End
    input_tokens: int = 0
    output_tokens: int = 0
    cost_micros: int = 0
    is_total: bool = False
    """Whether these are all, with what has been counted; else they come on top of that."""

    def total(self, counted: int, said: int) -> int:
        """Return how much of something the job has consumed in the end."""
        return max(counted, said) if self.is_total else counted + said


def complete(job: Job, done: Completion, now: float, *, take_over: bool) -> Change:
    """End a job with what somebody outside made of it; the same completion again changes nothing.

    A job that is taken over from its host gets another epoch: what the host still says is stale.  Raises
    `FailedPrecondition` for a job that has ended otherwise, is held by a host, or is a flow's: those are sold, and what
    they return is their author's to say.
    """
    end = done.end
    if not job.is_defined:
        raise FailedPrecondition("only jobs of agents and crews are completed from outside")
    if job.ended:
        if (job.state, job.result_json, job.error) == (end.state, end.result_json, end.error):
            return Change(job=job)
        raise FailedPrecondition(f"the job has ended as {job.state} already", state=job.state)
    if job.state not in _FREE and not (take_over and job.state in HELD):
        raise FailedPrecondition(
            f"the job is {job.state}: a host of this mesh works on it, take it over to end it", state=job.state
        )
    taken = dataclasses.replace(
        job,
        state=State.RUNNING,
        epoch=job.epoch + 1,
        input_tokens=done.total(job.input_tokens, done.input_tokens),
        output_tokens=done.total(job.output_tokens, done.output_tokens),
        cost_micros=done.total(job.cost_micros, done.cost_micros),
    )
    return ends.finish(taken, end, now)
