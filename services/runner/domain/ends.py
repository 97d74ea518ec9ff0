"""How a job ends, whoever ends it."""

import dataclasses

from meshkit.errors import FailedPrecondition
from services.runner.domain import payments, talk
from services.runner.domain.records import Change, End, Event, Job, LockEnd
from services.runner.domain.states import ALLOWED, LockState, Reason, State

STOPPED = {
    Reason.USER_STOP: "stopped by its owner",
    Reason.OPERATOR_CANCEL: "stopped by an operator",
    Reason.SHUTDOWN: "stopped: its app was shut down",
}
"""What people are told, by why it was stopped."""
_FAILURES = frozenset({Reason.TIMEOUT, Reason.BUDGET_EXCEEDED})
"""Why a job is stopped that has failed then, and was not stopped by anybody."""


def move(job: Job, state: State) -> None:
    """Raise `FailedPrecondition` unless `job` may go to `state`."""
    if state not in ALLOWED[job.state]:
        raise FailedPrecondition(f"a job that is {job.state} cannot become {state}", state=job.state)


def finish(job: Job, end: End, now: float) -> Change:
    """End a job: the terminal status is the last line of its log.  A job that has ended stays as it is."""
    if job.ended:
        return Change(job=job)
    now = max(now, job.updated_at)
    closed = tuple(LockEnd(lock_id=lock_id, state=LockState.CLOSED, at=now) for lock_id in job.pending_locks)
    todo, paid = payments.on_end(job, end, now)
    if end.state == State.SUCCEEDED:
        if job.state != State.AWAITING_INPUT:  # a flow need not wait for every lock it has opened
            move(job, State.SUCCEEDED)
        last: tuple[Event, ...] = (*paid, Event(kind="final", payload=end.result_json, time=now))
    else:
        last = (Event(kind="error", payload=end.error, time=now, detail=end.detail),)
    ended = dataclasses.replace(
        job,
        state=end.state,
        reason=end.reason,
        error=end.error,
        result_json=end.result_json,
        inputs_blob=b"",
        host_id="",
        finished_at=now,
        updated_at=now,
        pending_locks=(),
        payment_todo=todo,
    )
    said = talk.answered(job, end.result_json, now) if end.state == State.SUCCEEDED else ()
    events = (*last, Event(kind="status", payload=end.state, time=now))
    return Change(job=ended, events=events, ended=closed, said=said)


def stopped_outcome(job: Job, outcome: End) -> End:
    """While a job is being stopped every end is for the reason it was stopped: CANCELLED, or FAILED at its limits."""
    if job.state != State.STOPPING:
        return outcome
    state = State.FAILED if job.reason in _FAILURES else State.CANCELLED
    error = job.error or STOPPED.get(job.reason, "stopped")
    return End(state=state, reason=job.reason, error=error, detail=outcome.detail)
