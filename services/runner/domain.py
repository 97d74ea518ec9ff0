"""Jobs, their logs, and the rules by which a job moves.

Every rule is a function from the stored job to a `Change`: the job as it shall be and the events to append.  A store
applies a change in one step (`services.runner.store`), so a rule always sees the job as it is.
"""

import dataclasses
import enum
import json
from collections.abc import Sequence

from meshkit.errors import FailedPrecondition


class State(enum.StrEnum):
    """Where a job stands; the value is the payload of its status event."""

    PENDING = "pending"
    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    RETRYING = "retrying"
    PAUSED = "paused"
    AWAITING_INPUT = "awaiting_input"
    AWAITING_PAYMENT = "awaiting_payment"
    STOPPING = "stopping"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Reason(enum.StrEnum):
    """Why a job waits or ended."""

    NONE = ""
    ERROR = "error"
    USER_STOP = "user_stop"
    OPERATOR_CANCEL = "operator_cancel"
    TIMEOUT = "timeout"
    WORKER_LOST = "worker_lost"
    APPROVAL_REJECTED = "approval_rejected"
    INPUT_TIMEOUT = "input_timeout"
    PAYMENT_TIMEOUT = "payment_timeout"
    SHUTDOWN = "shutdown"
    BUDGET_EXCEEDED = "budget_exceeded"
    POLICY_DENIED = "policy_denied"
    RETRIES_EXHAUSTED = "retries_exhausted"


TERMINAL = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})

# The state machine of the shared specification (kasal-codex-koda §4.3).
ALLOWED: dict[State, frozenset[State]] = {
    State.PENDING: frozenset({State.QUEUED, State.AWAITING_PAYMENT, State.CANCELLED, State.FAILED}),
    State.AWAITING_PAYMENT: frozenset({State.QUEUED, State.RUNNING, State.CANCELLED, State.FAILED}),
    State.QUEUED: frozenset({State.STARTING, State.PAUSED, State.CANCELLED, State.FAILED}),
    State.STARTING: frozenset({State.RUNNING, State.RETRYING, State.STOPPING, State.FAILED}),
    State.RUNNING: frozenset(
        {
            State.SUCCEEDED,
            State.FAILED,
            State.RETRYING,
            State.PAUSED,
            State.AWAITING_INPUT,
            State.AWAITING_PAYMENT,
            State.STOPPING,
        }
    ),
    State.RETRYING: frozenset({State.QUEUED, State.STOPPING, State.FAILED, State.CANCELLED}),
    State.PAUSED: frozenset({State.QUEUED, State.RUNNING, State.STOPPING, State.CANCELLED}),
    State.AWAITING_INPUT: frozenset({State.RUNNING, State.STOPPING, State.FAILED, State.CANCELLED}),
    State.STOPPING: frozenset({State.CANCELLED, State.FAILED}),
    State.SUCCEEDED: frozenset(),
    State.FAILED: frozenset(),
    State.CANCELLED: frozenset(),
}
# States in which a host holds the job.
HELD = frozenset({State.STARTING, State.RUNNING, State.PAUSED, State.AWAITING_INPUT, State.STOPPING})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of a job's log; `seq` is 0 until the store has numbered it."""

    kind: str
    payload: str
    time: float
    """Seconds since 1970."""
    detail: str = ""
    """For operators only."""
    seq: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run of a flow.  Times are seconds since 1970, 0.0 where there is none yet."""

    job_id: str
    flow: str
    """`flows/{expose}` or `flows/{expose}/{path}`."""
    owner: str
    """`users/{uuid}`."""
    state: State
    reason: Reason = Reason.NONE
    error: str = ""
    result_json: str = ""
    inputs_json: str = "{}"
    inputs_blob: bytes = b""
    meta_json: str = "{}"
    extra_json: str = ""
    entry_point: str = ""
    base_url: str = ""
    created_at: float
    started_at: float = 0.0
    finished_at: float = 0.0
    updated_at: float
    last_seq: int = 0
    host_id: str = ""
    """Who holds the lease; empty if nobody."""
    epoch: int = 0
    """Of the lease: one more each time it is given."""
    source_seq: int = 0
    """The last number that the lease's holder reported."""

    @property
    def expose(self) -> str:
        """The expose's id."""
        return self.flow.split("/")[1]

    @property
    def ended(self) -> bool:
        """Whether nothing will happen to it any more."""
        return self.state in TERMINAL


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a rule decides: the job as it shall be (its `last_seq` is the store's) and events to append."""

    job: Job
    events: tuple[Event, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How a job ends."""

    state: State
    reason: Reason = Reason.NONE
    error: str = ""
    detail: str = ""
    result_json: str = ""


class Stale(Exception):
    """A report of a lease that is over, or of a job that has ended: refuse it."""


def move(job: Job, state: State) -> None:
    """Raise `FailedPrecondition` unless `job` may go to `state`."""
    if state not in ALLOWED[job.state]:
        raise FailedPrecondition(f"a job that is {job.state} cannot become {state}", state=job.state)


def first_events(job: Job) -> tuple[Event, ...]:
    """Return the head of a new job's log: its status, inputs and meta."""
    inputs = json.dumps({"dict": json.loads(job.inputs_json)}, ensure_ascii=False, separators=(",", ":"))
    meta = json.dumps({"dict": json.loads(job.meta_json)}, ensure_ascii=False, separators=(",", ":"))
    at = job.created_at
    return (
        Event(kind="status", payload=State.QUEUED, time=at),
        Event(kind="inputs", payload=inputs, time=at),
        Event(kind="meta", payload=meta, time=at),
    )


def lease(job: Job, host_id: str, now: float) -> Change:
    """Give the job to a host: a queued one, or one that its host never took up."""
    if job.state != State.STARTING:
        move(job, State.STARTING)
    leased = dataclasses.replace(
        job, state=State.STARTING, host_id=host_id, epoch=job.epoch + 1, source_seq=0, updated_at=now
    )
    return Change(job=leased)


def stop(job: Job, reason: Reason, now: float) -> Change:
    """Begin to stop a job: one that no host holds ends at once."""
    if job.ended or job.state == State.STOPPING:
        return Change(job=job)
    if job.state not in HELD:
        return finish(job, End(state=State.CANCELLED, reason=reason, error=_STOPPED[reason]), now)
    return Change(job=dataclasses.replace(job, state=State.STOPPING, reason=reason, updated_at=now))


_STOPPED = {
    Reason.USER_STOP: "stopped by its owner",
    Reason.OPERATOR_CANCEL: "stopped by an operator",
    Reason.SHUTDOWN: "stopped: its app was shut down",
}


def finish(job: Job, end: End, now: float) -> Change:
    """End a job: the terminal status is the last line of its log.  A job that has ended stays as it is."""
    if job.ended:
        return Change(job=job)
    now = max(now, job.updated_at)
    if end.state == State.SUCCEEDED:
        move(job, State.SUCCEEDED)
        last: tuple[Event, ...] = (Event(kind="final", payload=end.result_json, time=now),)
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
    )
    return Change(job=ended, events=(*last, Event(kind="status", payload=end.state, time=now)))


def report(job: Job, epoch: int, source_seq: int, events: Sequence[Event], outcome: End | None, now: float) -> Change:
    """Take what a lease's holder says: `events` are numbered from `source_seq`, the outcome counts as one more.

    What was taken before is dropped.  Raises `Stale` if the lease is over.
    """
    if job.ended or epoch != job.epoch:
        raise Stale
    known = job.source_seq - source_seq + 1
    fresh = _in_order(events[max(known, 0) :], job.updated_at)
    updated_at = fresh[-1].time if fresh else job.updated_at
    now = max(now, updated_at)
    last = source_seq + len(events) - 1
    if outcome is not None:
        last += 1
        if job.source_seq >= last:
            outcome = None
    taken = dataclasses.replace(job, source_seq=max(job.source_seq, last), updated_at=updated_at)
    if outcome is None:
        return Change(job=taken, events=fresh)
    if outcome.state == State.RUNNING:
        if job.state != State.STARTING:  # it is being stopped: the process has not heard of it yet
            return Change(job=taken, events=fresh)
        running = dataclasses.replace(taken, state=State.RUNNING, started_at=now, updated_at=now)
        return Change(job=running, events=(*fresh, Event(kind="status", payload=State.RUNNING, time=now)))
    ended = finish(taken, _stopped_outcome(job, outcome), now)
    return Change(job=ended.job, events=(*fresh, *ended.events))


def _in_order(events: Sequence[Event], at: float) -> tuple[Event, ...]:
    """Return events whose times never go back behind `at`, the log's last: the host has a clock of its own."""
    ordered = []
    for event in events:
        if event.time < at:
            event = dataclasses.replace(event, time=at)
        at = event.time
        ordered.append(event)
    return tuple(ordered)


def _stopped_outcome(job: Job, outcome: End) -> End:
    """While a job is being stopped every end is CANCELLED, for the reason it was stopped."""
    if job.state != State.STOPPING:
        return outcome
    return End(
        state=State.CANCELLED, reason=job.reason, error=_STOPPED.get(job.reason, "stopped"), detail=outcome.detail
    )


def lose(job: Job, why: str, now: float) -> Change:
    """End a job whose host is gone."""
    if job.state == State.STOPPING:
        return finish(
            job, End(state=State.CANCELLED, reason=job.reason, error=_STOPPED.get(job.reason, "stopped")), now
        )
    return finish(job, End(state=State.FAILED, reason=Reason.WORKER_LOST, error=why), now)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A create that a caller may repeat (AIP-155): the same id and body give the same answer."""

    owner: str
    request_id: str
    body_hash: str
    answer: bytes
    """The answer to give again."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PlacedApp:
    """An app that shall be served: what an operator deployed last for an expose."""

    expose: str
    import_path: str
    runtime_env_json: str
    deployments_json: str
    fork: bool
    host_id: str
