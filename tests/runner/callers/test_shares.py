"""Two owners on one runner: what one of them takes is not taken from the other."""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

import grpc
import pytest
from agentmesh_protos.runner.v1 import conversation_pb2, job_pb2, lock_pb2
from google.protobuf import empty_pb2

from tests.runner.stack import DEADLINE_S, Stack, stack

Caller = Sequence[tuple[str, str]]
FULL = "an owner may have 2,000,000 bytes of jobs, logs and memory kept: delete jobs"


async def create(mesh: Stack, who: Caller, flow: str, **inputs: Any) -> job_pb2.Job:
    """Start a job as somebody."""
    request = job_pb2.CreateJobRequest(target=flow, inputs_json=json.dumps(inputs))
    job: job_pb2.Job = await mesh.jobs.CreateJob(request, metadata=who, timeout=DEADLINE_S)
    return job


async def end(mesh: Stack, who: Caller, job: job_pb2.Job) -> job_pb2.Job:
    """Watch a job to its end, and return it as it is then."""
    async for _ in mesh.jobs.WatchJob(job_pb2.WatchJobRequest(name=job.name), metadata=who, timeout=DEADLINE_S):
        pass
    ended: job_pb2.Job = await mesh.jobs.GetJob(job_pb2.GetJobRequest(name=job.name), metadata=who, timeout=DEADLINE_S)
    return ended


async def test_who_keeps_too_much_is_cut_off(tmp_path: pathlib.Path) -> None:
    """The job that fills the disk ends, more are refused in words, also after a restart, until something is deleted."""
    async with stack(tmp_path, stored_bytes_per_owner=2_000_000) as mesh:
        await mesh.deploy("forger", "tests.hostile.forger:app")
        greedy, modest = await mesh.user("greedy"), await mesh.user("modest")
        flood = await create(mesh, greedy, "flows/forger/flood")
        ended = await end(mesh, greedy, flood)
        others = await end(mesh, modest, await create(mesh, modest, "flows/forger/alone", kinds=["debug"], payload="x"))

        assert (job_pb2.JOB_STATE_FAILED, job_pb2.JOB_REASON_BUDGET_EXCEEDED) == (ended.state, ended.reason)
        assert FULL in ended.error
        assert job_pb2.JOB_STATE_SUCCEEDED == others.state

    async with stack(tmp_path, stored_bytes_per_owner=2_000_000) as mesh:
        talk = conversation_pb2.CreateConversationRequest(conversation=conversation_pb2.Conversation(title="more"))
        for refused in (
            create(mesh, greedy, "flows/forger/flood"),
            mesh.talk.CreateConversation(talk, metadata=greedy, timeout=DEADLINE_S),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await refused
            assert grpc.StatusCode.RESOURCE_EXHAUSTED is caught.value.code()
            assert FULL in str(caught.value.details())

        gone = await mesh.jobs.DeleteJob(job_pb2.DeleteJobRequest(name=flood.name), metadata=greedy, timeout=DEADLINE_S)
        assert empty_pb2.Empty() == gone
        again = await create(mesh, greedy, "flows/forger/flood")
        assert FULL in (await end(mesh, greedy, again)).error


async def test_jobs_that_wait_for_humans_shut_nobody_out(tmp_path: pathlib.Path) -> None:
    """The app runs one job at a time; three of one owner wait for an answer, and another's runs."""
    async with stack(tmp_path, jobs_per_app=1, waiting_jobs_per_app=3) as mesh:
        await mesh.deploy("locking", "tests.runner.samples.locking:app")
        waiting = [await mesh.create("flows/locking", how="greet") for _ in range(3)]
        for job in waiting:
            await mesh.open_locks(job)
        other = await mesh.user("other")
        ran = await end(mesh, other, await create(mesh, other, "flows/locking", how="unknown"))
        (lock,) = await mesh.open_locks(waiting[0])
        await mesh.answer(lock.name, greeting="hello")

        assert lock_pb2.LOCK_STATE_PENDING == lock.state
        assert "no such lock" in ran.error
        assert job_pb2.JOB_STATE_SUCCEEDED == (await end(mesh, mesh.operator, waiting[0])).state


async def test_streams_of_one_owner_are_counted(tmp_path: pathlib.Path) -> None:
    """A third is refused in words; others have their own, and what is closed makes room."""
    async with stack(tmp_path, streams_per_owner=2) as mesh:
        other = await mesh.user("other")
        watches = [mesh.locks.WatchLocks(lock_pb2.WatchLocksRequest(), metadata=mesh.operator) for _ in range(2)]
        for watch in watches:
            await watch.read()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await mesh.locks.WatchLocks(lock_pb2.WatchLocksRequest(), metadata=mesh.operator).read()
        others = mesh.locks.WatchLocks(lock_pb2.WatchLocksRequest(), metadata=other)
        await others.read()
        for call in (*watches, others):
            call.cancel()

        assert grpc.StatusCode.RESOURCE_EXHAUSTED is caught.value.code()
        assert "you have 2 streams open" in str(caught.value.details())
