"""Programs that are forked from one parent: each for itself, and none the worse when the parent is killed."""

import asyncio
import contextlib
import ctypes
import json
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator

import psutil
import pytest

from agentmesh.host.own import descendants
from agentmesh.supervisor import forks, opening
from agentmesh.supervisor.child import CannotStart, kill_group
from agentmesh.supervisor.forks import Forked, Forkserver
from agentmesh.supervisor.logs import LogPump
from agentmesh.testing import running_mesh
from tests.ending import wait_procs
from tests.families import asked, is_gone, running
from tests.mesh_wide.meshes import until_healthy

pytestmark = pytest.mark.skipif(not forks.POSSIBLE, reason="programs are forked on Linux only")

DEADLINE_S = 60.0
FORKSERVER = "agentmesh.supervisor.forkserver"
SHARED = "imported_by_all = {}\n"
PROGRAM = """
import json, os, signal, shared
found = dict(shared.imported_by_all)
shared.imported_by_all[os.environ["AM_TEST_NAME"]] = os.environ.get("AM_TEST_SECRET")
told = {"environ": dict(os.environ), "found": found, "fds": len(os.listdir("/proc/self/fd"))}
with open(os.environ["AM_TEST_GATE"], "w") as gate:
    json.dump(told, gate)
signal.pause()
"""
HOLD = """
import os, pathlib, sys, time
gate = pathlib.Path({gate!r})
if {module!r} in sys.orig_argv and gate.exists():
    gate.with_suffix(".pid").write_text(str(os.getpid()))
    open(gate)
    time.sleep(600)
"""
"""Keeps the first forkserver from forking anybody: it is killed before it can."""


@pytest.fixture
def adopting() -> Iterator[None]:
    """Be the parent of orphans, as the supervisor is."""
    descendants.adopt_orphans()
    yield
    ctypes.CDLL(None).prctl(36, 0, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


class Stage:
    """A forkserver, and what it has forked."""

    def __init__(self, folder: pathlib.Path, log: int) -> None:
        (folder / "shared.py").write_text(SHARED)
        (folder / "program.py").write_text(PROGRAM)
        self._folder = folder
        self._logs = LogPump(log)
        self.env = {**os.environ, "PYTHONPATH": str(folder), "AM_TEST_COMMON": "everybody's"}
        self.server = Forkserver(["shared"], self.env, self._logs)
        self._forked: list[Forked] = []

    async def fork(self, name: str, env: dict[str, str]) -> tuple[Forked, dict[str, object]]:
        """Fork the program in an environment; return it, and what it says."""
        gate = self._folder / name
        os.mkfifo(gate)
        loop, readable, said = asyncio.get_running_loop(), asyncio.Event(), b""
        with open(os.open(gate, os.O_RDWR | os.O_NONBLOCK), "rb") as pipe:
            loop.add_reader(pipe, readable.set)
            try:
                environ = {**env, "AM_TEST_NAME": name, "AM_TEST_GATE": str(gate)}
                forked = await self.server.fork(name, "program", environ)
                self._forked.append(forked)
                async with asyncio.timeout(DEADLINE_S):
                    while not said.endswith(b"}"):
                        await readable.wait()
                        readable.clear()
                        said += pipe.read1()
            finally:
                loop.remove_reader(pipe)
        return forked, json.loads(said)

    async def close(self) -> None:
        """End everything."""
        self.server.end()
        for forked in self._forked:
            kill_group(forked.pid)
            await forked.wait()
        await self.server.wait()  # else a later test hears that it was left behind
        self._logs.close()


@contextlib.asynccontextmanager
async def staged(folder: pathlib.Path) -> AsyncIterator[Stage]:
    """Run a forkserver for the length of the block."""
    with open(os.devnull, "wb") as nowhere:
        stage = Stage(folder, nowhere.fileno())
        try:
            yield stage
        finally:
            await stage.close()


@pytest.mark.usefixtures("adopting")
async def test_a_program_has_its_own_environment_and_memory(tmp_path: pathlib.Path) -> None:
    """Nothing of one is in another that is forked later: no variable, no value, no descriptor."""
    async with staged(tmp_path) as stage:
        _, first = await stage.fork("first", {**stage.env, "AM_TEST_SECRET": "the first's"})
        less = {key: value for key, value in stage.env.items() if key != "AM_TEST_COMMON"}
        _, second = await stage.fork("second", less)

    environ = second["environ"]
    assert isinstance(first["environ"], dict)
    assert isinstance(environ, dict)
    assert ("the first's", "everybody's") == (first["environ"]["AM_TEST_SECRET"], first["environ"]["AM_TEST_COMMON"])
    assert [] == [key for key in ("AM_TEST_SECRET", "AM_TEST_COMMON") if key in environ]
    assert {} == second["found"]
    assert first["fds"] == second["fds"]


@pytest.mark.usefixtures("adopting")
async def test_a_killed_forkserver_takes_nobody_with_it(tmp_path: pathlib.Path) -> None:
    """What it has forked runs on, and the next program is forked from a new one."""
    async with staged(tmp_path) as stage:
        first, _ = await stage.fork("first", stage.env)
        killed = psutil.Process(stage.server.pid)
        killed.kill()

        with contextlib.suppress(CannotStart):  # asked before its end was known
            await stage.fork("second", stage.env)
        third, _ = await stage.fork("third", stage.env)

        assert first.returncode is None
        assert third.returncode is None
        assert killed.pid != stage.server.pid


@pytest.mark.usefixtures("adopting")
async def test_another_waits_to_take_the_place_of_a_forkserver(tmp_path: pathlib.Path) -> None:
    """It has imported what the first has, forks as that did, and has another beside itself again."""
    async with staged(tmp_path) as stage:
        await stage.fork("first", stage.env)
        killed = psutil.Process(stage.server.pid)
        (spare,) = _beside(stage.server)
        (tmp_path / "shared.py").unlink()
        killed.kill()

        with contextlib.suppress(CannotStart):  # asked before its end was known
            await stage.fork("second", stage.env)
        third, said = await stage.fork("third", stage.env)

        assert spare == stage.server.pid
        assert ({}, None) == (said["found"], third.returncode)
        (another,) = _beside(stage.server)
        assert another not in (spare, killed.pid)


@pytest.mark.usefixtures("adopting")
async def test_one_that_is_renewed_imports_what_is_there_now(tmp_path: pathlib.Path) -> None:
    """As after `pip install --upgrade`; what was forked before runs on."""
    async with staged(tmp_path) as stage:
        first, before = await stage.fork("first", stage.env)
        old = stage.server.pid
        (tmp_path / "shared.py").write_text('imported_by_all = {"version": "the next"}\n')

        await asyncio.wait_for(stage.server.renew(), DEADLINE_S)
        second, after = await stage.fork("second", stage.env)

        assert ({}, {"version": "the next"}) == (before["found"], after["found"])
        assert (None, None) == (first.returncode, second.returncode)
        assert old != stage.server.pid


def _beside(server: Forkserver) -> list[int]:
    """Return the forkservers that run, but for the one that forks."""
    commands = asked(psutil.Process().children(), psutil.Process.cmdline)
    return [each.pid for each, command in commands if FORKSERVER in command and each.pid != server.pid]


@pytest.mark.usefixtures("adopting")
async def test_a_forkserver_that_dies_over_an_order_says_so(tmp_path: pathlib.Path) -> None:
    """Whoever wanted the program hears how the forkserver ended, and may try again."""
    async with staged(tmp_path) as stage:
        await stage.fork("first", stage.env)
        stopped = psutil.Process(stage.server.pid)
        stopped.suspend()
        order = asyncio.create_task(stage.server.fork("second", "program", stage.env))
        await asyncio.sleep(0)  # it is sent in the task's first step, and nobody reads it

        stopped.kill()

        with pytest.raises(CannotStart, match="the forkserver SIGKILL"):
            await asyncio.wait_for(order, DEADLINE_S)
        again, _ = await stage.fork("again", stage.env)
        assert again.returncode is None


@pytest.mark.usefixtures("adopting")
async def test_a_forkserver_that_is_ended_while_it_starts_ends(tmp_path: pathlib.Path) -> None:
    """Whoever wanted a program hears of it, and so does whoever wants one later."""
    async with staged(tmp_path) as stage:
        order = asyncio.create_task(stage.server.fork("first", "program", stage.env))
        await asyncio.sleep(0)  # it is being started from the task's first step on
        stage.server.end()

        with pytest.raises(CannotStart):
            await asyncio.wait_for(order, DEADLINE_S)
        await asyncio.wait_for(stage.server.wait(), DEADLINE_S)
        with pytest.raises(CannotStart, match="told to end"):
            await stage.fork("second", stage.env)
        assert stage.server.pid is None
        commands = asked(psutil.Process().children(), psutil.Process.cmdline)
        assert [] == [command for _, command in commands if FORKSERVER in command]


def test_a_mesh_outlives_its_forkserver() -> None:
    """The services answer as before, one that ends is started again, and nothing is left behind at the end."""
    with running_mesh() as mesh:
        forkserver, services = _parts(mesh.process.pid)
        forkserver.kill()
        wait_procs([forkserver], DEADLINE_S)

        until_healthy(mesh)
        assert all(service.is_running() for service in services)
        registry = running(mesh.process.pid, "services.registry")
        address = f"unix:{registry.environ()['AGENTMESH_SOCKETS_DIR']}/registry.sock"
        registry.kill()
        wait_procs([registry], DEADLINE_S)
        asyncio.run(asyncio.wait_for(opening.until_healthy("registry", "grpc", address), DEADLINE_S))
        assert [] == list(mesh.client.exposes())
        assert "registry ended (SIGKILL): starting it again" in mesh.log()
        everybody = psutil.Process(mesh.process.pid).children(recursive=True)

        mesh.process.send_signal(signal.SIGTERM)

        assert 0 == mesh.process.wait(DEADLINE_S)
        assert [] == [process for process in everybody if not is_gone(process)]


def test_a_forkserver_that_is_killed_at_the_start_holds_nothing_up(tmp_path: pathlib.Path) -> None:
    """Who was to be forked is started again, the log says why, and the mesh gets ready."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    (tmp_path / "sitecustomize.py").write_text(HOLD.format(module=FORKSERVER, gate=str(gate)))
    command = [sys.executable, "-P", "-m", "agentmesh.cli", "up", "--port", "0", "--data-dir", str(tmp_path / "data")]
    with (tmp_path / "log").open("w+") as log:
        env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=env) as process:
            os.kill(_held(process, gate), signal.SIGKILL)
            assert process.stdout is not None

            assert process.stdout.readline().startswith("agentmesh ready http://")

            process.send_signal(signal.SIGTERM)
            assert 0 == process.wait(DEADLINE_S)
        log.seek(0)
        assert "ended (the forkserver SIGKILL): starting it again in 0.1 s" in log.read()


def _held(mesh: "subprocess.Popen[str]", gate: pathlib.Path) -> int:
    """Wait for the forkserver that stands at the gate, and let no other stand there; return its process."""
    while True:
        assert mesh.poll() is None
        with contextlib.suppress(OSError):  # nobody is there yet
            os.close(os.open(gate, os.O_WRONLY | os.O_NONBLOCK))
            break
    gate.unlink()
    return int(gate.with_suffix(".pid").read_text())


def _parts(supervisor: int) -> tuple[psutil.Process, list[psutil.Process]]:
    """Return the forkserver of a mesh, and the other children of its supervisor."""
    forkserver = running(supervisor, FORKSERVER)
    return forkserver, [child for child in psutil.Process(supervisor).children() if child != forkserver]
