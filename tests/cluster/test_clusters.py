"""A mesh whose hosts are on a cluster that others run: one cluster for all of this."""

import pathlib
from collections.abc import Iterator

import pytest

from agentmesh.testing import Mesh, running_mesh
from tests.cluster.gates import let_through, waiting
from tests.cluster.raylets import Cluster, cluster

READY_S = 90.0
PLACED = "tests.runner.samples.placed:app"

pytestmark = [pytest.mark.xdist_group("ray-cluster"), pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def rays() -> Iterator[Cluster]:
    """Run a cluster with one node."""
    with cluster() as found:
        yield found


@pytest.fixture(scope="module")
def mesh(rays: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """Run a mesh on it."""
    data_dir = tmp_path_factory.mktemp("on-cluster")
    with running_mesh(
        data_dir=data_dir, env={**rays.settings, "AGENTMESH_RAY_PLACE_S": "30"}, timeout_s=READY_S
    ) as mesh:
        yield mesh


def boot(mesh: Mesh, name: str, bootstrap: str) -> list[str]:
    """Expose an app and boot; return what went wrong with it.  One that does not run is not tried at other boots."""
    mesh.client.save_expose(name, bootstrap)
    steps = list(mesh.client.boot())
    wrong = [step.message for step in steps if step.kind in ("error", "warning") and step.expose == name]
    if wrong:
        mesh.client.delete_expose(name)
    return wrong


def test_hosts_are_found_again_after_the_mesh_was_killed(rays: Cluster, tmp_path: pathlib.Path) -> None:
    """By name: a job goes on in them, none is there twice, and those of a mesh that is ended properly end with it."""
    data_dir, gates = tmp_path / "data", tmp_path / "gates"
    gates.mkdir()
    with running_mesh(data_dir=data_dir, env=rays.settings, timeout_s=READY_S) as mesh:
        assert [] == boot(mesh, "placed", f"import_path: {PLACED}\npaths: {{read: [{gates}]}}\n")
        first = mesh.client.run("placed", {}).result
        job = waiting(mesh, "placed", gates / "gate")
        before = rays.actors()
        mesh.process.kill()
        mesh.process.wait(30)

    assert before == rays.actors()
    with running_mesh(data_dir=data_dir, env=rays.settings, timeout_s=READY_S) as mesh:
        with (gates / "gate").open("w"):  # the job comes to it, or is there
            pass
        assert first == mesh.client.wait(job.name).result
        assert first == mesh.client.run("placed", {}).result
        assert before == rays.actors()
        namespaces = set(before.values())

    assert not [name for name, namespace in rays.actors().items() if namespace in namespaces]


def test_a_boot_says_what_no_node_has(mesh: Mesh) -> None:
    """Within the deadline, as a failed step."""
    bootstrap = f"import_path: {PLACED}\ndeployments:\n- name: a\n  ray_actor_options:\n    resources: {{moon: 1}}\n"
    wrong = boot(mesh, "moon", bootstrap)

    assert ["no host for it could be placed: no node of the cluster can take a host that asks for 1 moon"] == [
        message[: message.index(": the most")] for message in wrong
    ]


def test_a_boot_has_rays_words_for_an_environment_that_cannot_be_made(mesh: Mesh) -> None:
    """Those of what Ray has tried: here a download, elsewhere an installer."""
    modules = "https://127.0.0.1:9/nothing.zip"
    wrong = boot(mesh, "modules", f"import_path: {PLACED}\nruntime_env:\n  py_modules: [{modules}]\n")

    assert 1 == len(wrong)
    assert "Failed to set up runtime environment" in wrong[0]
    assert "preinstalled on all nodes" in wrong[0]


def test_a_lost_node_ends_its_jobs_and_its_hosts_are_placed_elsewhere(
    rays: Cluster, mesh: Mesh, tmp_path: pathlib.Path
) -> None:
    """A job ends within its lease, or is tried again where it may be; and the app serves again."""
    node = rays.add(side=1)
    deployments = "deployments:\n- name: a\n  ray_actor_options:\n    resources: {side: 1}\n"
    assert [] == boot(mesh, "side", f"import_path: {PLACED}\npaths: {{read: [{tmp_path}]}}\n{deployments}")
    job, gate = waiting(mesh, "side", tmp_path / "gate"), tmp_path / "another"
    another = waiting(mesh, "side", gate, retries=2)
    rays.kill(node)
    rays.add(side=1)

    assert "failed" == mesh.client.wait(job.name).state
    another = let_through(mesh, another, gate)
    assert ("succeeded", 2) == (another.state, another.attempt)
    assert mesh.client.run("side", {}).succeeded
