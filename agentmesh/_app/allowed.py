"""What a job may take, as messages of the runner."""

import dataclasses

from agentmesh_protos.runner.v1 import job_pb2

from agentmesh.allowance import Budget
from agentmesh.retries import Retries


def retries_to_pb(retries: Retries | None) -> job_pb2.RetryPolicy | None:
    """Render a policy; None where nothing is said."""
    if retries is None:
        return None
    return job_pb2.RetryPolicy(
        attempts=retries.attempts,
        pause_s=retries.pause_s,
        pause_s_max=retries.pause_s_max,
        jitter=retries.jitter,
        on=retries.names(),
    )


def budget_to_pb(budget: Budget | None) -> job_pb2.Budget | None:
    """Render a budget; None where nothing is limited."""
    if budget is None or budget == Budget():
        return None
    return job_pb2.Budget(**dataclasses.asdict(budget))
