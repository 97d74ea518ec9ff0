"""The head of a cluster that others run is lost, and another is there in its place."""

import pathlib
import time

import httpx
import pytest

from agentmesh.testing import Mesh, running_mesh
from tests.cluster.gates import let_through, waiting
from tests.cluster.raylets import cluster
from tests.cluster.test_clusters import PLACED, READY_S, boot

WITHIN_S = 90.0

pytestmark = [pytest.mark.xdist_group("ray-cluster"), pytest.mark.timeout(600)]


def reached(mesh: Mesh) -> bool:
    """Return whether the mesh says that it reaches the cluster."""
    return bool(httpx.get(f"{mesh.url}/health", timeout=WITHIN_S).json()["cluster"]["reached"])


@pytest.mark.parametrize("seen", [False, True])
def test_a_head_that_is_lost_and_comes_back_costs_attempts_and_no_more(tmp_path: pathlib.Path, seen: bool) -> None:
    """Whether the mesh has seen that it was away: jobs end or are tried again, and hosts are placed on the new one."""
    with cluster() as rays, running_mesh(data_dir=tmp_path / "data", env=rays.settings, timeout_s=READY_S) as mesh:
        gates = tmp_path / "gates"
        gates.mkdir()
        assert [] == boot(mesh, "placed", f"import_path: {PLACED}\npaths: {{read: [{gates}]}}\n")
        ends, lasts = (waiting(mesh, "placed", gates / f"{retries}", retries=retries) for retries in (None, 2))
        rays.lose_head()
        until = time.monotonic() + WITHIN_S
        while seen and reached(mesh):
            assert time.monotonic() < until
            time.sleep(0.2)
        rays.begin_head()

        assert "failed" == mesh.client.wait(ends.name).state
        lasts = let_through(mesh, lasts, gates / "2")
        assert ("succeeded", 2) == (lasts.state, lasts.attempt)
        assert mesh.client.run("placed", {}).succeeded
        assert reached(mesh)
        assert rays.actors()
