"""Two tenants of the mesh."""

from collections.abc import Iterator

import pytest

from agentmesh.testing import Mesh
from tests.mesh_wide.panel import Panel
from tests.mesh_wide.tenants.belongings import Belongings, furnished


@pytest.fixture(scope="session")
def ada(mesh: Mesh, admin: Panel) -> Iterator[Belongings]:
    """Return a tenant with one of everything."""
    with furnished(mesh, admin) as belongings:
        yield belongings


@pytest.fixture(scope="session")
def ben(mesh: Mesh, admin: Panel) -> Iterator[Belongings]:
    """Return another."""
    with furnished(mesh, admin) as belongings:
        yield belongings
