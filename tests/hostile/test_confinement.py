"""What a job may not reach: the mesh's folder, its neighbours, and the processes that run it."""

import dataclasses
import json
import os
import pathlib
import socket
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from agentmesh_protos.runner.v1 import app_pb2, job_pb2

from agentmesh.host.confine import Settings, survey
from tests.host.stage import Stage, stage

GIVEN = {measure.name for measure in survey(Settings.of({})) if measure.given}
pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif("files" not in GIVEN, reason="there is no Landlock here"),
]
FLOWS = "tests.hostile.prying:"
ORDINARY = 61_000
"""A user that is nobody's, if tests are root's."""
REFUSED = {"EACCES", "EXDEV", "EPERM"}


@dataclasses.dataclass
class Den:
    """A host, a data folder that is not for its jobs, and a job that waits."""

    host: Stage
    data: pathlib.Path
    neighbour: str
    pid: int
    parent: int
    folder: str

    async def run(self, flow: str, *, shared: bool = False, **inputs: Any) -> Any:
        """Run a flow to its end; return what it returned."""
        job = self.host.run(FLOWS + flow, shared=shared, inputs_json=json.dumps(inputs))
        outcome = await self.host.end(job)
        assert (job_pb2.JOB_STATE_SUCCEEDED, "") == (outcome.state, outcome.error)
        return next(iter(json.loads(outcome.result_json).values()))


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=[0, ORDINARY], ids=["ours", "ordinary"])
async def den(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Den]:
    """Run a host beside a data folder, as we are and as an ordinary user."""
    data = tmp_path_factory.mktemp("data")
    for name in ("mesh.secret", "runner.db"):
        (data / name).write_text("not for jobs")
    if request.param and os.geteuid() == 0:
        for path in (data, *data.iterdir()):
            os.chown(path, request.param, request.param)
    async with stage(FLOWS + "app", user=request.param, AGENTMESH_PRIVATE_DIRS=str(data)) as host:
        job = host.run(f"{FLOWS}whereabouts")
        pid, parent, folder = (await host.until(lambda: host.events(job, "debug")))[0].split()
        await host.until(lambda: host.locks(job))
        yield Den(host, data, job, int(pid), int(parent), folder)
        host.answer(job, host.locks(job)[0].lock_id, "{}")
        outcome = await host.end(job)
        assert "a neighbour's" in outcome.result_json


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("name", ["mesh.secret", "runner.db"])
async def test_nothing_of_the_data_folder_is_for_jobs(den: Den, name: str, shared: bool) -> None:
    """Not to read, not to write, by no way."""
    found = await den.run("pry", shared=shared, path=str(den.data / name))

    assert set(found.values()) <= REFUSED, found
    assert ["mesh.secret", "runner.db"] == sorted(os.listdir(den.data))
    assert "not for jobs" == (den.data / name).read_text()


@pytest.mark.parametrize("shared", [False, True])
async def test_a_neighbours_folder_is_no_others(den: Den, shared: bool) -> None:
    """A job sees its own."""
    found = await den.run("pry", shared=shared, path=f"{den.folder}/mine")

    assert set(found.values()) <= REFUSED, found


@pytest.mark.parametrize("whose", ["runner", "host", "zygote", "neighbour"])
async def test_processes_of_others_are_out_of_reach(den: Den, whose: str) -> None:
    """Their memory, their environment, their files, and their lives."""
    pids = {"runner": os.getpid(), "host": den.host.process.pid, "zygote": den.parent, "neighbour": den.pid}
    found = await den.run("pry_into", pid=pids[whose])

    # Which numbers are open can be seen by who may read all; what they are cannot.
    assert {"EACCES", "EPERM"} >= {found[name] for name in found if name not in ("descriptors", "affinity", "nice")}, (
        found
    )


@pytest.mark.skipif("calls" not in GIVEN, reason="there is no seccomp here")
@pytest.mark.parametrize("shared", [False, True])
async def test_the_kernel_has_no_way_out(den: Den, shared: bool) -> None:
    """What debuggers, containers and administrators use fails."""
    found = await den.run("calls", shared=shared)

    assert {"EPERM", "ENOSYS"} == set(found.values()), found
    assert ["clone3"] == [name for name in found if found[name] == "ENOSYS"]


async def test_a_job_has_no_rights_to_lose(den: Den) -> None:
    """It has nobody's user if root has started the mesh, and cannot get another."""
    found = await den.run("who")

    assert ("1", "2") == (found["NoNewPrivs"], found["Seccomp"])
    assert int(found["CapEff"], 16) | int(found["CapPrm"], 16) in (0, 1 << 2)
    if "user" in GIVEN and os.stat(f"/proc/{den.host.process.pid}").st_uid == 0:
        assert int(found["Uid"].split()[0]) >= 2_000_000_000
        assert [""] == found["Groups"].split(" ")[:1]


async def test_nothing_of_its_makers_is_open_in_a_job(den: Den) -> None:
    """It has its standard streams, its channel, and what its loop has."""
    found = await den.run("descriptors")

    expected = ["/dev/null", "anon_inode", "pipe", "pipe", "socket", "socket", "socket"]
    assert expected == [each["str"] for each in found]


@pytest.mark.skipif("signals" not in GIVEN or sys.platform != "linux", reason="there are no scopes here")
async def test_abstract_sockets_of_others_are_out_of_reach(den: Den) -> None:
    """They have no file that could be kept from it."""
    name = f"\0agentmesh-{uuid.uuid4()}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name)
        listener.listen()
        found = await den.run("reach", addresses=[name])

    assert {name: "EPERM"} == found


async def test_a_data_folder_among_the_apps_files_is_kept_out(tmp_path: pathlib.Path) -> None:
    """As it is where a mesh is started beside its apps: what lies beside the folder can be imported."""
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("from tests.hostile.prying import app, pry\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mesh.secret").write_text("not for jobs")
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    private = str(tmp_path / "data")
    async with stage("package:app", AGENTMESH_PRIVATE_DIRS=private, PYTHONPATH=path) as host:
        inputs = json.dumps({"path": str(tmp_path / "data" / "mesh.secret")})
        outcome = await host.end(host.run("package:pry", inputs_json=inputs))

    found = json.loads(outcome.result_json)["dict"]
    assert set(found.values()) <= REFUSED, found


async def test_the_folders_of_jobs_among_the_apps_files_are_kept_out(tmp_path: pathlib.Path) -> None:
    """As they are where a mesh is started in a folder that is also TMPDIR."""
    path = os.pathsep.join([*filter(None, sys.path), tempfile.gettempdir()])
    async with stage(FLOWS + "app", PYTHONPATH=path, AGENTMESH_PRIVATE_DIRS=str(tmp_path)) as host:
        waiting = host.run(f"{FLOWS}whereabouts")
        folder = (await host.until(lambda: host.events(waiting, "debug")))[0].split()[2]
        await host.until(lambda: host.locks(waiting))
        outcome = await host.end(host.run(f"{FLOWS}pry", inputs_json=json.dumps({"path": f"{folder}/mine"})))

    found = json.loads(outcome.result_json)["dict"]
    assert set(found.values()) <= REFUSED, found


async def test_an_expose_names_what_else_its_jobs_reach(tmp_path: pathlib.Path) -> None:
    """Folders to read, and folders to write to."""
    for name in ("read", "write"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("text")
    bounds = app_pb2.Bounds(read_paths=[str(tmp_path / "read")], write_paths=[str(tmp_path / "write")])
    async with stage(FLOWS + "app", bounds=bounds, AGENTMESH_UIDS="keep") as host:
        found = []
        for name in ("read", "write"):
            inputs = json.dumps({"path": str(tmp_path / name / "file")})
            outcome = await host.end(host.run(f"{FLOWS}pry", inputs_json=inputs))
            found.append(json.loads(outcome.result_json)["dict"])

    assert ("done", "EACCES", "EACCES") == (found[0]["read"], found[0]["write"], found[0]["make beside"])
    assert ("done", "done", "done") == (found[1]["read"], found[1]["write"], found[1]["make beside"])
