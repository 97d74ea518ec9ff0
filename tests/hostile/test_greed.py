"""What a job may take, and that what ordinary flows do works within it."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from agentmesh_protos.runner.v1 import app_pb2, job_pb2

from tests.host.stage import Stage, stage
from tests.hostile.test_confinement import GIVEN, ORDINARY

# One worker for all: where a job has no user of its own, what one takes is counted as another's.
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("greed")]
FLOWS = "tests.hostile.greedy:"
MIB = 1024 * 1024
BOUNDS = app_pb2.Bounds(memory_bytes=512 * MIB, process_count=64, open_file_count=128, file_bytes=8 * MIB)
SUCCEEDED, FAILED = job_pb2.JOB_STATE_SUCCEEDED, job_pb2.JOB_STATE_FAILED


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=[0, ORDINARY], ids=["ours", "ordinary"])
async def host(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    """Run a host whose jobs may take little, as we are and as an ordinary user."""
    async with stage(FLOWS + "app", bounds=BOUNDS, user=request.param) as running:
        yield running


async def run(host: Stage, flow: str, *, shared: bool = False) -> Any:
    """Run a flow to its end; return what it returned."""
    outcome = await host.end(host.run(FLOWS + flow, shared=shared))
    assert (SUCCEEDED, "") == (outcome.state, outcome.error)
    return next(iter(json.loads(outcome.result_json).values()))


async def test_memory_has_an_end(host: Stage) -> None:
    """In words of Python's."""
    outcome = await host.end(host.run(f"{FLOWS}memory"))

    assert FAILED == outcome.state
    assert "MemoryError" in outcome.error
    await run(host, "file_size")


async def test_processes_have_an_end(host: Stage) -> None:
    """Those that are left are gone with the job: there is room for the next."""
    for _ in range(2):
        found = await run(host, "processes")

        assert "EAGAIN" == found["refusal"]
        assert found["taken"] < BOUNDS.process_count or "user" not in GIVEN or host.folder.stat().st_uid == ORDINARY


async def test_files_have_an_end(host: Stage) -> None:
    """For each process."""
    found = await run(host, "files")

    assert "EMFILE" == found["refusal"]
    assert found["taken"] < BOUNDS.open_file_count


async def test_a_file_has_an_end(host: Stage) -> None:
    """It is as long as it may be."""
    assert {"taken": 8, "refusal": "EFBIG"} == await run(host, "file_size")


@pytest.mark.parametrize("user", [0, ORDINARY], ids=["ours", "ordinary"])
@pytest.mark.parametrize("fork", [True, False])
async def test_ordinary_flows_work(user: int, fork: bool) -> None:
    """With what an app gets that says nothing of limits, in a process and in a worker."""
    async with stage(FLOWS + "app", user=user, fork=fork) as host:
        for shared in (False, True):
            assert {} == await run(host, "ordinary", shared=shared)
