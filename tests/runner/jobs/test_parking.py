"""Jobs that wait for a human without a process: what a restart of everything leaves of them."""

import asyncio
import json
import pathlib
import time

import grpc
import pytest
from agentmesh_protos.runner.v1 import app_pb2, job_pb2, lock_pb2

from tests.runner.jobs.test_jobs import kinds
from tests.runner.stack import DEADLINE_S, Stack, stack

PROCESS, SHARED = app_pb2.ISOLATION_PROCESS, app_pb2.ISOLATION_SHARED


async def deploy(mesh: Stack, isolation: app_pb2.Isolation.ValueType = PROCESS) -> None:
    """Place the app of the tests."""
    await mesh.deploy(import_path="tests.runner.samples.locking:app", isolation=isolation)


async def cancel(mesh: Stack, job: job_pb2.Job) -> job_pb2.Job:
    """Stop a job, once it is known that its host of before is gone: what starts hosts may be slow to say so."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                stopped: job_pb2.Job = await mesh.jobs.CancelJob(
                    job_pb2.CancelJobRequest(name=job.name), metadata=mesh.operator, timeout=DEADLINE_S
                )
                return stopped
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise


@pytest.mark.parametrize("isolation", [PROCESS, SHARED])
async def test_what_was_answered_before_is_not_asked_again(
    tmp_path: pathlib.Path, isolation: app_pb2.Isolation.ValueType
) -> None:
    """Of two questions one was answered before the restart, the other is after it."""
    async with stack(tmp_path) as mesh:
        await deploy(mesh, isolation)
        job = await mesh.create(how="two")
        greeting, plain = await mesh.open_locks(job, 2)
        await mesh.answer(greeting.name, greeting="hello")

    async with stack(tmp_path) as mesh:
        waiting = await mesh.get(job)
        await mesh.answer(plain.name, a="x")
        events = await mesh.events(job)
        done = await mesh.get(job)

    assert (job_pb2.JOB_STATE_AWAITING_INPUT, [plain.name]) == (waiting.state, list(waiting.locks))
    assert job_pb2.JOB_STATE_SUCCEEDED == done.state, done.error
    assert "hello" in done.result_json
    assert (2, 2, 1) == (kinds(events).count("lock"), kinds(events).count("lease"), kinds(events).count("final"))
    assert list(range(1, len(events) + 1)) == [event.seq for event in events]
    assert 2 == done.attempt


async def test_the_first_of_two_answers_starts_the_job_which_waits_for_the_other(tmp_path: pathlib.Path) -> None:
    """It may have waited for any of them; the one that is still open keeps its id."""
    async with stack(tmp_path) as mesh:
        await deploy(mesh)
        job = await mesh.create(how="two")
        greeting, plain = await mesh.open_locks(job, 2)

    async with stack(tmp_path) as mesh:
        await mesh.answer(greeting.name, greeting="hello")
        await mesh.until(job, "status", "queued")
        await mesh.answer(plain.name, a="x")
        events = await mesh.events(job)

    assert 2 == kinds(events).count("lock")
    assert "final" in kinds(events)


async def test_many_wait_and_all_go_on(tmp_path: pathlib.Path) -> None:
    """Answers that come at once, before the app serves again or after."""
    async with stack(tmp_path) as mesh:
        await deploy(mesh, SHARED)
        jobs = [await mesh.create() for _ in range(20)]
        locks = [(await mesh.open_locks(job))[0] for job in jobs]

    async with stack(tmp_path) as mesh:
        await asyncio.gather(*(mesh.answer(lock.name, greeting="hi") for lock in locks))
        logs = [await mesh.events(job) for job in jobs]

    assert all("final" in kinds(events) for events in logs)


async def test_a_question_that_nobody_answers_expires_as_ever(tmp_path: pathlib.Path) -> None:
    """The job hears of it in its next attempt."""
    ahead_s = [0.0]
    async with stack(tmp_path) as mesh:
        await deploy(mesh)
        job = await mesh.create(timeout=600)
        await mesh.open_locks(job)

    async with stack(tmp_path, now=lambda: time.time() + ahead_s[0]) as mesh:
        waiting = await mesh.get(job)
        ahead_s[0] = 3600
        events = await mesh.events(job)
        done = await mesh.get(job)

    assert job_pb2.JOB_STATE_AWAITING_INPUT == waiting.state
    assert job_pb2.JOB_STATE_FAILED == done.state
    assert "nobody answered lock 'greeting' in time" in done.error
    assert ["error", "status"] == kinds(events)[-2:]


async def test_a_question_may_expire_while_the_runner_is_down(tmp_path: pathlib.Path) -> None:
    """Then, too, its job hears of that: it waited, and is not lost with its host."""
    async with stack(tmp_path) as mesh:
        await deploy(mesh)
        job = await mesh.create(timeout=600)
        await mesh.open_locks(job)

    async with stack(tmp_path, now=lambda: time.time() + 3600) as mesh:
        await mesh.events(job)
        done = await mesh.get(job)

    assert "nobody answered lock 'greeting' in time" in done.error


async def test_a_parked_job_can_be_stopped_at_once(tmp_path: pathlib.Path) -> None:
    """Nobody has to be told; its lock is closed."""
    async with stack(tmp_path) as mesh:
        await deploy(mesh)
        job = await mesh.create()
        (lock,) = await mesh.open_locks(job)

    async with stack(tmp_path) as mesh:
        stopped = await cancel(mesh, job)
        request = lock_pb2.ListLocksRequest(job=job.name)
        left = await mesh.locks.ListLocks(request, metadata=mesh.operator, timeout=DEADLINE_S)

    assert job_pb2.JOB_STATE_CANCELLED == stopped.state
    assert [] == list(left.locks)
    assert lock.name


async def test_a_job_that_ran_is_lost_as_before(tmp_path: pathlib.Path) -> None:
    """It may have been in the middle of anything."""
    async with stack(tmp_path) as mesh:
        await mesh.deploy()
        job = await mesh.create(end="sleep")
        await mesh.until(job, "status", "running")

    async with stack(tmp_path) as mesh:
        await mesh.events(job)
        done = await mesh.get(job)

    assert (job_pb2.JOB_STATE_FAILED, job_pb2.JOB_REASON_WORKER_LOST) == (done.state, done.reason)
    assert json.loads(done.inputs_json)
