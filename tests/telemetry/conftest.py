"""One mesh that tells a collector everything, for all tests of this folder."""

import pathlib
from collections.abc import Iterator

import pytest

from agentmesh.testing import Mesh
from gateway.dialects import DIALECTS
from gateway.edge import contract, prefixes
from tests.mesh_wide import meshes
from tests.telemetry.collector import Collector, collecting

_HERE = pathlib.Path(__file__).parent


@pytest.hookimpl(tryfirst=True)  # before xdist looks for groups, though pytest be given this folder
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of this folder to one worker."""
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("telemetry"))


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    """Return a collector."""
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="session")
def mesh(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[Mesh]:
    """Return a mesh whose every request is traced."""
    env = {
        "AGENTMESH_OTLP_ENDPOINT": collector.url,
        "AGENTMESH_OTLP_HEADERS": "x-tenant=bakery",
        "AGENTMESH_TRACES_RATIO": "1",
        "AGENTMESH_METRICS": "on",
    }
    with meshes.running(tmp_path_factory.mktemp("telemetry"), env=env) as mesh:
        mesh.deploy("steps", "tests.telemetry.app:app")
        yield mesh


def surfaces() -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yield requests that each part of the mesh answers: method, path, headers."""
    owned = prefixes.of_dialects(DIALECTS, contract.services(contract.descriptors()))
    for dialect in DIALECTS:
        for path in (*dialect.document_paths, *(f"{prefix.rstrip('/')}/x" for prefix in owned[dialect.name])):
            yield "GET", path, {}
    yield from (("GET", path, {}) for path in ("/", "/health", "/metrics", "/flow", "/mesh/v1/jobs", "/nowhere"))
    yield "POST", "/login", {}
    yield "DELETE", "/health", {}
    yield "GET", "/health", {"host": "elsewhere.example.com"}
    yield "POST", "/mesh/v1/jobs", {"content-encoding": "br"}
    yield "POST", "/mesh/v1/jobs", {"content-type": "application/json", "authorization": "Bearer nonsense"}
