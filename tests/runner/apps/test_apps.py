"""Apps of a real runner: several hosts, new code that does not load, hosts that are lost."""

import asyncio
import contextlib
import json
import os
import pathlib
import signal
import uuid
from collections.abc import AsyncIterator, Sequence

import grpc
import psutil
import pytest
import pytest_asyncio
from agentmesh_protos.runner.v1 import app_pb2, job_pb2

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


async def hosts_of(mesh: Stack, count: int = 1) -> set[int]:
    """Return the hosts of an app, which has `count`: a job goes to the one that has fewer."""
    hosts = set(await at_once(mesh, count))
    assert count == len(hosts)
    return hosts


async def at_once(mesh: Stack, count: int) -> list[int]:
    """Run that many jobs at the same time; return the host of each."""
    gates = [mesh.folder / f"gate-{uuid.uuid4()}" for _ in range(count)]
    for gate in gates:
        os.mkfifo(gate)
    jobs = [await mesh.create(gate=str(gate)) for gate in gates]
    for gate in gates:
        await asyncio.to_thread(let_pass, gate)
    return [await host_of(mesh, job) for job in jobs]


def let_pass(gate: pathlib.Path) -> None:
    """Let the job pass that waits at a gate, or comes to it."""
    with open(gate, "w"):
        pass


def kill(*zygotes: int) -> None:
    """Kill the hosts of these zygotes."""
    for zygote in zygotes:
        os.kill(psutil.Process(zygote).ppid(), signal.SIGKILL)


async def test_an_app_has_as_many_hosts_as_its_deployments_say(mesh: Stack) -> None:
    """Jobs are shared among them."""
    app = await mesh.deploy(import_path="tests.runner.samples.placed:app", deployments_json='[{"num_replicas": 2}]')

    hosts = await at_once(mesh, 4)

    assert (app_pb2.APP_STATE_RUNNING, 2, 2) == (app.state, app.replica_count, app.ready_count)
    assert 2 == len(set(hosts))


async def test_code_that_does_not_load_replaces_nothing(mesh: Stack) -> None:
    """The version before serves on, and the app says that it is not what was asked for."""
    await mesh.deploy(import_path="tests.runner.samples.placed:app")
    before = await host_of(mesh, await mesh.create())

    answer = await mesh.deploy(import_path="tests.runner.samples.broken_app:app")
    (listed,) = await apps(mesh)
    after = await host_of(mesh, await mesh.create())

    assert app_pb2.APP_STATE_OUTDATED == answer.state == listed.state
    assert "tests.runner.samples.placed:app" == listed.import_path
    assert listed.message
    assert before == after


async def test_code_that_loads_again_is_served(mesh: Stack) -> None:
    """The app is what was asked for once more."""
    await mesh.deploy(import_path="tests.runner.samples.placed:app")
    before = await host_of(mesh, await mesh.create())
    await mesh.deploy(import_path="tests.runner.samples.broken_app:app")

    answer = await mesh.deploy(import_path="tests.runner.samples.placed:app")
    after = await host_of(mesh, await mesh.create())

    assert (app_pb2.APP_STATE_RUNNING, "") == (answer.state, answer.message)
    assert before != after


async def test_a_first_version_that_does_not_load_is_failed(mesh: Stack) -> None:
    """There is nothing before it that could serve; a deploy that loads mends it."""
    failed = await mesh.deploy(import_path="tests.runner.samples.broken_app:app")
    mended = await mesh.deploy(import_path="tests.runner.samples.placed:app")

    assert app_pb2.APP_STATE_FAILED == failed.state
    assert app_pb2.APP_STATE_RUNNING == mended.state


async def test_jobs_of_the_version_before_end_on_it(mesh: Stack, tmp_path: pathlib.Path) -> None:
    """New code takes new jobs only."""
    await mesh.deploy(import_path="tests.runner.samples.placed:app")
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    running = await mesh.create(gate=str(gate))
    await mesh.until(running, "status", "running")

    await mesh.deploy(import_path="tests.runner.samples.placed:app")
    new = await host_of(mesh, await mesh.create())
    await asyncio.to_thread(let_pass, gate)
    old = await host_of(mesh, running)

    assert job_pb2.JOB_STATE_SUCCEEDED == (await mesh.get(running)).state
    assert old != new


async def test_a_launch_waits_for_an_app_that_is_restarted(mesh: Stack, tmp_path: pathlib.Path) -> None:
    """A host that is lost comes back by itself; whoever starts a job meanwhile need not try again."""
    await mesh.deploy(import_path="tests.runner.samples.placed:app")
    (host,) = await hosts_of(mesh)
    gate = tmp_path / "never"
    os.mkfifo(gate)
    killed = await mesh.create(gate=str(gate))
    await mesh.until(killed, "status", "running")
    kill(host)
    with contextlib.suppress(AssertionError):
        await mesh.until(killed, "status", "failed")

    job = await mesh.create()
    await mesh.events(job)

    assert job_pb2.JOB_STATE_SUCCEEDED == (await mesh.get(job)).state
    (listed,) = await apps(mesh)
    assert app_pb2.APP_STATE_RUNNING == listed.state


class Watcher:
    """An operator who follows the apps."""

    def __init__(self, mesh: Stack, metadata: Sequence[tuple[str, str]] = ()) -> None:
        request = app_pb2.WatchAppsRequest()
        self._call = mesh.apps.WatchApps(request, metadata=metadata or mesh.operator, timeout=DEADLINE_S)
        self.apps: dict[str, app_pb2.App] = {}
        self.states: list[str] = []
        """Of every app, in the order in which they were told."""

    async def next(self) -> app_pb2.WatchAppsResponse | None:
        """Take in the next message; None at the end."""
        message = await self._call.read()
        if message is grpc.aio.EOF:
            return None
        assert isinstance(message, app_pb2.WatchAppsResponse)
        self.apps |= {app.name: app for app in message.apps}
        self.states += [app_pb2.AppState.Name(app.state).removeprefix("APP_STATE_") for app in message.apps]
        for name in message.removed:
            del self.apps[name]
        return message

    async def until(self, state: str) -> None:
        """Take in messages until a state was told."""
        self.states.clear()
        while state not in self.states:
            assert await self.next() is not None


async def test_apps_are_watched(mesh: Stack) -> None:
    """A whole snapshot comes first; then what a deploy, a lost host and a removal change, each app as it is listed."""
    await mesh.deploy(import_path="tests.runner.samples.placed:app")
    watcher = Watcher(mesh)
    while not (message := await watcher.next()) or not message.complete:
        assert message is not None
    whole = dict(watcher.apps)
    listed = await apps(mesh)

    await mesh.deploy("other", import_path="tests.runner.samples.broken_app:app")
    await watcher.until("FAILED")  # where it was on its way there is told to who is quick enough
    await mesh.deploy(import_path="tests.runner.samples.broken_app:app")
    await watcher.until("OUTDATED")
    kill(*await hosts_of(mesh))
    await watcher.until("RUNNING")
    told = dict(watcher.apps)
    await mesh.apps.RemoveApp(app_pb2.RemoveAppRequest(name="apps/other"), metadata=mesh.operator, timeout=DEADLINE_S)
    while "apps/other" in watcher.apps:
        assert await watcher.next() is not None

    assert {"apps/demo": listed[0]} == whole
    assert ["/", 1] == [whole["apps/demo"].flows[0].path, whole["apps/demo"].ready_count]
    assert {"apps/demo", "apps/other"} == told.keys()
    assert await apps(mesh) == list(watcher.apps.values())


async def test_a_restarted_runner_says_nothing_before_it_knows(tmp_path: pathlib.Path) -> None:
    """The first snapshot has what was placed before."""
    async with stack(tmp_path) as mesh:
        await mesh.deploy(import_path="tests.runner.samples.placed:app")
    async with stack(tmp_path) as mesh:
        watcher = Watcher(mesh)
        while not (message := await watcher.next()) or not message.complete:
            assert message is not None
        assert ["apps/demo"] == list(watcher.apps)


async def test_users_do_not_watch_apps(mesh: Stack) -> None:
    """Operators and services do."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await Watcher(mesh, await mesh.user("ada")).next()

    assert grpc.StatusCode.PERMISSION_DENIED == caught.value.code()


async def test_a_host_that_loads_after_another_did_not_gets_jobs(mesh: Stack, tmp_path: pathlib.Path) -> None:
    """The app was FAILED between, and its line of jobs closed."""
    env = json.dumps({"env_vars": {"MOOD": str(tmp_path)}})
    two = '[{"num_replicas": 2}]'
    await mesh.deploy(import_path="tests.runner.samples.moody:app", deployments_json=two, runtime_env_json=env)
    for name in ("moody", "refuse"):
        (tmp_path / name).touch()
    watcher = Watcher(mesh)
    kill(*await hosts_of(mesh, 2))
    await watcher.until("FAILED")
    (tmp_path / "go").touch()
    await watcher.until("RUNNING")

    job = await mesh.create()
    await mesh.events(job)

    assert job_pb2.JOB_STATE_SUCCEEDED == (await mesh.get(job)).state
