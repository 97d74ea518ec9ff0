"""What hosts report, as records: the one place where it is looked at whether it can be kept.

A host passes on what its job sends, unread.  What cannot be kept ends that job, in words; nothing of it goes further.
"""

import json
import re

from agentmesh_protos.runner.v1 import host_pb2, job_pb2

from services.runner.callers.masking import Report
from services.runner.domain import End, Event, OpenLock, Reason, State, Step, kinds, locks, readings

_ENDS = {
    job_pb2.JOB_STATE_SUCCEEDED: State.SUCCEEDED,
    job_pb2.JOB_STATE_FAILED: State.FAILED,
    job_pb2.JOB_STATE_CANCELLED: State.CANCELLED,
    job_pb2.JOB_STATE_RUNNING: State.RUNNING,
}
_REASONS = {
    job_pb2.JobReason.Value(f"JOB_REASON_{'UNSPECIFIED' if reason is Reason.NONE else reason.name}"): reason
    for reason in Reason
}
# It is a part of addresses, and several are kept in one column with blanks between them.
_LOCK_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
_STEP_CHARS_MAX = 1000
_ERROR_TYPES_MAX = 100
_SHOWN_CHARS_MAX = 40


class _Unusable(Exception):
    """Something that a job says cannot be kept; the words say what."""


def report_from_pb(report: host_pb2.Report) -> Report:
    """Read what a host reports of a job; what cannot be kept of it is the end of the job."""
    events = [Event(kind=each.kind, payload=each.payload, time=each.time, detail=each.detail) for each in report.events]
    try:
        return Report(
            events=events,
            outcome=_outcome_from_pb(report.outcome) if report.HasField("outcome") else None,
            opening=_opening_from_pb(report.lock) if report.HasField("lock") else None,
            step=_step_from_pb(report.step) if report.HasField("step") else None,
            shown_json=_json_of(report.step.shown_json) if report.step.shown_json else "",
        )
    except _Unusable as unusable:
        end = End(state=State.FAILED, reason=Reason.ERROR, error=str(unusable))
        return Report(events=events, outcome=end, is_refused=True)


def _step_from_pb(step: host_pb2.StepResult) -> Step:
    """Read a step that is finished; what is no JSON has returned nothing."""
    return Step(
        name=step.name[:_STEP_CHARS_MAX],
        result_json=_json_of(step.result_json),
        place=step.place,
        occurrence=step.occurrence,
    )


def _json_of(text: str) -> str:
    """Return a text of JSON as we write it; `null` for any other."""
    try:
        value = readings.parsed(text or "null")
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (ValueError, RecursionError):
        return "null"


def _outcome_from_pb(outcome: host_pb2.Outcome) -> End:
    """Read how a job has ended, or that it runs.  Raises `_Unusable`."""
    state = _ENDS.get(outcome.state)
    if state is None:
        known = outcome.state in job_pb2.JobState.values()
        shown = job_pb2.JobState.Name(outcome.state).removeprefix("JOB_STATE_") if known else str(outcome.state)
        raise _Unusable(f"the job said that it has ended as {shown}, which is no end")
    return End(
        state=state,
        reason=_REASONS.get(outcome.reason, Reason.ERROR if state == State.FAILED else Reason.NONE),
        error=outcome.error,
        detail=outcome.detail,
        result_json=_result_of(outcome) if state == State.SUCCEEDED else "",
        error_types=tuple(outcome.error_types)[:_ERROR_TYPES_MAX],
    )


def _result_of(outcome: host_pb2.Outcome) -> str:
    """Return the result of a job that has succeeded.  Raises `_Unusable`."""
    return _checked(outcome.result_json or "null", "the job's result", kinds.RESULT_BYTES_MAX)


def _opening_from_pb(lock: host_pb2.OpenLock) -> OpenLock:
    """Read a lock that a job opens, or waits on again.  Raises `_Unusable`."""
    shown = ascii(lock.title[:_SHOWN_CHARS_MAX])
    if not _LOCK_ID.fullmatch(lock.lock_id):
        raise _Unusable(f"the id of lock {shown} must be 1 to 64 letters, digits, - or _: a UUID is best")
    elements_json = _checked(lock.elements_json or "[]", f"the form of lock {shown}", locks.BYTES_MAX)
    if not elements_json.lstrip().startswith("["):
        raise _Unusable(f"the form of lock {shown} is no array of elements")
    return OpenLock(
        again=lock.again,
        park=lock.park,
        lock_id=lock.lock_id,
        title=lock.title,
        elements_json=elements_json,
        data_json=_checked(lock.data_json or "{}", f"the data of lock {shown}", locks.BYTES_MAX),
        timeout_s=lock.timeout_s,
    )


def _checked(text: str, what: str, bytes_max: int) -> str:
    """Return JSON as it can be kept; what is larger than `bytes_max` is not looked into, as it is refused for that.

    Raises `_Unusable`.
    """
    if len(text) > bytes_max:
        return text
    try:
        return readings.checked(text)
    except ValueError:
        raise _Unusable(f"{what} is no JSON, or is nested too deeply") from None
