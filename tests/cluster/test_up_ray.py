"""`agentmesh up --ray`, as a person uses it: one mesh on a Ray of its own for all of this."""

import json
import pathlib
import signal
from collections.abc import Iterator

import httpx
import psutil
import pytest

from agentmesh.cli import app
from agentmesh.testing import Mesh, running_mesh
from tests.cluster.gates import let_through, waiting
from tests.ending import wait_procs
from tests.families import asked, family

READY_S = 90.0
END_S = 60.0
# Ray starts a worker for each; what they do not use costs them nothing.
ELSEWHERE = pathlib.Path(__file__).with_name("elsewhere")
RAY = {"AGENTMESH_RAY_CPUS": "4", "AGENTMESH_RAY_MEMORY": str(80 * 1024 * 1024)}

CARRIED = """
import os, pathlib
import pydantic
from agentmesh import ServeAPI

app = ServeAPI()

class Inputs(pydantic.BaseModel):
    pass

@app.flow("/")
async def run(inputs: Inputs) -> dict:
    return {"text": pathlib.Path("here.txt").read_text(), "word": len(os.environ["WORD"])}
"""

pytestmark = [pytest.mark.xdist_group("ray"), pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """Run a mesh whose hosts are on Ray."""
    folder = tmp_path_factory.mktemp("tmp")
    with running_mesh(
        options=["--ray"], env=RAY | {"RAY_TMPDIR": str(folder)}, cwd=ELSEWHERE, timeout_s=READY_S
    ) as mesh:
        mesh.deploy("noop", "examples.noop.app:fast_app")
        yield mesh


def test_a_job_runs_on_ray(mesh: Mesh) -> None:
    """From the front door to a host that an actor has started, which yields to nobody more than the mesh does."""
    job = mesh.client.run("noop", {})

    assert job.succeeded
    assert {psutil.Process(mesh.process.pid).nice()} == {psutil.Process(pid).nice() for pid in _actors(mesh)}


def test_further_hosts_are_forked_from_a_nursery_that_is_there(mesh: Mesh) -> None:
    """Ray makes no actor for them, and no nursery imports anything."""
    before = _actors(mesh)
    mesh.deploy("further", "examples.noop.app:fast_app")

    assert 1 == len(before)
    assert before == _actors(mesh)
    assert mesh.client.run("further", {}).succeeded
    assert mesh.client.run("noop", {}).succeeded


def test_health_and_doctor_say_what_is_on_ray(mesh: Mesh, capsys: pytest.CaptureFixture[str]) -> None:
    """How many hosts to everybody; which, and where, to who has the data."""
    said = httpx.get(f"{mesh.url}/health").json()["cluster"]
    app.run(["doctor", "--json", "--data-dir", str(mesh.data_dir)])
    (ray,) = [each for each in map(json.loads, capsys.readouterr().out.splitlines()) if each["name"] == "ray"]

    assert {"reached", "hosts", "ready", "pending"} == said.keys()
    assert said["reached"]
    assert said["hosts"] >= 2
    assert [] == said["pending"]
    assert ray["given"]
    assert " hosts on 127.0.0.1:" in ray["note"]


def test_a_strangers_app_computes_on_ray(mesh: Mesh) -> None:
    """`ray.remote` finds the mesh's Ray; its workers import what the app does, kodosumi included, and trace."""
    mesh.deploy("prime", "prime.app:fast_app")
    for flow in ("prime", "prime/async"):
        job = mesh.client.run(flow, {"start": "0", "end": "100", "tasks": "3"})

        assert job.succeeded, job.error
        assert {"1": 1, "2": 8, "4": 7, "6": 7, "8": 1} == job.result["dict"]
        said = sorted(event.payload for event in mesh.client.watch(job.name) if event.kind == "debug")
        assert ["11 primes from 0", "6 primes from 68", "8 primes from 34"] == said


def test_a_folder_of_this_machine_is_the_working_directory_of_a_host(mesh: Mesh, tmp_path: pathlib.Path) -> None:
    """Ray takes it to the node, to an actor made for it, which forks no other host; variables come past Ray."""
    before = _actors(mesh)
    (tmp_path / "carried.py").write_text(CARRIED)
    (tmp_path / "here.txt").write_text("brought along")
    env = f"runtime_env:\n  working_dir: {tmp_path}\n  env_vars: {{WORD: said apart}}\n"
    mesh.client.save_expose("carried", f"import_path: carried:app\n{env}")
    wrong = [step.message for step in mesh.client.boot() if step.kind in ("error", "warning")]

    assert [] == wrong
    assert before < _actors(mesh)
    assert {"text": "brought along", "word": 10} == mesh.client.run("carried", {}).result["dict"]


def test_jobs_outlive_a_ray_that_is_lost_where_they_may_be_tried_again(mesh: Mesh, tmp_path: pathlib.Path) -> None:
    """Another Ray is started in its place, and hosts on that; whoever may not be tried again ends at once."""
    mesh.client.save_expose("gated", f"import_path: gated:app\npaths: {{read: [{tmp_path}]}}\n")
    assert [] == [step.message for step in mesh.client.boot() if step.kind in ("error", "warning")]
    ends, lasts = (waiting(mesh, "gated", tmp_path / f"{retries}", retries=retries) for retries in (None, 2))
    (head,) = _of(mesh, "/gcs_server ")
    head.kill()

    assert "failed" == mesh.client.wait(ends.name).state
    lasts = let_through(mesh, lasts, tmp_path / "2")
    assert ("succeeded", 2) == (lasts.state, lasts.attempt)
    assert mesh.client.run("noop", {}).succeeded
    assert httpx.get(f"{mesh.url}/health").json()["cluster"]["reached"]


def test_a_boot_has_the_installers_words_for_packages_that_cannot_be_had(mesh: Mesh, tmp_path: pathlib.Path) -> None:
    """Not only that it took too long: Ray tries once.  No boot after this one: Ray would try again."""
    missing = tmp_path / "nothing-1.0.tar.gz"
    mesh.client.save_expose("lacks", f"import_path: examples.noop.app:fast_app\nruntime_env:\n  pip: ['{missing}']\n")
    wrong = [(step.expose, step.message) for step in mesh.client.boot() if step.kind in ("error", "warning")]

    assert ["lacks"] == [expose for expose, _ in wrong]
    assert "ERROR: Could not install packages due to an OSError: [Errno 2] No such file or directory" in wrong[0][1]


def test_the_end_leaves_no_process(mesh: Mesh) -> None:
    """Ray starts processes in sessions of their own; they go, too.  The last test: nobody has a mesh after this."""
    everybody = _everybody(mesh)
    mesh.process.send_signal(signal.SIGTERM)

    assert 0 == mesh.process.wait(END_S)
    assert [] == wait_procs(everybody, END_S)[1]


def _everybody(mesh: Mesh) -> list[psutil.Process]:
    return family(mesh.process.pid)[1:]


def _actors(mesh: Mesh) -> set[int]:
    """Return the processes of Ray that have hosts."""
    return {each.pid for each in _of(mesh, "HostActor")}


def _of(mesh: Mesh, word: str) -> list[psutil.Process]:
    """Return the processes of a mesh that have a word in their command line."""
    return [each for each, command in asked(_everybody(mesh), psutil.Process.cmdline) if word in " ".join(command)]
