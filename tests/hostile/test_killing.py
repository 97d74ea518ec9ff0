"""Whichever process of a mesh is killed, nothing that a job has started lives on."""

import os
import signal
import sys
import uuid
from collections.abc import Callable, Iterator

import psutil
import pytest

from agentmesh.testing import Mesh, running_mesh
from tests.ending import wait_procs
from tests.host.stage import until
from tests.hostile.test_outliving import left

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="nobody else adopts orphans")


@pytest.fixture(scope="module")
def mesh() -> Iterator[Mesh]:
    """Run a mesh with the app."""
    with running_mesh() as mesh:
        mesh.deploy("outliving", "tests.hostile.outliving:app")
        yield mesh


def start(mesh: Mesh, how: str, path: str = "alone") -> tuple[str, psutil.Process, str]:
    """Start a job that waits; return the name of what it has started, its process, and its home."""
    name = f"outliving-{uuid.uuid4()}"
    job = mesh.client.create_job(f"outliving/{path}", {"how": how, "name": name, "end": "wait"})
    for event in mesh.client.watch(job.name):
        if event.kind == "debug":
            pid, home = event.payload.split(" ")
            return name, psutil.Process(int(pid)), home
    raise AssertionError("the job has ended")


def nursery(process: psutil.Process) -> psutil.Process:
    """Return the nursery above a job's process."""
    return process.parents()[2]


KILLED: dict[str, Callable[[psutil.Process], psutil.Process]] = {
    "the job": lambda job: job,
    "the zygote": lambda job: job.parents()[0],
    "the host": lambda job: job.parents()[1],
    "the nursery": nursery,
}


@pytest.mark.parametrize("who", KILLED)
@pytest.mark.parametrize("path", ["alone", "shared"])
def test_nothing_outlives_a_kill(mesh: Mesh, who: str, path: str) -> None:
    """Of whoever has started it, directly or not; the mesh goes on."""
    name, job, _ = start(mesh, "daemon" if path == "alone" else "popen", path)
    assert 1 == len(left(name))
    KILLED[who](job).kill()
    until(lambda: not left(name))


def test_nothing_outlives_an_undeploy(mesh: Mesh) -> None:
    """Another app takes its place: with the last job the host ends, and all below it."""
    name, process, _ = start(mesh, "daemon")
    host = process.parents()[1]
    everybody = [host, *host.children(recursive=True)]
    mesh.deploy("outliving", "tests.hostile.reading:app")
    for job in mesh.client.jobs():
        if not job.ended:
            mesh.client.cancel(job.name)

    assert [] == left(name)
    assert [] == wait_procs(everybody, timeout=60)[1]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_outlives_the_mesh(number: signal.Signals) -> None:
    """However it ends."""
    with running_mesh() as mesh:
        mesh.deploy("outliving", "tests.hostile.outliving:app")
        name, _, home = start(mesh, "tree")
        everybody = psutil.Process(mesh.process.pid).children(recursive=True)
        os.kill(mesh.process.pid, number)
        until(lambda: not left(name))
        assert [] == wait_procs(everybody, timeout=60)[1]
        mesh.process.wait(60)
        assert number == signal.SIGKILL or not os.path.exists(home)
