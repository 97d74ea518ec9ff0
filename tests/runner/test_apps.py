"""Apps of a real runner: several hosts, new code that does not load, hosts that are lost."""

import asyncio
import contextlib
import json
import pathlib
from collections.abc import AsyncIterator

import pytest_asyncio
from mesh.runner.v1 import app_pb2, job_pb2

from tests.runner.stack import DEADLINE_S, Stack, stack


@pytest_asyncio.fixture
async def mesh(tmp_path: pathlib.Path) -> AsyncIterator[Stack]:
    """Run the stack without an app."""
    async with stack(tmp_path) as running:
        yield running


async def apps(mesh: Stack) -> list[app_pb2.App]:
    """Return every app."""
    return list((await mesh.apps.ListApps(app_pb2.ListAppsRequest(), metadata=mesh.operator, timeout=DEADLINE_S)).apps)


async def host_of(mesh: Stack, job: job_pb2.Job) -> int:
    """Run a job to its end; return the process id of its zygote."""
    await mesh.events(job)
    pid: int = json.loads((await mesh.get(job)).result_json)["dict"]["host"]
    return pid


async def test_an_app_has_as_many_hosts_as_its_deployments_say(mesh: Stack) -> None:
    """Jobs are shared among them."""
    app = await mesh.deploy(import_path="tests.runner.placed:app", deployments_json='[{"num_replicas": 2}]')

    jobs = [await mesh.create(seconds=0.3) for _ in range(4)]
    hosts = await asyncio.gather(*(host_of(mesh, job) for job in jobs))

    assert (app_pb2.APP_STATE_RUNNING, 2, 2) == (app.state, app.replica_count, app.ready_count)
    assert 2 == len(set(hosts))


async def test_code_that_does_not_load_replaces_nothing(mesh: Stack) -> None:
    """The version before serves on, and the app says that it is not what was asked for."""
    await mesh.deploy(import_path="tests.runner.placed:app")
    before = await host_of(mesh, await mesh.create())

    answer = await mesh.deploy(import_path="tests.runner.broken_app:app")
    (listed,) = await apps(mesh)
    after = await host_of(mesh, await mesh.create())

    assert app_pb2.APP_STATE_OUTDATED == answer.state == listed.state
    assert "tests.runner.placed:app" == listed.import_path
    assert listed.message
    assert before == after


async def test_code_that_loads_again_is_served(mesh: Stack) -> None:
    """The app is what was asked for once more."""
    await mesh.deploy(import_path="tests.runner.placed:app")
    before = await host_of(mesh, await mesh.create())
    await mesh.deploy(import_path="tests.runner.broken_app:app")

    answer = await mesh.deploy(import_path="tests.runner.placed:app")
    after = await host_of(mesh, await mesh.create())

    assert (app_pb2.APP_STATE_RUNNING, "") == (answer.state, answer.message)
    assert before != after


async def test_a_first_version_that_does_not_load_is_failed(mesh: Stack) -> None:
    """There is nothing before it that could serve; a deploy that loads mends it."""
    failed = await mesh.deploy(import_path="tests.runner.broken_app:app")
    mended = await mesh.deploy(import_path="tests.runner.placed:app")

    assert app_pb2.APP_STATE_FAILED == failed.state
    assert app_pb2.APP_STATE_RUNNING == mended.state


async def test_jobs_of_the_version_before_end_on_it(mesh: Stack) -> None:
    """New code takes new jobs only."""
    await mesh.deploy(import_path="tests.runner.placed:app")
    running = await mesh.create(seconds=1.0)
    await mesh.until(running, "status", "running")

    await mesh.deploy(import_path="tests.runner.placed:app")
    new = await host_of(mesh, await mesh.create())
    old = await host_of(mesh, running)

    assert job_pb2.JOB_STATE_SUCCEEDED == (await mesh.get(running)).state
    assert old != new


async def test_a_launch_waits_for_an_app_that_is_restarted(mesh: Stack) -> None:
    """A host that is lost comes back by itself; whoever starts a job meanwhile need not try again."""
    await mesh.deploy(import_path="tests.runner.placed:app")
    killed = await mesh.create(kill_host=True)
    with contextlib.suppress(AssertionError):
        await mesh.until(killed, "status", "failed")

    job = await mesh.create()
    await mesh.events(job)

    assert job_pb2.JOB_STATE_SUCCEEDED == (await mesh.get(job)).state
    (listed,) = await apps(mesh)
    assert app_pb2.APP_STATE_RUNNING == listed.state
