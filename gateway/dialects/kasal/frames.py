"""A job's log as frames of Kasal's WebSocket: what concerns tasks, progress, errors and the end.

One event makes at most one frame, whose `seq` is the event's: who sends the last one it has seen back as `since_seq`
gets the rest, and no frame twice.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from mesh.runner.v1 import job_pb2

from gateway.core import jobs, states
from gateway.dialects.kasal import ids
from gateway.dialects.kasal.results import error_of, result_of
from gateway.dialects.kasal.traces import shortened
from gateway.dialects.kasal.words import WORDS

FAILED, TASK_FAILED = "EXECUTION_FAILED", "TASK_FAILED"
"""Codes of errors that come from an execution, beside those of requests."""
_TASK = re.compile(r"task\.\d+")
"""The id of a task's span."""


class Frames:
    """Makes the frames of one job.

    `fetch` returns the job, `tasks` which task definition is at which span, by its id: for who comes when a task has
    begun already.
    """

    def __init__(
        self,
        job_id: str,
        fetch: Callable[[], Awaitable[job_pb2.Job]],
        tasks: Callable[[], Awaitable[Mapping[str, str]]],
    ) -> None:
        self._job_id = job_id
        self._fetch = fetch
        self._tasks = tasks
        self._known: dict[str, str] = {}

    async def of(self, event: job_pb2.Event) -> dict[str, Any] | None:
        """Return the frame of an event; None if Kasal does not tell of it."""
        said = await self._said(event)
        if said is None:
            return None
        return {"type": said.pop("type"), "job_id": self._job_id, **said, "seq": event.seq}

    async def _said(self, event: job_pb2.Event) -> dict[str, Any] | None:
        if event.kind == "span":
            return await self._task(jobs.json_object(event.payload))
        if event.kind == "progress":
            said = jobs.json_object(event.payload)
            return {"type": "progress", "progress": int(said.get("percent") or 0), "current_task": said.get("text", "")}
        if event.kind == "error":
            return {"type": "error", "message": event.payload, "code": FAILED}
        if event.kind == "status" and states.STATES.get(event.payload.upper()) in states.TERMINAL:
            job = await self._fetch()
            result = result_of(job)
            word = WORDS.of_event(event.payload)
            return {"type": "execution_complete", "status": word, "result": error_of(job) if result is None else result}
        return None

    async def _task(self, span: Mapping[str, Any]) -> dict[str, Any] | None:
        span_id = str(span.get("id", ""))
        if not _TASK.fullmatch(span_id):
            return None
        attributes = span.get("attributes") or {}
        if "end" not in span:
            self._known[span_id] = str(span.get("task_def", ""))
            return {"type": "task_start", "task_id": self._shown(span_id), "agent": span.get("agent_name", "")}
        if span_id not in self._known:
            self._known.update(await self._tasks())
        if span.get("status") == "error":
            message = str(attributes.get("error", ""))
            return {"type": "error", "task_id": self._shown(span_id), "message": message, "code": TASK_FAILED}
        result = shortened(str(attributes.get("result", "")))
        return {"type": "task_complete", "task_id": self._shown(span_id), "result": result}

    def _shown(self, span_id: str) -> str | None:
        """Return a task's id; None for the one task of a crew that has none."""
        name = self._known.get(span_id, "")
        return ids.TASK.of(name) if name else None
