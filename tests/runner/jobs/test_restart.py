"""What a crash of the runner or of a host does to jobs."""

import asyncio
import contextlib
import os
import pathlib
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from agentmesh_protos.runner.v1 import app_pb2, job_pb2

from agentmesh.supervisor import ports
from tests.runner.jobs.test_jobs import kinds
from tests.runner.stack import DEADLINE_S, Stack, stack


@pytest.fixture
def address() -> Iterator[str]:
    """Where the runner listens, before and after: nobody else's connection takes that port between."""
    (port,), (hold,) = ports.reserve(1)
    with hold:
        yield f"127.0.0.1:{port}"


@pytest_asyncio.fixture
async def nursery() -> AsyncIterator[str]:
    """Run a nursery that outlives the runner; yield its socket."""
    with tempfile.TemporaryDirectory(prefix="am-") as folder:
        path = f"{folder}/nursery"
        environment = {**os.environ, "AGENTMESH_NURSERY": path}
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", "agentmesh.host", env=environment)
        yield path
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def test_a_job_outlives_its_runner(tmp_path: pathlib.Path, nursery: str, address: str) -> None:
    """The host works on while the runner is away; the log has no gap and the job ends once."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    async with stack(tmp_path, nursery=nursery, address=address) as mesh:
        await mesh.deploy()
        job = await mesh.create(end="gate", path=str(gate), events=50)
        await mesh.until(job, "debug", "event 49")

    async with stack(tmp_path, nursery=nursery, address=address) as mesh:
        opened = asyncio.create_task(asyncio.to_thread(_open, gate))
        events = await mesh.events(job)
        await opened

        assert list(range(1, len(events) + 1)) == [event.seq for event in events]
        assert ["final", "status"] == kinds(events)[-2:]
        assert 1 == kinds(events).count("final")
        assert [f"event {number}" for number in range(50)] == [e.payload for e in events if e.kind == "debug"]


async def test_waiting_jobs_outlive_the_runner(tmp_path: pathlib.Path, nursery: str, address: str) -> None:
    """A job that waited in line runs after the restart."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    async with stack(tmp_path, nursery=nursery, jobs_per_app=1, address=address) as mesh:
        await mesh.deploy()
        held = await mesh.create(end="gate", path=str(gate))
        waiting = [await mesh.create(n=number) for number in range(3)]
        await mesh.until(held, "status", "running")

    async with stack(tmp_path, nursery=nursery, jobs_per_app=1, address=address) as mesh:
        await asyncio.to_thread(_open, gate)
        for job in [held, *waiting]:
            assert "final" in kinds(await mesh.events(job))


async def test_a_dead_host_fails_its_jobs_and_returns(tmp_path: pathlib.Path, nursery: str) -> None:
    """Killing a host ends its jobs with the reason at once; the app serves again by itself."""
    async with stack(tmp_path, nursery=nursery) as mesh:
        await mesh.deploy()
        job = await mesh.create(end="sleep")
        await mesh.until(job, "status", "running")

        os.kill(_host_pid(nursery), signal.SIGKILL)
        await mesh.events(job)
        done = await mesh.get(job)
        await _until_running(mesh)

        assert job_pb2.JOB_STATE_FAILED == done.state
        assert job_pb2.JOB_REASON_WORKER_LOST == done.reason
        assert "killed by SIGKILL" in done.error
        assert "final" in kinds(await mesh.events(await mesh.create()))


async def test_apps_and_jobs_survive_everything(tmp_path: pathlib.Path) -> None:
    """With a new runner and a new nursery, apps serve again, ended jobs are as they were, running ones have failed."""
    async with stack(tmp_path) as mesh:
        await mesh.deploy()
        ended = await mesh.create(n=1)
        before = await mesh.events(ended)
        running = await mesh.create(end="sleep")
        await mesh.until(running, "status", "running")

    async with stack(tmp_path) as mesh:
        lost = await mesh.events(running)
        await _until_running(mesh)

        assert before == await mesh.events(ended)
        assert ["error", "status"] == kinds(lost)[-2:]
        assert list(range(1, len(lost) + 1)) == [event.seq for event in lost]
        assert "final" in kinds(await mesh.events(await mesh.create()))


def _host_pid(nursery: str) -> int:
    """Return the one host below the nursery that listens on this socket."""
    for folder in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if f"AGENTMESH_NURSERY={nursery}\0".encode() not in (folder / "environ").read_bytes():
                continue
            pid = int(folder.name)
            children = (folder / "task" / str(pid) / "children").read_text().split()
            # The nursery's child is a host: it has a thread per gRPC poller, the nursery has one thread.
            if children and len(list((folder / "task").iterdir())) > 1:
                return pid
    raise AssertionError("no host is running")


async def _until_running(mesh: Stack) -> None:
    """Wait for the app to serve again: its state is read, as an operator would."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            apps = await mesh.apps.ListApps(app_pb2.ListAppsRequest(), metadata=mesh.operator, timeout=DEADLINE_S)
            if apps.apps and apps.apps[0].state == app_pb2.APP_STATE_RUNNING:
                return


def _open(gate: pathlib.Path) -> None:
    with open(gate, "w"):
        pass
