"""Jobs that share a worker are jobs like any other."""

import pathlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from agentmesh_protos.runner.v1 import app_pb2, job_pb2

from tests.runner.jobs.test_jobs import kinds
from tests.runner.stack import DEADLINE_S, Stack, stack


@pytest_asyncio.fixture
async def mesh(tmp_path: pathlib.Path) -> AsyncIterator[Stack]:
    """Run the stack with the demo app deployed, its jobs in one worker."""
    async with stack(tmp_path, cancel_grace_s=0.5) as running:
        await running.deploy(isolation=app_pb2.ISOLATION_SHARED)
        yield running


async def test_the_log_is_the_same(mesh: Stack) -> None:
    """From queued to succeeded, with what the flow says in between."""
    jobs = [await mesh.create(events=3) for _ in range(10)]

    for job in jobs:
        events = await mesh.events(job)

        assert ["status", "inputs", "meta", "status", *["debug"] * 3, "final", "status"] == kinds(events)
        assert ["queued", "running", "succeeded"] == [event.payload for event in events if event.kind == "status"]


@pytest.mark.parametrize(
    ("end", "reason", "error"),
    [
        ("exit", job_pb2.JOB_REASON_WORKER_LOST, "exited with status 3"),
        ("raise", job_pb2.JOB_REASON_ERROR, "ValueError: boom"),
        ("huge", job_pb2.JOB_REASON_ERROR, "keep it under 4 MiB"),
    ],
)
async def test_a_job_that_fails_says_why(mesh: Stack, end: str, reason: int, error: str) -> None:
    """Nothing that it said before is lost."""
    job = await mesh.create(end=end, events=3)

    events = await mesh.events(job)
    done = await mesh.get(job)

    assert (job_pb2.JOB_STATE_FAILED, reason) == (done.state, done.reason)
    assert error in done.error
    assert 3 == kinds(events).count("debug")


async def test_a_cancelled_job_is_gone_and_others_run_on(mesh: Stack) -> None:
    """Stopping one does not touch its neighbours."""
    jobs = [await mesh.create(end="sleep") for _ in range(3)]
    for job in jobs:
        await mesh.until(job, "status", "running")

    request = job_pb2.CancelJobRequest(name=jobs[1].name)
    done = await mesh.jobs.CancelJob(request, metadata=mesh.operator, timeout=DEADLINE_S)

    assert (job_pb2.JOB_STATE_CANCELLED, job_pb2.JOB_REASON_USER_STOP) == (done.state, done.reason)
    assert job_pb2.JOB_STATE_RUNNING == (await mesh.get(jobs[0])).state
    assert job_pb2.JOB_STATE_RUNNING == (await mesh.get(jobs[2])).state


async def test_a_job_that_blocks_the_loop_is_stopped_with_its_worker(mesh: Stack) -> None:
    """It cannot be asked; nothing else runs there."""
    job = await mesh.create(end="stubborn")
    await mesh.until(job, "debug", "ready")

    request = job_pb2.CancelJobRequest(name=job.name)
    done = await mesh.jobs.CancelJob(request, metadata=mesh.operator, timeout=DEADLINE_S)
    after = await mesh.create()
    await mesh.events(after)

    assert job_pb2.JOB_STATE_CANCELLED == done.state
    assert job_pb2.JOB_STATE_SUCCEEDED == (await mesh.get(after)).state
