"""A job of a whole mesh, as `agentmesh up` starts it: the mesh's folders, sockets and processes are not for it."""

from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import pytest

from agentmesh.host.confine import Settings, survey
from agentmesh.testing import Mesh, running_mesh
from tests.families import family
from tests.mesh_wide.meshes import until_healthy
from tests.mesh_wide.panel import READ_S

GIVEN = {measure.name: measure for measure in survey(Settings.of({}))}
REFUSED = {"EACCES", "EPERM", "EXDEV", "ENOENT"}

pytestmark = pytest.mark.skipif(not GIVEN["files"].given, reason="there is no Landlock here")


@pytest.fixture(scope="module")
def mesh() -> Iterator[Mesh]:
    """Run a mesh with an app that pries."""
    with running_mesh() as mesh:
        mesh.deploy("prying", "tests.hostile.meshed:app")
        yield mesh


def run(mesh: Mesh, **inputs: Any) -> dict[str, str]:
    """Run the flow; return what it tried, and how that went."""
    result: dict[str, str] = mesh.client.run("prying", inputs).result["dict"]
    return result


def processes(mesh: Mesh) -> list[psutil.Process]:
    """Return everything that the mesh has started, and what has started that."""
    return family(mesh.process.pid)


def test_no_file_of_the_data_folder_can_be_read(mesh: Mesh) -> None:
    """Secrets, keys and databases."""
    files = [str(path) for path in mesh.data_dir.rglob("*") if path.is_file()]
    found = run(mesh, files=files)

    assert any(name.endswith(".db") for name in files)
    assert set(found) == set(files)
    assert set(found.values()) <= REFUSED, found


def test_no_process_of_the_mesh_can_be_looked_into_or_ended(mesh: Mesh) -> None:
    """The supervisor, the services, the edge, the nursery, and the hosts of others."""
    pids = [process.pid for process in processes(mesh)]
    found = run(mesh, pids=pids)

    assert len(found) >= 3 * (len(pids) - 1)
    assert set(found.values()) <= {*REFUSED, "ESRCH"}, found
    until_healthy(mesh)


def test_health_says_how_apps_are_confined(mesh: Mesh) -> None:
    """The same as the doctor."""
    said = httpx.get(mesh.url + "/health", timeout=READ_S).json()["isolation"]

    assert "auto" == said["setting"]
    assert {name: measure.given for name, measure in GIVEN.items()} == {
        measure["name"]: measure["given"] for measure in said["measures"]
    }
