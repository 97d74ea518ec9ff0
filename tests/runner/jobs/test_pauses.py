"""Jobs that are halted and go on, and jobs that are parked while they wait for an answer; with real processes."""

import asyncio
import json
import pathlib
from collections.abc import AsyncIterator

import grpc
import psutil
import pytest
import pytest_asyncio
from agentmesh_protos.runner.v1 import app_pb2, job_pb2

from tests.runner.jobs.test_steps import APP, PROCESS, SHARED, lines, start
from tests.runner.stack import DEADLINE_S, Stack, stack

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Run a runner with the app in each isolation; one job of the first runs at a time."""
    folder = tmp_path_factory.mktemp("pauses")
    async with stack(folder, app_patience_s=60, cancel_grace_s=0.5, jobs_per_app=1) as running:
        await running.deploy("process", APP, isolation=PROCESS)
        await running.deploy("shared", APP, isolation=SHARED)
        yield running


@pytest.fixture
def path(mesh: Stack, request: pytest.FixtureRequest) -> pathlib.Path:
    """Return a file that jobs may write."""
    return writable(mesh, str(abs(hash(request.node.nodeid))))


def writable(mesh: Stack, name: str) -> pathlib.Path:
    """Return a file that jobs may write."""
    found = mesh.folder / name
    found.touch()
    found.chmod(0o666)
    return found


async def pause(mesh: Stack, job: job_pb2.Job) -> job_pb2.Job:
    """Halt a job."""
    request = job_pb2.PauseJobRequest(name=job.name)
    paused: job_pb2.Job = await mesh.jobs.PauseJob(request, metadata=mesh.operator, timeout=DEADLINE_S)
    return paused


async def resume(mesh: Stack, job: job_pb2.Job) -> job_pb2.Job:
    """Let a job go on."""
    request = job_pb2.ResumeJobRequest(name=job.name)
    resumed: job_pb2.Job = await mesh.jobs.ResumeJob(request, metadata=mesh.operator, timeout=DEADLINE_S)
    return resumed


async def until_more(path: pathlib.Path, word: str) -> None:
    """Wait until a file has another line."""
    before = lines(path).count(word)
    async with asyncio.timeout(DEADLINE_S):
        while lines(path).count(word) <= before:  # noqa: ASYNC110  # a file says nothing by itself
            await asyncio.sleep(0.02)


async def until_still(path: pathlib.Path) -> int:
    """Wait until a file does not grow; return how long it is."""
    async with asyncio.timeout(DEADLINE_S):
        before = -1
        while before != (now := len(lines(path))):
            before = now
            await asyncio.sleep(0.3)
    return before


async def test_a_paused_job_is_frozen_with_all_that_it_has_started(mesh: Stack, path: pathlib.Path) -> None:
    """Also with what has a session of its own; another job has its slot, and it goes on where it was."""
    gate = path.with_suffix(".gate")
    job = await start(mesh, "process/ticking", path, end="child", gate=str(gate))
    await until_more(path, "child")
    await until_more(path, "tick")

    paused = await pause(mesh, job)
    again = await pause(mesh, job)
    await mesh.events(await start(mesh, "process", writable(mesh, "other")))  # its host has heard of it by then
    length = await until_still(path)
    await mesh.events(await start(mesh, "process", writable(mesh, "another")))
    assert length == len(lines(path))
    gate.touch()
    resumed = await resume(mesh, job)
    await resume(mesh, job)
    events = await mesh.events(job)
    done = await mesh.get(job)

    paused_state = job_pb2.JOB_STATE_PAUSED
    assert (paused_state, paused_state, job_pb2.JOB_STATE_RUNNING) == (paused.state, again.state, resumed.state)
    assert (job_pb2.JOB_STATE_SUCCEEDED, 1) == (done.state, done.attempt), done.error
    statuses = [event.payload for event in events if event.kind == "status"]
    assert ["queued", "running", "paused", "running", "succeeded"] == statuses


async def test_a_job_that_shares_a_process_waits_where_it_speaks(mesh: Stack, path: pathlib.Path) -> None:
    """The others in its worker go on."""
    gate = path.with_suffix(".gate")
    job = await start(mesh, "shared/ticking", path, gate=str(gate))
    await until_more(path, "tick")

    await pause(mesh, job)
    await mesh.events(await start(mesh, "shared", writable(mesh, "beside")))  # its worker has heard of it by then
    length = await until_still(path)
    await mesh.events(await start(mesh, "shared", writable(mesh, "behind")))
    assert length == len(lines(path))
    gate.touch()
    await resume(mesh, job)
    await mesh.events(job)

    assert job_pb2.JOB_STATE_SUCCEEDED == (await mesh.get(job)).state


async def test_a_job_that_waits_for_a_host_is_held_back(mesh: Stack, path: pathlib.Path) -> None:
    """The one behind it goes first."""
    gate = path.with_suffix(".gate")
    running = await start(mesh, "process/ticking", path, gate=str(gate))
    await until_more(path, "tick")
    held = await start(mesh, "process", writable(mesh, "held"))
    behind = await start(mesh, "process", writable(mesh, "behind"))

    paused = await pause(mesh, held)
    gate.touch()
    for job in (running, behind):
        await mesh.events(job)
    waits = await mesh.get(held)
    resumed = await resume(mesh, held)
    await mesh.events(held)

    assert job_pb2.JOB_STATE_PAUSED == paused.state == waits.state
    assert resumed.state in (job_pb2.JOB_STATE_QUEUED, job_pb2.JOB_STATE_STARTING, job_pb2.JOB_STATE_RUNNING)
    assert (job_pb2.JOB_STATE_SUCCEEDED, 1) == ((done := await mesh.get(held)).state, done.attempt)


@pytest.mark.parametrize("expose", ["process", "shared"])
async def test_a_paused_job_can_be_stopped(mesh: Stack, path: pathlib.Path, expose: str) -> None:
    """It hears of it, and what it has started is gone, too."""
    job = await start(mesh, f"{expose}/ticking", path, gate=str(path.with_suffix(".gate")))
    await until_more(path, "tick")
    await pause(mesh, job)

    request = job_pb2.CancelJobRequest(name=job.name)
    stopped = await mesh.jobs.CancelJob(request, metadata=mesh.operator, timeout=DEADLINE_S)

    assert job_pb2.JOB_STATE_CANCELLED == stopped.state
    with pytest.raises(
        grpc.aio.AioRpcError, match="a job that is cancelled can be neither paused nor resumed any more"
    ) as caught:
        await pause(mesh, job)
    assert grpc.StatusCode.FAILED_PRECONDITION == caught.value.code()
    with pytest.raises(grpc.aio.AioRpcError, match="a job that is cancelled"):
        await resume(mesh, job)


@pytest.mark.parametrize("expose", ["process", "shared"])
async def test_a_parked_job_has_no_process(mesh: Stack, path: pathlib.Path, expose: str) -> None:
    """Each answer starts another attempt, which does not repeat a step; at once, or after the time its flow says."""
    job = await start(mesh, f"{expose}/asking", path)
    (lock,) = await mesh.open_locks(job)
    if expose == "process":
        pid = int(next(line for line in lines(path) if line.startswith("first ")).split()[1])
        async with asyncio.timeout(DEADLINE_S):
            while psutil.pid_exists(pid):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    waiting = await mesh.get(job)
    with pytest.raises(grpc.aio.AioRpcError, match="a job that is awaiting_input waits as it is"):
        await pause(mesh, job)
    await mesh.answer(lock.name, word="one")
    await mesh.until(job, "step")
    async with asyncio.timeout(DEADLINE_S):
        while (second := (await mesh.open_locks(job))[0]).name == lock.name:
            pass
        while lines(path).count("begun") < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await mesh.answer(second.name, word="two")
    events = await mesh.events(job)
    done = await mesh.get(job)

    assert job_pb2.JOB_STATE_AWAITING_INPUT == waiting.state
    assert job_pb2.JOB_STATE_SUCCEEDED == done.state, done.error
    assert ["one", "two"] == json.loads(done.result_json)["dict"]["words"][1:]
    assert [1, 1] == [sum(line.startswith(word) for line in lines(path)) for word in ("first", "between")]
    assert 2 == sum(event.kind == "lock" for event in events)
    assert 2 <= done.attempt <= 3


async def test_a_job_that_takes_a_step_is_not_parked(mesh: Stack, path: pathlib.Path) -> None:
    """It would take it again."""
    gate = path.with_suffix(".gate")
    job = await start(mesh, "process/busy", path, gate=str(gate))
    (lock,) = await mesh.open_locks(job)
    await mesh.answer(lock.name, word="one")
    gate.touch()
    await mesh.events(job)
    done = await mesh.get(job)

    assert (job_pb2.JOB_STATE_SUCCEEDED, 1) == (done.state, done.attempt), done.error


async def test_a_paused_job_stays_so_when_all_is_started_anew(tmp_path: pathlib.Path) -> None:
    """Its process has ended with the mesh; resumed, another attempt takes up what is recorded."""
    async with stack(tmp_path, app_patience_s=60) as mesh:
        await mesh.deploy("process", APP, isolation=app_pb2.ISOLATION_PROCESS)
        path = writable(mesh, "did")
        gate = path.with_suffix(".gate")
        job = await start(mesh, "process", path, gate=str(gate))
        await mesh.until(job, "debug", "waits")
        await pause(mesh, job)

    async with stack(tmp_path, app_patience_s=60) as mesh:
        waits = await mesh.get(job)
        gate.touch()
        await resume(mesh, job)
        await mesh.events(job)
        done = await mesh.get(job)

    assert job_pb2.JOB_STATE_PAUSED == waits.state
    assert (job_pb2.JOB_STATE_SUCCEEDED, 2) == (done.state, done.attempt), done.error
    assert ["first", "second"] == [line for line in lines(path) if line in ("first", "second")]
