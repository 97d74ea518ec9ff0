"""A clock that is set while jobs run and wait: what people and hosts see goes on."""

import asyncio
import pathlib
import time

import pytest
from agentmesh_protos.runner.v1 import app_pb2, job_pb2, lock_pb2

from tests.runner.jobs.test_steps import start
from tests.runner.stack import stack

JUMPS_S = [600, -600, 3600, -3600, 86_400, -86_400, 40 * 86_400]


@pytest.mark.parametrize("jump_s", JUMPS_S)
async def test_jobs_outlive_a_jump(tmp_path: pathlib.Path, jump_s: float) -> None:
    """One that runs goes on to its end, one that waits is answered or expires, a new one starts; no log goes back."""
    offset = [0.0]
    async with stack(tmp_path, now=lambda: time.time() + offset[0], heartbeat_s=0.5) as mesh:
        await mesh.deploy(import_path="tests.runner.samples.locking:app")
        short, long = [await mesh.create(timeout=seconds) for seconds in (300, 90 * 86_400)]
        locks = {lock.name.partition("/locks/")[0]: lock for lock in await mesh.open_locks(short, 1)}
        (kept,) = await mesh.open_locks(long)
        offset[0] = jump_s

        if jump_s > 300:
            events = await mesh.events(short)
            assert "input_timeout" in job_pb2.JobReason.Name((await mesh.get(short)).reason).lower()
        else:
            await mesh.answer(locks[short.name].name, greeting="hello")
            events = await mesh.events(short)
        answered = await mesh.answer(kept.name, greeting="hello")
        after = await mesh.create()
        (lock,) = await mesh.open_locks(after)
        await mesh.answer(lock.name, greeting="hello")
        ended = [await mesh.events(job) for job in (long, after)]

        assert lock_pb2.LOCK_STATE_ANSWERED == answered.state
        assert [job_pb2.JOB_STATE_SUCCEEDED] * 2 == [(await mesh.get(job)).state for job in (long, after)]
        for log in (events, *ended):
            times = [event.time for event in log]
            assert sorted(times) == times


async def test_a_job_is_made_again_after_its_pause_though_the_clock_was_fast(tmp_path: pathlib.Path) -> None:
    """It was an hour fast when the job was lost, and is right now: the job does not wait until it is so late again."""
    offset = [3600.0]
    async with stack(tmp_path, now=lambda: time.time() + offset[0]) as mesh:
        await mesh.deploy("process", "tests.runner.samples.stepping:app", isolation=app_pb2.ISOLATION_PROCESS)
        path = mesh.folder / "did"
        path.touch()
        path.chmod(0o666)
        job = await start(mesh, "process", path, end="kill", retries=job_pb2.RetryPolicy(attempts=2, pause_s=2.0))
        await mesh.until(job, "status", "retrying")
        offset[0] = 0.0
        await mesh.events(job)
        done = await mesh.get(job)

    assert job_pb2.JOB_STATE_SUCCEEDED == done.state, done.error


async def test_a_lock_expires_in_its_time_though_the_clock_was_fast(tmp_path: pathlib.Path) -> None:
    """It was an hour fast when the lock was opened, and is right now: nobody waits for an hour more."""
    offset = [3600.0]
    async with stack(tmp_path, now=lambda: time.time() + offset[0]) as mesh:
        await mesh.deploy(import_path="tests.runner.samples.locking:app")
        job = await mesh.create(timeout=10)
        await mesh.open_locks(job)
        offset[0] = 0.0
        await mesh.events(job)
        done = await mesh.get(job)

    assert job_pb2.JOB_REASON_INPUT_TIMEOUT == done.reason


async def test_a_runner_that_stood_still_loses_no_host(tmp_path: pathlib.Path) -> None:
    """As after a suspended laptop: its own silence is not the hosts'."""
    async with stack(tmp_path, lease_s=8.0, heartbeat_s=0.2) as mesh:
        await mesh.deploy()
        job = await mesh.create(end="sleep", events=1)
        await mesh.until(job, "debug")
        time.sleep(8.5)  # the whole service stands still with us, for longer than a lease
        await asyncio.sleep(2.5)  # it looks once a second: whoever is counted as silent has been found by now

        assert job_pb2.JOB_STATE_RUNNING == (await mesh.get(job)).state
