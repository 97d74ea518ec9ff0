"""What tells lies in the mesh's own words is not believed, whatever the job's isolation."""

import json
import pathlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from agentmesh_protos.runner.v1 import job_pb2

from tests.runner.stack import Stack, stack

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIES = ["status", "final", "error", "payment", "lock", "lease", "inputs", "meta", "eof", "alive", "STATUS", "sta tus"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Run the runner with an app that sends what it is told to."""
    folder: pathlib.Path = tmp_path_factory.mktemp("forging")
    async with stack(folder) as running:
        await running.deploy("forger", "tests.hostile.forger:app")
        yield running


@pytest.mark.parametrize("path", ["alone", "shared"])
async def test_lies_are_refused_in_words(mesh: Stack, path: str) -> None:
    """The log holds what the mesh wrote, each lie's refusal in its place, and what the job says afterwards."""
    job = await mesh.create(f"flows/forger/{path}", kinds=LIES, payload="succeeded")

    events = await mesh.events(job)
    done = await mesh.get(job)

    log = [event.kind for event in events]
    assert ["status", "inputs", "meta", "status", *["stderr"] * len(LIES), "debug", "final", "status"] == log
    assert ["queued", "running", "succeeded"] == [event.payload for event in events if event.kind == "status"]
    for kind, event in zip(LIES, events[4:], strict=False):
        assert f"an event of kind {kind!r} was refused" in event.payload
    assert job_pb2.JOB_STATE_SUCCEEDED == done.state
    assert {"TypeError": "None"} == json.loads(done.result_json)
