"""From a Run to its Outcome: what a job's own process and the worker that jobs share do alike."""

import json
import pickle
import time
import traceback
from typing import Any

from mesh.runner.v1 import host_pb2, job_pb2

from agentmesh.errors import BudgetExceeded, describe
from agentmesh.host import limits
from agentmesh.locks import LockExpired
from agentmesh.redaction import Redactor
from agentmesh.steps import Steps

_REASONS: tuple[tuple[type[BaseException], Any], ...] = (
    (LockExpired, job_pb2.JOB_REASON_INPUT_TIMEOUT),
    (BudgetExceeded, job_pb2.JOB_REASON_BUDGET_EXCEEDED),
)


def inputs_of(run: host_pb2.Run) -> Any:
    """Return what the flow gets."""
    # Pickled only by the app's own handler, in this same app (see `LaunchSpec.inputs_blob`).
    return pickle.loads(run.inputs_blob) if run.inputs_blob else json.loads(run.inputs_json or "{}")


def finished_of(run: host_pb2.Run) -> Steps:
    """Return what earlier attempts have finished."""
    return Steps((step.name, step.result_json) for step in run.steps)


def assignment_of(run: host_pb2.Run) -> host_pb2.Run | None:
    """Return what the engine's flow is handed beside its inputs; `None` for any other flow."""
    return run if run.HasField("definition") else None


def without_secrets(outcome: host_pb2.Outcome, redactor: Redactor) -> host_pb2.Outcome:
    """Take a job's secrets out of how it ended."""
    if redactor:
        for name in ("error", "detail", "result_json"):
            setattr(outcome, name, redactor.text(getattr(outcome, name)))
    return outcome


def lock_without_secrets(opening: bytes, redactor: Redactor) -> bytes:
    """Take a job's secrets out of an encoded `OpenLock`."""
    if not redactor:
        return opening
    lock = host_pb2.OpenLock.FromString(opening)
    for name in ("title", "elements_json", "data_json"):
        setattr(lock, name, redactor.text(getattr(lock, name)))
    return lock.SerializeToString()


def event(kind: str, payload: str) -> bytes:
    """Return an event of now, encoded.  Raises `ValueError` for a payload that is too large."""
    limits.check(payload, f"a {kind} event")
    return job_pb2.Event(kind=kind, time=time.time(), payload=limits.encodable(payload)).SerializeToString()


def success(result: str) -> host_pb2.Outcome:
    """Return the outcome of a flow that returned `result`, as typed JSON; one that is too large is a failure."""
    try:
        limits.check(result, "a result")
    except ValueError as error:
        return host_pb2.Outcome(state=job_pb2.JOB_STATE_FAILED, reason=job_pb2.JOB_REASON_ERROR, error=str(error))
    return host_pb2.Outcome(state=job_pb2.JOB_STATE_SUCCEEDED, result_json=limits.encodable(result))


def failure(error: BaseException) -> host_pb2.Outcome:
    """Return the outcome of a flow that raised."""
    return host_pb2.Outcome(
        state=job_pb2.JOB_STATE_FAILED,
        reason=next((reason for kind, reason in _REASONS if isinstance(error, kind)), job_pb2.JOB_REASON_ERROR),
        error=limits.encodable(describe(error)),
        detail=limits.shortened("".join(traceback.format_exception(error))),
    )


def lost(why: str) -> host_pb2.Outcome:
    """Return the outcome of a job whose process has gone, or never was."""
    return host_pb2.Outcome(
        state=job_pb2.JOB_STATE_FAILED, reason=job_pb2.JOB_REASON_WORKER_LOST, error=limits.shortened(why)
    )
