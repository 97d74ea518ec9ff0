"""What a job says in its conversation: what it was asked, and what it answers."""

import json

from services.runner.domain import readings
from services.runner.domain.records import Job, Role, Said

CONVERSATION = "conversations/"
"""How the name of a kept conversation begins; any other is a mark of the caller's."""
CONTENT_CHARS_MAX = 200_000


def asked(job: Job) -> tuple[Said, ...]:
    """Return what the job's user says at its birth."""
    if not job.conversation.startswith(CONVERSATION):
        return ()  # without a look at the inputs, which may be large
    prompt = json.loads(job.inputs_json).get("prompt")
    return _said(job, Role.USER, prompt if isinstance(prompt, str) else job.inputs_json, job.created_at)


def answered(job: Job, result_json: str, at: float) -> tuple[Said, ...]:
    """Return what the job says when it succeeds."""
    if not job.conversation.startswith(CONVERSATION):
        return ()
    return _said(job, Role.ASSISTANT, text_of(result_json), at)


def _said(job: Job, role: Role, content: str, at: float) -> tuple[Said, ...]:
    text = content[:CONTENT_CHARS_MAX]
    return (Said(conversation=job.conversation, role=role, content=text, job_id=job.job_id, at=at),)


def text_of(result_json: str) -> str:
    """Return a typed result as text: what is text already as it is, anything else as JSON."""
    try:
        value = readings.parsed(result_json)
    except ValueError:
        return result_json
    if isinstance(value, dict) and len(value) == 1:
        (inner,) = value.values()
        if isinstance(inner, str):
            return inner
        if isinstance(inner, dict) and isinstance(inner.get("body"), str):
            return str(inner["body"])
    return result_json
