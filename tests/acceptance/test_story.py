"""Boot, run, stream, lock, pay, agents: in every shape, and while one replica of each kind is killed."""

import contextlib
import threading
import time
from collections.abc import Iterator

import httpx
import psutil
import pytest

from agentmesh.testing import Mesh
from tests.acceptance.shapes import SHAPES, chosen
from tests.acceptance.story import DEADLINE_S, Story
from tests.ending import wait_procs

VICTIMS = {
    "boot": "services.registry",
    "run": "services.auth",
    "stream": "gateway",
    "lock": "services.runner",
    "pay": "services.ledger",
    "buy": "services.payments",
    "answer": "services.runner",
}
"""Of which service a replica is killed before which step."""
READS = ("/mesh/v1/jobs?pageSize=1", "/mesh/v1/flows", "/flow", "/mesh/v1/agents")

pytestmark = [pytest.mark.xdist_group("acceptance"), pytest.mark.timeout(600)]


@pytest.fixture(scope="module", params=chosen())
def mesh(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """A mesh of each shape."""
    with SHAPES[request.param](tmp_path_factory.mktemp(request.param)) as mesh:
        yield mesh


def test_the_story(mesh: Mesh) -> None:
    """Everything works, in this shape as in any other."""
    with contextlib.closing(Story(mesh)) as story:
        story.tell()


def test_the_story_while_replicas_die(mesh: Mesh) -> None:
    """One of each kind in turn: no read fails, and whoever tries again what was refused has everything once."""
    if not replicas(mesh):
        assert "replicas" not in mesh.data_dir.name, (
            "one of each service: its kills are told by tests.mesh_wide.test_kills"
        )
        return
    killed = []

    def kill(step: str) -> None:
        if module := VICTIMS.get(step):
            victim = until_whole(mesh, module)
            victim.kill()
            wait_procs([victim], timeout=30)
            killed.append(module)

    with reading(mesh) as failures, contextlib.closing(Story(mesh, kill)) as story:
        story.tell()
        until_whole(mesh, "services.runner")
    assert list(VICTIMS.values()) == killed
    assert [] == failures


def replicas(mesh: Mesh) -> dict[str, list[str]]:
    """Return the states of the replicas of each service; nothing if there is one of each."""
    found: dict[str, list[str]] = httpx.get(f"{mesh.url}/health", timeout=30).json()["replicas"]
    return found


def until_whole(mesh: Mesh, module: str) -> psutil.Process:
    """Wait until every replica of every service serves; return one that runs `module`."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        states = replicas(mesh)
        running = processes(mesh, module)
        if {state for each in states.values() for state in each} == {"SERVING"} and len(running) == 2:
            return running[0]
        assert time.monotonic() < deadline, f"{states} {running}\n{mesh.log()[-4000:]}"
        time.sleep(0.1)


def processes(mesh: Mesh, module: str) -> list[psutil.Process]:
    """Return the processes of a mesh that run `python -m module`."""
    found = []
    for process in psutil.Process(mesh.process.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if [word for word in process.cmdline() if word][-2:] == ["-m", module]:
                found.append(process)
    return found


@contextlib.contextmanager
def reading(mesh: Mesh) -> Iterator[list[str]]:
    """Read from the mesh again and again beside the block; yield what did not work."""
    failures: list[str] = []
    stop = threading.Event()

    def read() -> None:
        with httpx.Client(base_url=mesh.url, timeout=DEADLINE_S) as http:
            signed_in = http.post("/api/login", json={"name": "admin", "password": "admin"})
            http.headers["KODOSUMI_API_KEY"] = signed_in.json()["KODOSUMI_API_KEY"]
            number = 0
            while not stop.wait(0.02):
                path = READS[number % len(READS)]
                number += 1
                try:
                    answer = http.get(path)
                except httpx.HTTPError as error:
                    failures.append(f"{path}: {error!r}")
                    continue
                if answer.status_code != 200:
                    failures.append(f"{path}: {answer.status_code} {answer.text[:300]}")

    reader = threading.Thread(target=read, name="reader")
    reader.start()
    try:
        yield failures
    finally:
        stop.set()
        reader.join()
