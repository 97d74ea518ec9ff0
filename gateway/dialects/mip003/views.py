"""Forms and jobs as the text of MIP-003 has them: what has no value is left out.

Pure functions from our messages to JSON objects.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agentmesh_protos.runner.v1 import job_pb2, lock_pb2

from gateway.core import jobs, locks
from gateway.core.mip003.schema import Element, input_schema
from gateway.core.states import CANCELLED, FAILED, SUCCEEDED
from gateway.dialects.mip003.words import WORDS

_IDS = uuid.UUID("0a3c1c1e-6d8f-5b7e-9f7b-5c3d0d8a8b11")
"""The name space of the ids of statuses."""


def form(elements: Iterable[Element] | None) -> dict[str, Any]:
    """Return `{"input_data": [field..]}`."""
    fields = input_schema(elements, later=True)["input_data"] or []
    return {"input_data": [{key: value for key, value in field.items() if value is not None} for field in fields]}


def status_id(job: job_pb2.Job, waiting: Sequence[lock_pb2.Lock]) -> str:
    """Return the id of where a job stands, the same while nothing changes: that of the one lock it waits on."""
    if len(waiting) == 1:
        return locks.id_of(waiting[0])
    parts = (job.name, WORDS.word(job.state), *(locks.id_of(lock) for lock in waiting))
    return str(uuid.uuid5(_IDS, " ".join(parts)))


def status(job: job_pb2.Job, waiting: Sequence[lock_pb2.Lock]) -> dict[str, Any]:
    """Return where a job stands; `waiting` are the locks that it waits on."""
    body: dict[str, Any] = {"id": status_id(job, waiting), "job_id": jobs.id_of(job), "status": WORDS.word(job.state)}
    if waiting and body["status"] == "awaiting_input":
        body["input_schema"] = _asked(waiting)
    if job.state == SUCCEEDED:
        body["result"] = jobs.buyer_text(job.result_json)
    if job.state in (FAILED, CANCELLED):
        body["error"] = jobs.failure(job)
    return body


def _asked(waiting: Sequence[lock_pb2.Lock]) -> dict[str, Any]:
    if len(waiting) == 1:
        return form(locks.elements_of(waiting[0]))
    groups = [
        {"id": locks.id_of(lock), "title": lock.title or "Input", **form(locks.elements_of(lock))} for lock in waiting
    ]
    return {"input_groups": groups}


def started(job: job_pb2.Job, purchase: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer to a job's start; `purchase` is what the purchaser of a paid one must know."""
    extra = jobs.json_object(job.extra_json)
    said = {
        "id": str(uuid.uuid5(_IDS, job.name)),
        "job_id": jobs.id_of(job),
        "status": "success",
        "identifierFromPurchaser": extra.get("identifier_from_purchaser"),
        "input_hash": extra.get("input_hash"),
        **purchase,
    }
    return {key: value for key, value in said.items() if value is not None}


def demo(meta: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the example in an operator's meta, `demo: {input: {..}, output: {result: text}}`; None if it has none."""
    given = meta.get("demo")
    if not isinstance(given, dict):
        return None
    taken, made = given.get("input"), given.get("output")
    result = made.get("result") if isinstance(made, dict) else made
    if not isinstance(taken, dict) or not isinstance(result, str):
        return None
    return {"input": taken, "output": {"result": result}}
