"""What dialects show of a job, in their common forms: numbers for times, objects for JSON."""

import re
from typing import Any

from agentmesh_protos.runner.v1 import job_pb2

from gateway.core import states
from gateway.http.answers import dumps
from meshkit import jsons

_ID = re.compile(r"[0-9a-f]{24}\Z")


def is_id(text: str) -> bool:
    """Return whether this may be the id of a job: 24 hex digits."""
    return _ID.match(text) is not None


def id_of(job: job_pb2.Job) -> str:
    """Return the id in `jobs/{id}`."""
    return job.name.removeprefix("jobs/")


json_value = jsons.value_of
"""JSON that a service kept, as a value; None if it is empty or cannot be read."""


def json_object(text: str) -> dict[str, Any]:
    """Return a JSON object that a service kept; what is empty or something else is an empty one."""
    value = json_value(text)
    return value if isinstance(value, dict) else {}


def json_objects(text: str) -> list[dict[str, Any]]:
    """Return the objects of a JSON array that a service kept; what is something else has none."""
    value = json_value(text)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def result_text(job: job_pb2.Job) -> str | None:
    """Return typed JSON of how a job ended: its result, or `{"Text": {"body": why}}`; None while it has not."""
    if job.state == states.SUCCEEDED:
        return job.result_json
    if job.state in states.TERMINAL:
        return dumps({"Text": {"body": failure(job)}})
    return None


def buyer_text(result_json: str) -> str:
    """Return a result as the one string that buyers get, and that its hash is of (MIP-004).

    That is the body of Markdown, HTML and Text, a string itself, and other results as JSON.
    """
    value = json_value(result_json)
    if isinstance(value, dict) and len(value) == 1:
        ((kind, content),) = value.items()
        if kind in ("Markdown", "HTML", "Text") and isinstance(content, dict) and isinstance(content.get("body"), str):
            return str(content["body"])
        if kind == "str" and isinstance(content, str):
            return content
    return result_json


def failure(job: job_pb2.Job) -> str:
    """Return why a job failed or was stopped, in words for its owner."""
    if job.error:
        return job.error
    reason = job_pb2.JobReason.Name(job.reason).removeprefix("JOB_REASON_").lower().replace("_", " ")
    return reason if job.reason else "no reason was given"
