"""From a Run to its Outcome: what a job's own process and the worker that jobs share do alike."""

import itertools
import json
import os
import pathlib
import pickle
import time
import traceback
from typing import Any

from agentmesh_protos.runner.v1 import host_pb2, job_pb2

import agentmesh
from agentmesh._job.redaction import Redactor
from agentmesh._job.steps import Finished, Steps
from agentmesh.errors import BudgetExceeded, InputsError, StepsDiffer, describe
from agentmesh.host.talk import limits
from agentmesh.locks import LockExpired
from agentmesh.retries import types_of

_REASONS: tuple[tuple[type[BaseException], Any], ...] = (
    (LockExpired, job_pb2.JOB_REASON_INPUT_TIMEOUT),
    (BudgetExceeded, job_pb2.JOB_REASON_BUDGET_EXCEEDED),
)
# What comes out the same however often it is done again.
_LASTING = (BudgetExceeded, InputsError, StepsDiffer)
_PYTHON = pathlib.Path(os.__file__).parent
# Whose frames only lead to an app's: ours, and those of what imports and calls it for us.
_BEFORE = (
    f"{pathlib.Path(agentmesh.__file__).parent}{os.sep}",
    *(f"{_PYTHON / name}{os.sep}" for name in ("asyncio", "concurrent", "importlib")),
    "<frozen importlib.",
)
_ERROR_TYPES_MAX = 100
_ERRORS_MAX = 2_000


def inputs_of(run: host_pb2.Run) -> Any:
    """Return what the flow gets."""
    # Pickled only by the app's own handler, in this same app (see `LaunchSpec.inputs_blob`).
    return pickle.loads(run.inputs_blob) if run.inputs_blob else json.loads(run.inputs_json or "{}")


def finished_of(run: host_pb2.Run, redactor: Redactor) -> Steps:
    """Return what earlier attempts have finished; names of steps say nothing that `redactor` knows.

    The engine takes some steps only where there is something to do for them, so its steps have no places.
    """
    finished = (Finished(step.name, step.result_json, step.place, step.occurrence) for step in run.steps)
    return Steps(finished, ordered=not run.HasField("definition"), shown=redactor.text)


def assignment_of(run: host_pb2.Run) -> host_pb2.Run | None:
    """Return what the engine's flow is handed beside its inputs; `None` for any other flow."""
    return run if run.HasField("definition") else None


def without_secrets(outcome: host_pb2.Outcome, redactor: Redactor) -> host_pb2.Outcome:
    """Take a job's secrets out of how it ended."""
    if redactor:
        outcome.error, outcome.detail = redactor.text(outcome.error), redactor.text(outcome.detail)
        outcome.result_json = redactor.json(outcome.result_json)
    return outcome


def event(kind: str, payload: str) -> bytes:
    """Return an event of now, encoded.  Raises `ValueError` for a payload that is too large, or no word as its kind."""
    if not 0 < len(kind) <= limits.KIND_CHARS_MAX:
        raise ValueError(f"an event's kind has 1 to {limits.KIND_CHARS_MAX} characters, got {len(kind)}")
    limits.check(payload, f"a {limits.encodable(kind)} event")
    return job_pb2.Event(
        kind=limits.encodable(kind), time=time.time(), payload=limits.encodable(payload)
    ).SerializeToString()


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
        detail=traceback_of(error),
        error_types=[] if isinstance(error, _LASTING) else map(limits.encodable, types_of(error)[:_ERROR_TYPES_MAX]),
    )


def traceback_of(error: BaseException) -> str:
    """Return the traceback of an error from where its author's code begins, without its middle if it is long."""
    if _is_tangled(error):  # Python would be busy with it for hours
        return "the traceback cannot be shown: too many errors within errors"
    try:
        return limits.shortened("".join(_trimmed(error).format()))
    except Exception as broken:  # of an author's `__str__`
        return f"the traceback cannot be shown: {type(broken).__name__}"


def _trimmed(error: BaseException) -> traceback.TracebackException:
    """Return an error and what led to it, each without the frames that only lead to the author's."""
    whole = traceback.TracebackException.from_exception(error, compact=True)
    todo: list[traceback.TracebackException | None] = [whole]
    while todo:
        if (found := todo.pop()) is None:
            continue
        # A SyntaxError says its own place behind all frames; of others the last is kept.
        behind = found.stack if hasattr(found, "lineno") else found.stack[:-1]
        del found.stack[: sum(1 for _ in itertools.takewhile(_is_before, behind))]
        todo += (found.__cause__, found.__context__, *(found.exceptions or ()))
    return whole


def _is_before(frame: traceback.FrameSummary) -> bool:
    return frame.filename.startswith(_BEFORE)


def _is_tangled(error: BaseException) -> bool:
    """Return whether there are very many ways from an error to its causes, contexts and members."""
    todo: list[BaseException | None] = [error]
    for _ in range(_ERRORS_MAX):
        if not todo:
            return False
        if (found := todo.pop()) is not None:
            todo += (found.__cause__, found.__context__)
            todo += found.exceptions if isinstance(found, BaseExceptionGroup) else ()
    return True


def lost(why: str) -> host_pb2.Outcome:
    """Return the outcome of a job whose process has gone, or never was."""
    return host_pb2.Outcome(
        state=job_pb2.JOB_STATE_FAILED, reason=job_pb2.JOB_REASON_WORKER_LOST, error=limits.shortened(why)
    )
