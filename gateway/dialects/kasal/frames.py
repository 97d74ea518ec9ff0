"""A job's log as frames of Kasal's WebSocket: what concerns tasks, progress, errors and the end.

One event makes at most one frame, whose `seq` is the event's: who sends the last one it has seen back as `since_seq`
gets the rest, and no frame twice.  A frame is made of its event alone, but the last, which tells what came of the job.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from agentmesh_protos.runner.v1 import job_pb2

from gateway.core import jobs, states
from gateway.dialects.kasal import ids
from gateway.dialects.kasal.results import error_of, result_of
from gateway.dialects.kasal.traces import shortened
from gateway.dialects.kasal.words import WORDS

FAILED, TASK_FAILED = "EXECUTION_FAILED", "TASK_FAILED"
"""Codes of errors that come from an execution, beside those of requests."""
_TASK = re.compile(r"task\.\d+")
"""The id of a task's span."""
Fetch = Callable[[], Awaitable[job_pb2.Job]]
"""Returns the job."""


async def of_event(event: job_pb2.Event, job_id: str, fetch: Fetch) -> dict[str, Any] | None:
    """Return the frame of an event; None if Kasal does not tell of it."""
    said = await _said(event, fetch)
    if said is None:
        return None
    return {"type": said.pop("type"), "job_id": job_id, **said, "seq": event.seq}


async def _said(event: job_pb2.Event, fetch: Fetch) -> dict[str, Any] | None:
    if event.kind == "span":
        return _task(jobs.json_object(event.payload))
    if event.kind == "progress":
        said = jobs.json_object(event.payload)
        return {"type": "progress", "progress": int(said.get("percent") or 0), "current_task": said.get("text", "")}
    if event.kind == "error":
        return {"type": "error", "message": event.payload, "code": FAILED}
    if event.kind == "status" and states.STATES.get(event.payload.upper()) in states.TERMINAL:
        job = await fetch()
        result = result_of(job)
        word = WORDS.of_event(event.payload)
        return {"type": "execution_complete", "status": word, "result": error_of(job) if result is None else result}
    return None


def _task(span: Mapping[str, Any]) -> dict[str, Any] | None:
    if not _TASK.fullmatch(str(span.get("id", ""))):
        return None
    attributes = span.get("attributes") or {}
    name = str(span.get("task_def", ""))
    task_id = ids.TASK.of(name) if name else None  # the one task of a crew that has none
    if "end" not in span:
        return {"type": "task_start", "task_id": task_id, "agent": span.get("agent_name", "")}
    if span.get("status") == "error":
        message = str(attributes.get("error", ""))
        return {"type": "error", "task_id": task_id, "message": message, "code": TASK_FAILED}
    return {"type": "task_complete", "task_id": task_id, "result": shortened(str(attributes.get("result", "")))}
