"""Agents and tasks as Koda shows them: pure functions from our messages to JSON objects."""

from collections.abc import Iterable
from typing import Any

from agentmesh_protos.registry.v1 import agent_pb2, tool_pb2
from agentmesh_protos.runner.v1 import job_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from gateway.core import jobs, states
from gateway.dialects.koda.words import AGENT_WORDS, WORDS
from meshkit.clock import moment_of

PREFIX = "tsk_"
"""In front of a job's id."""
NOTED = "koda"
"""The key of what is kept with a task: `agent_id`, `metadata`, `context`, `retry_of`."""
MICROS = 1_000_000
_CONCURRENCY = 3
_WINDOW = 10
_REASONS = {
    job_pb2.JOB_REASON_TIMEOUT: ("task.timeout", "timeout", True, "Give it more time, or ask for less."),
    job_pb2.JOB_REASON_WORKER_LOST: ("task.worker_lost", "retryable", True, "Submit it again."),
    job_pb2.JOB_REASON_SHUTDOWN: ("task.shutdown", "retryable", True, "Submit it again."),
    job_pb2.JOB_REASON_RETRIES_EXHAUSTED: ("task.retries_exhausted", "non_retryable", False, "Look at its trace."),
    job_pb2.JOB_REASON_BUDGET_EXCEEDED: ("task.budget_exceeded", "policy_denied", False, "Give it a larger budget."),
    job_pb2.JOB_REASON_POLICY_DENIED: ("task.policy_denied", "policy_denied", False, "Ask an operator."),
    job_pb2.JOB_REASON_APPROVAL_REJECTED: ("task.approval_rejected", "policy_denied", False, "Ask who refused it."),
    job_pb2.JOB_REASON_INPUT_TIMEOUT: ("task.input_timeout", "timeout", True, "Submit it again, and answer in time."),
}
_FAILED = ("task.failed", "non_retryable", False, "Look at its trace.")
_CANCELLED = ("task.cancelled", "non_retryable", False, "Submit it again if it was stopped by mistake.")


def moment(time: Timestamp) -> str:
    """Return a time as Koda prints it: `2026-04-24T11:05:21Z`."""
    return moment_of(time).strftime("%Y-%m-%dT%H:%M:%SZ")


def usd(micros: int) -> float:
    """Return millionths as a number."""
    return micros / MICROS


# -- tasks -----------------------------------------------------------------------------------------------------------


def task_id_of(job: job_pb2.Job) -> str:
    """Return the id of a task."""
    return PREFIX + jobs.id_of(job)


def noted(job: job_pb2.Job) -> dict[str, Any]:
    """Return what was kept with a task when it was submitted; empty for one that another API started."""
    kept = jobs.json_object(job.extra_json).get(NOTED)
    return kept if isinstance(kept, dict) else {}


def task(job: job_pb2.Job, agent_id: str) -> dict[str, Any]:
    """Return a task's record."""
    task_id = task_id_of(job)
    here = f"/api/runtime/tasks/{task_id}"
    return {
        "id": task_id,
        "agent_id": agent_id,
        "status": WORDS.word(job.state),
        "created_at": moment(job.create_time),
        "updated_at": moment(job.update_time),
        "metadata": noted(job).get("metadata", {}),
        "output": output(job),
        "error": error(job),
        "attempt": job.attempt,
        "max_attempts": job.attempts_max,
        "cost_usd": usd(job.usage.cost_micros),
        "started_at": moment(job.start_time) if job.HasField("start_time") else None,
        "completed_at": moment(job.finish_time) if job.HasField("finish_time") else None,
        "retry_of": noted(job).get("retry_of"),
        "links": {"self": here, "trace": f"{here}/trace"},
    }


def output(job: job_pb2.Job) -> Any:
    """Return what a task came to: a text, or JSON where its agent made an object; None before it is complete."""
    if job.state != states.SUCCEEDED:
        return None
    result = jobs.json_value(job.result_json)
    if isinstance(result, dict) and len(result) == 1:
        (content,) = result.values()
        if isinstance(content, dict) and isinstance(content.get("body"), str):
            return content["body"]
    return result


def error(job: job_pb2.Job) -> dict[str, Any] | None:
    """Return why a task failed or was cancelled; None if it did not."""
    if job.state not in (states.FAILED, states.CANCELLED):
        return None
    usual = _CANCELLED if job.state == states.CANCELLED else _FAILED
    code, category, retryable, action = _REASONS.get(job.reason, usual) if usual is _FAILED else usual
    return {
        "code": code,
        "category": category,
        "message": jobs.failure(job),
        "retryable": retryable,
        "user_action": action,
    }


# -- agents ----------------------------------------------------------------------------------------------------------


def agent_id_of(agent: agent_pb2.Agent) -> str:
    """Return what Koda calls an agent: its slug."""
    return agent.slug or agent.name.removeprefix("agents/")


def model_of(agent: agent_pb2.Agent) -> str | None:
    """Return the name of an agent's model, or of its provider if it takes what that has; None for a draft without."""
    return agent.model.model or agent.model.provider or None


def agent_item(agent: agent_pb2.Agent) -> dict[str, Any]:
    """Return an agent as a list shows it."""
    return {
        "id": agent_id_of(agent),
        "name": agent.display_name,
        "state": AGENT_WORDS.word(agent.state),
        "model": model_of(agent),
        "created_at": moment(agent.create_time),
        "updated_at": moment(agent.update_time),
    }


def agent_detail(agent: agent_pb2.Agent, tools: Iterable[tool_pb2.Tool], count: job_pb2.TargetCount) -> dict[str, Any]:
    """Return all of an agent; `tools` are those that its owner may use, and `count` is how many tasks it has."""
    names = {tool.name: tool.display_name for tool in tools}
    is_published = agent.state != agent_pb2.AGENT_STATE_DRAFT
    return {
        **agent_item(agent),
        "description": agent.description or None,
        "model": {"provider": agent.model.provider or None, "name": agent.model.model or None, "effort": None},
        "skills": [
            {"id": name.removeprefix("tools/"), "name": names.get(name, name.removeprefix("tools/")), "version": None}
            for name in agent.tools
        ],
        "memory_scope": {
            "kind": "agent" if agent.memory.enabled else "none",
            "key": agent_id_of(agent) if agent.memory.enabled else None,
            "layers": ["short_term", "long_term"] if agent.memory.enabled else [],
            "window": agent.memory.window or _WINDOW,
        },
        "publication": {
            "published": is_published,
            "version": agent.version,
            "published_at": moment(agent.update_time) if is_published else None,
            "published_by": agent.owner.removeprefix("users/") if is_published else None,
        },
        "concurrency": {
            "limit": agent.concurrency_limit or _CONCURRENCY,
            "running": count.running_count,
            "queued": count.waiting_count,
        },
    }
