"""Between the runner's records and its messages."""

from collections.abc import Iterable
from typing import Any

from google.protobuf import json_format, struct_pb2
from google.protobuf.timestamp_pb2 import Timestamp
from mesh.runner.v1 import app_pb2, host_pb2, job_pb2, lock_pb2

from services.runner.apps import App, AppState
from services.runner.domain import End, Event, Job, Lock, LockState, OpenLock, Reason, State

_STATES = {state: job_pb2.JobState.Value(f"JOB_STATE_{state.name}") for state in State}
_REASONS = {
    reason: job_pb2.JobReason.Value(f"JOB_REASON_{'UNSPECIFIED' if reason is Reason.NONE else reason.name}")
    for reason in Reason
}
_FROM_STATES = {number: state for state, number in _STATES.items()}
_FROM_REASONS = {number: reason for reason, number in _REASONS.items()}
_LOCK_STATES = {state: lock_pb2.LockState.Value(f"LOCK_STATE_{state.name}") for state in LockState}
_APP_STATES = {state: app_pb2.AppState.Value(f"APP_STATE_{state.name}") for state in AppState}


def stamp(at: float) -> Timestamp | None:
    """Return a moment in seconds since 1970 as a message; absent for 0."""
    if not at:
        return None
    nanos = int(at * 1e9)
    return Timestamp(seconds=nanos // 1_000_000_000, nanos=nanos % 1_000_000_000)


def inputs_from_pb(inputs: struct_pb2.Struct) -> dict[str, Any]:
    """Read a JSON object; a `Struct` knows doubles only, so whole numbers become ints again."""
    return {name: _whole(value) for name, value in json_format.MessageToDict(inputs).items()}


def _whole(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _whole(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_whole(inner) for inner in value]
    if isinstance(value, float) and value.is_integer() and abs(value) <= 2**53:
        return int(value)
    return value


def job_to_pb(job: Job) -> job_pb2.Job:
    """Render a job."""
    return job_pb2.Job(
        name=f"jobs/{job.job_id}",
        flow=job.flow,
        owner=job.owner,
        state=_STATES[job.state],
        reason=_REASONS[job.reason],
        error=job.error,
        result_json=job.result_json,
        inputs_json=job.inputs_json,
        meta_json=job.meta_json,
        extra_json=job.extra_json,
        entry_point=job.entry_point,
        create_time=stamp(job.created_at),
        start_time=stamp(job.started_at),
        finish_time=stamp(job.finished_at),
        update_time=stamp(job.updated_at),
        last_seq=job.last_seq,
        payment=f"payments/{job.job_id}" if job.payment_json else "",
        locks=[f"jobs/{job.job_id}/locks/{lock_id}" for lock_id in sorted(job.pending_locks)],
    )


def lock_to_pb(lock: Lock) -> lock_pb2.Lock:
    """Render a lock."""
    return lock_pb2.Lock(
        name=lock.name,
        state=_LOCK_STATES[lock.state],
        title=lock.title,
        elements_json=lock.elements_json,
        data_json=lock.data_json,
        owner=lock.owner,
        create_time=stamp(lock.created_at),
        expire_time=stamp(lock.expires_at),
        answer_time=stamp(lock.answered_at),
        answered_by=lock.answered_by,
        result_json=lock.result_json,
    )


def events_to_pb(events: Iterable[Event], *, detail: bool) -> list[job_pb2.Event]:
    """Render events; `detail` is for operators."""
    return [
        job_pb2.Event(
            seq=event.seq,
            kind=event.kind,
            time=event.time,
            payload=event.payload,
            detail=event.detail if detail else "",
        )
        for event in events
    ]


def events_from_pb(events: Iterable[job_pb2.Event]) -> list[Event]:
    """Read what a host reports."""
    return [Event(kind=event.kind, payload=event.payload, time=event.time, detail=event.detail) for event in events]


def outcome_from_pb(report: host_pb2.Report) -> End | None:
    """Read a report's outcome, if it has one."""
    if not report.HasField("outcome"):
        return None
    outcome = report.outcome
    return End(
        state=_FROM_STATES[outcome.state],
        reason=_FROM_REASONS[outcome.reason],
        error=outcome.error,
        detail=outcome.detail,
        result_json=outcome.result_json,
    )


def opening_from_pb(report: host_pb2.Report) -> OpenLock | None:
    """Read the lock that a report opens, if it opens one."""
    if not report.HasField("lock"):
        return None
    lock = report.lock
    return OpenLock(
        lock_id=lock.lock_id,
        title=lock.title,
        elements_json=lock.elements_json or "[]",
        data_json=lock.data_json or "{}",
        timeout_s=lock.timeout_s,
    )


def app_to_pb(app: App) -> app_pb2.App:
    """Render an app."""
    return app_pb2.App(
        name=f"apps/{app.placed.expose}",
        state=_APP_STATES[app.state],
        message=app.message,
        detail=app.detail,
        flows=app.flows,
        import_path=app.placed.import_path,
        heartbeat_time=stamp(app.seen_at),
    )
