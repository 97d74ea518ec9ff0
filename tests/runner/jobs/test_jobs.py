"""Jobs of a real runner, on real hosts."""

import asyncio
import contextlib
import json
import os
import pathlib
from collections.abc import AsyncIterator

import grpc
import psutil
import pytest
import pytest_asyncio
from agentmesh_protos.runner.v1 import app_pb2, job_pb2
from google.protobuf import struct_pb2

from tests.families import is_gone
from tests.runner.stack import DEADLINE_S, Stack, stack


@pytest_asyncio.fixture
async def mesh(tmp_path: pathlib.Path) -> AsyncIterator[Stack]:
    """Run the stack with the demo app deployed."""
    async with stack(tmp_path) as running:
        await running.deploy()
        yield running


def kinds(events: list[job_pb2.Event]) -> list[str]:
    """Return the kinds of events, in order."""
    return [event.kind for event in events]


async def test_a_job_runs_to_its_result(mesh: Stack) -> None:
    """The log begins with status, inputs and meta, ends with final and status, and has no gap."""
    job = await mesh.create(name="x")

    events = await mesh.events(job)
    done = await mesh.get(job)

    assert ["status", "inputs", "meta", "status", "final", "status"] == kinds(events)
    assert ["queued", "running", "succeeded"] == [event.payload for event in events if event.kind == "status"]
    assert list(range(1, 7)) == [event.seq for event in events]
    assert {"dict": {"name": "x"}} == json.loads(events[1].payload)
    assert job_pb2.JOB_STATE_SUCCEEDED == done.state
    assert done.result_json == events[-2].payload
    assert done.last_seq == 6


@pytest.mark.parametrize(
    ("end", "reason", "error"),
    [
        ("exit", job_pb2.JOB_REASON_WORKER_LOST, "exited with status 3"),
        ("kill", job_pb2.JOB_REASON_WORKER_LOST, "killed by SIGKILL"),
        ("segfault", job_pb2.JOB_REASON_WORKER_LOST, "killed by SIGSEGV"),
        ("raise", job_pb2.JOB_REASON_ERROR, "ValueError: boom"),
        ("kodosumi", job_pb2.JOB_REASON_ERROR, "first line\nsecond line"),
        ("huge", job_pb2.JOB_REASON_ERROR, "keep it under 4 MiB"),
    ],
)
async def test_a_job_that_dies_ends_with_the_reason(mesh: Stack, end: str, reason: int, error: str) -> None:
    """Whatever kills a job's process, the job becomes failed and says why; nothing it said before is lost."""
    job = await mesh.create(end=end, events=3)

    events = await mesh.events(job)
    done = await mesh.get(job)

    assert job_pb2.JOB_STATE_FAILED == done.state
    assert reason == done.reason
    assert error in done.error
    assert 3 == kinds(events).count("debug")
    assert ["error", "status"] == kinds(events)[-2:]


async def test_only_operators_see_a_traceback(mesh: Stack) -> None:
    """An error's detail is empty for the job's owner."""
    user = await mesh.user("ann")
    inputs = struct_pb2.Struct()
    inputs.update({"end": "raise"})
    job = await mesh.jobs.CreateJob(
        job_pb2.CreateJobRequest(flow="flows/demo", inputs=inputs), metadata=user, timeout=DEADLINE_S
    )

    seen_by_operator = await mesh.events(job)
    stream = mesh.jobs.WatchJob(job_pb2.WatchJobRequest(name=job.name), metadata=user, timeout=DEADLINE_S)
    seen_by_owner = [event async for message in stream for event in message.events]

    assert "Traceback" in seen_by_operator[-2].detail
    assert "" == seen_by_owner[-2].detail
    assert "ValueError: boom" == seen_by_owner[-2].payload


async def test_output_becomes_events_in_order(mesh: Stack) -> None:
    """What Python prints keeps its place among the events; native output comes before the end."""
    events = await mesh.events(await mesh.create(end="print"))

    said = [(event.kind, event.payload) for event in events if event.kind in ("stdout", "stderr", "debug")]

    said.remove(("stdout", "native"))  # it comes by a way of its own, which may be the faster one
    assert [("stdout", "from print"), ("stderr", "to stderr"), ("debug", "between"), ("stdout", "after")] == said


async def test_a_cancelled_job_is_gone(mesh: Stack) -> None:
    """CancelJob answers when the process has ended, and what it started too."""
    job = await mesh.create(end="subprocess")
    pid = int((await mesh.until(job, "debug")).payload)

    done = await mesh.jobs.CancelJob(
        job_pb2.CancelJobRequest(name=job.name), metadata=mesh.operator, timeout=DEADLINE_S
    )

    assert job_pb2.JOB_STATE_CANCELLED == done.state
    assert job_pb2.JOB_REASON_USER_STOP == done.reason
    assert not _alive(pid)


async def test_a_job_that_ignores_the_cancel_is_killed(tmp_path: pathlib.Path) -> None:
    """After the grace there is no asking."""
    async with stack(tmp_path, cancel_grace_s=0.2) as mesh:
        await mesh.deploy()
        job = await mesh.create(end="stubborn")
        await mesh.until(job, "debug", "ready")

        done = await mesh.jobs.CancelJob(
            job_pb2.CancelJobRequest(name=job.name), metadata=mesh.operator, timeout=DEADLINE_S
        )

        assert job_pb2.JOB_STATE_CANCELLED == done.state


async def test_a_deleted_job_is_not_found(mesh: Stack) -> None:
    """Deleting a running job stops it and ends its watches."""
    job = await mesh.create(end="sleep")
    watch = asyncio.create_task(mesh.events(job))
    await mesh.until(job, "status", "running")

    await mesh.jobs.DeleteJob(job_pb2.DeleteJobRequest(name=job.name), metadata=mesh.operator, timeout=DEADLINE_S)
    await watch
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await mesh.get(job)

    assert grpc.StatusCode.NOT_FOUND is caught.value.code()


async def test_a_strangers_job_is_not_found(mesh: Stack) -> None:
    """No call on a job tells anybody but its owner and operators that it exists."""
    job = await mesh.create()
    stranger = await mesh.user("eve")
    calls = [
        mesh.jobs.GetJob(job_pb2.GetJobRequest(name=job.name), metadata=stranger, timeout=DEADLINE_S),
        mesh.jobs.CancelJob(job_pb2.CancelJobRequest(name=job.name), metadata=stranger, timeout=DEADLINE_S),
        mesh.jobs.DeleteJob(job_pb2.DeleteJobRequest(name=job.name), metadata=stranger, timeout=DEADLINE_S),
        mesh.jobs.ListEvents(job_pb2.ListEventsRequest(name=job.name), metadata=stranger, timeout=DEADLINE_S),
    ]

    for call in calls:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert grpc.StatusCode.NOT_FOUND is caught.value.code()
    stream = mesh.jobs.WatchJob(job_pb2.WatchJobRequest(name=job.name), metadata=stranger, timeout=DEADLINE_S)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await anext(aiter(stream))
    assert grpc.StatusCode.NOT_FOUND is caught.value.code()
    listed = await mesh.jobs.ListJobs(job_pb2.ListJobsRequest(), metadata=stranger, timeout=DEADLINE_S)
    assert [] == list(listed.jobs)


async def test_a_repeated_request_gives_the_first_job(mesh: Stack) -> None:
    """The same request id and inputs start one job, also at the same time; other inputs are refused."""
    first, *others = await asyncio.gather(*(mesh.create(request_id="once", n=1) for _ in range(5)))

    assert {first.name} == {job.name for job in others}
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await mesh.create(request_id="once", n=2)
    assert grpc.StatusCode.INVALID_ARGUMENT is caught.value.code()


async def test_many_watchers_read_the_same_bytes(mesh: Stack) -> None:
    """Any number of watches, live or late, show the same log; a resumed one shows exactly the rest."""
    job = await mesh.create(events=2000)

    live = await asyncio.gather(*(mesh.events(job) for _ in range(20)))
    late = await mesh.events(job)
    rest = await mesh.events(job, after_seq=1500)

    assert list(range(1, 2007)) == [event.seq for event in late]
    assert all(late == seen for seen in live)
    assert late[1500:] == rest


async def test_jobs_wait_when_the_app_is_full(tmp_path: pathlib.Path) -> None:
    """More jobs than an app may run at once wait in line, and all of them end."""
    async with stack(tmp_path, jobs_per_app=2) as mesh:
        await mesh.deploy()
        gates = [tmp_path / "gate1", tmp_path / "gate2"]
        for gate in gates:
            os.mkfifo(gate)
        held = [await mesh.create(end="gate", path=str(gate)) for gate in gates]
        waiting = [await mesh.create() for _ in range(5)]
        states = [(await mesh.get(job)).state for job in waiting]

        for job in held:
            await mesh.until(job, "status", "running")
        for gate in gates:
            await asyncio.to_thread(_open, gate)
        await asyncio.gather(*(mesh.events(job) for job in [*held, *waiting]))

        assert [job_pb2.JOB_STATE_QUEUED] * 5 == states
        for job in [*held, *waiting]:
            assert job_pb2.JOB_STATE_SUCCEEDED == (await mesh.get(job)).state


async def test_a_blocked_handler_is_replaced(tmp_path: pathlib.Path) -> None:
    """A handler that blocks its process gets no more patience than a slow one, and the next call works."""
    async with stack(tmp_path, call_timeout_s=3.0) as mesh:
        await mesh.deploy()

        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await mesh.create(block_handler=True)

        assert grpc.StatusCode.DEADLINE_EXCEEDED is caught.value.code()
        assert "no answer within" in (caught.value.details() or "")
        await mesh.events(await _create_soon(mesh))


async def test_a_killed_handler_is_replaced(mesh: Stack) -> None:
    """The call that killed it says so; the next call works."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await mesh.create(kill_handler=True)

    assert "killed by SIGKILL" in (caught.value.details() or "")
    await mesh.events(await _create_soon(mesh))


async def test_an_app_that_fails_to_load_says_why(mesh: Stack) -> None:
    """A broken app is FAILED with its own reason, and touches no other."""
    for import_path, why in [
        ("tests.runner.no_such_module:app", "ModuleNotFoundError"),
        ("tests.runner.samples.flows:no_such_app", "no_such_app"),
        ("tests.runner.samples.broken_app:app", "RuntimeError: broken on purpose"),
        ("tests.runner.samples.exiting_app:app", "ended its process while loading"),
    ]:
        app = await mesh.deploy("broken", import_path)

        assert app_pb2.APP_STATE_FAILED == app.state
        assert why in app.message
        assert "Traceback" not in app.message

    await mesh.events(await mesh.create())


async def test_a_redeploy_lets_running_jobs_finish(mesh: Stack, tmp_path: pathlib.Path) -> None:
    """The old host ends what it runs; new jobs go to the new one."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    old = await mesh.create(end="gate", path=str(gate))
    await mesh.until(old, "status", "running")

    await mesh.deploy()
    new = await mesh.create()
    await mesh.events(new)
    await asyncio.to_thread(_open, gate)
    await mesh.events(old)

    assert job_pb2.JOB_STATE_SUCCEEDED == (await mesh.get(old)).state


async def test_removing_an_app_ends_its_jobs(mesh: Stack) -> None:
    """Jobs that still run end as CANCELLED by shutdown; then the app takes no calls."""
    job = await mesh.create(end="sleep")
    await mesh.until(job, "status", "running")

    await mesh.apps.RemoveApp(app_pb2.RemoveAppRequest(name="apps/demo"), metadata=mesh.operator, timeout=DEADLINE_S)
    done = await mesh.get(job)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await mesh.create()

    assert job_pb2.JOB_STATE_CANCELLED == done.state
    assert job_pb2.JOB_REASON_SHUTDOWN == done.reason
    assert grpc.StatusCode.UNAVAILABLE is caught.value.code()


async def test_an_app_that_is_not_placed_is_not_found(mesh: Stack) -> None:
    """A call to an app nobody deployed says so, and does not ask to be tried again."""
    call = app_pb2.CallAppRequest(name="apps/nowhere", method="GET", path="/")

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await mesh.apps.CallApp(call, metadata=mesh.operator, timeout=DEADLINE_S)

    assert grpc.StatusCode.NOT_FOUND is caught.value.code()


async def test_a_job_without_fork_runs_in_a_fresh_interpreter(mesh: Stack) -> None:
    """`fork: false` gives the same log."""
    await mesh.deploy("spawned", fork=False)

    events = await mesh.events(await mesh.create("flows/spawned"))

    assert ["status", "inputs", "meta", "status", "final", "status"] == kinds(events)


async def _create_soon(mesh: Stack) -> job_pb2.Job:
    """Create a job on an app whose handler is being replaced."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            with contextlib.suppress(grpc.aio.AioRpcError):
                return await mesh.create()


def _open(gate: pathlib.Path) -> None:
    """Let the one pass who waits at the gate, or comes to it."""
    with open(gate, "w"):
        pass


def _alive(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return not is_gone(psutil.Process(pid))
    return False
