"""Hosts of an app come and go with its jobs."""

import asyncio
import json
import os
import pathlib
from collections.abc import AsyncIterator

import pytest_asyncio
from agentmesh_protos.runner.v1 import app_pb2, job_pb2

from tests.runner.stack import DEADLINE_S, Stack, stack

SCALED = json.dumps(
    [
        {
            "autoscaling_config": {
                "min_replicas": 0,
                "max_replicas": 2,
                "target_ongoing_requests": 1,
                "upscale_delay_s": 0,
                "downscale_delay_s": 0,
            }
        }
    ]
)


@pytest_asyncio.fixture
async def mesh(tmp_path: pathlib.Path) -> AsyncIterator[Stack]:
    """Run a runner with hosts of its own."""
    async with stack(tmp_path) as mesh:
        yield mesh


async def until_hosts(mesh: Stack, count: int) -> None:
    """Wait until the app has so many hosts that serve, and shall have no others."""
    stream = mesh.apps.WatchApps(app_pb2.WatchAppsRequest(), metadata=mesh.operator, timeout=DEADLINE_S)
    try:
        async for message in stream:
            for app in message.apps:
                if (count, count) == (app.replica_count, app.ready_count):
                    return
    finally:
        stream.cancel()
    raise AssertionError("the stream of apps ended")


async def test_hosts_follow_the_jobs_of_an_app(mesh: Stack, tmp_path: pathlib.Path) -> None:
    """To none when there is nothing to do, to one as soon as there is, to more while there is much."""
    gates = [str(tmp_path / f"gate{number}") for number in range(3)]
    for gate in gates:
        os.mkfifo(gate, 0o666)
        os.chmod(gate, 0o666)  # a job may have another user
    await mesh.deploy(import_path="tests.runner.samples.placed:app", deployments_json=SCALED)
    await until_hosts(mesh, 0)
    jobs = [await mesh.create(gate=gate) for gate in gates]
    await until_hosts(mesh, 2)
    for gate in gates:
        await asyncio.to_thread(_open, gate)
    await asyncio.gather(*(mesh.events(job) for job in jobs))

    assert {job_pb2.JOB_STATE_SUCCEEDED} == {(await mesh.get(job)).state for job in jobs}
    await until_hosts(mesh, 0)


def _open(gate: str) -> None:
    with open(gate, "w"):  # once its job has come to it
        pass


async def test_a_question_wakes_an_app(mesh: Stack) -> None:
    """Who asks for a page of an app that has no host is answered by the one that is started for that."""
    await mesh.deploy(import_path="tests.runner.samples.placed:app", deployments_json=SCALED)
    await until_hosts(mesh, 0)
    request = app_pb2.CallAppRequest(name="apps/demo", method="GET", path="/")
    answer = await mesh.apps.CallApp(request, metadata=mesh.operator, timeout=DEADLINE_S)

    assert 200 == answer.status
