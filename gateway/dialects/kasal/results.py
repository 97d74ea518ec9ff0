"""What came of an execution, as a text."""

from agentmesh_protos.runner.v1 import job_pb2

from gateway.core import jobs, states
from gateway.http.answers import dumps


def result_of(job: job_pb2.Job) -> str | None:
    """Return the text that came of a job; of another result, its JSON; None until it has succeeded."""
    if job.state != states.SUCCEEDED:
        return None
    result = jobs.json_value(job.result_json)
    for kind in ("Markdown", "Text", "HTML"):
        if isinstance(result, dict) and isinstance(said := result.get(kind), dict) and "body" in said:
            return str(said["body"])
    return dumps(result)


def error_of(job: job_pb2.Job) -> str | None:
    """Return why a job failed or was stopped; None if it was not."""
    return jobs.failure(job) if job.state in states.TERMINAL and job.state != states.SUCCEEDED else None
