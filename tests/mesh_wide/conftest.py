"""One real mesh for all tests of this folder.

Under pytest-xdist the tests share a worker, and so the mesh, with `--dist loadgroup` (as `make test` has it); with
any other distribution each worker has a mesh of its own.
"""

import pathlib
from collections.abc import Iterator

import httpx
import pytest

from agentmesh.testing import Mesh
from tests.mesh_wide import meshes
from tests.mesh_wide.panel import Panel

_HERE = pathlib.Path(__file__).parent


@pytest.hookimpl(tryfirst=True)  # before xdist looks for groups, though pytest be given this folder
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of this folder to one worker, and time for a mesh to start."""
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("mesh"))


@pytest.fixture(scope="session")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """Return a running mesh."""
    with meshes.running(tmp_path_factory.mktemp("mesh"), examples=True) as mesh:
        yield mesh


@pytest.fixture(scope="session")
def admin(mesh: Mesh) -> Iterator[Panel]:
    """Return the operator, signed in."""
    panel = Panel(mesh.url)
    yield panel
    panel.close()


@pytest.fixture(scope="session")
def nobody(mesh: Mesh) -> Iterator[httpx.Client]:
    """Return a client that is not signed in."""
    with httpx.Client(base_url=mesh.url, timeout=30) as client:
        yield client


@pytest.fixture(scope="session")
def stranger(mesh: Mesh, admin: Panel) -> Iterator[Panel]:
    """Return a user without rights, signed in."""
    role = {"name": "stranger", "email": "stranger@example.com", "password": "a stranger's password"}
    answer = admin.http.post("/role/", json=role)
    assert answer.status_code in (201, 409), answer.text
    panel = Panel(mesh.url, role["name"], role["password"])
    yield panel
    panel.close()


@pytest.fixture(scope="module")
def private_job(admin: Panel) -> str:
    """Return a finished job of the operator."""
    admin.deploy({"formats": "tests.apps.formats:app"})
    fid = admin.launch("formats", "text")
    admin.wait(fid)
    return fid
