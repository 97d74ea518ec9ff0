"""A mesh whose services keep their state in one PostgreSQL does what every mesh does."""

import pathlib

from tests.mesh_wide import meshes
from tests.servers.postgresql import Postgres


def test_a_mesh_runs_on_postgresql(postgres_server: Postgres, tmp_path: pathlib.Path) -> None:
    """Each service has a schema; nothing of their state is in the data folder, and it is there after a restart."""
    url = postgres_server.fresh()
    env = {"AGENTMESH_DATABASE_URL": url}
    with meshes.running(tmp_path, env=env) as mesh:
        mesh.deploy("noop", "examples.noop.app:fast_app")
        job = mesh.client.run("noop", {})
        assert job.succeeded
        assert not list(mesh.data_dir.rglob("*.db"))
    with meshes.running(tmp_path, env=env) as mesh:
        assert mesh.client.job(job.id).succeeded
        assert mesh.client.run("noop", {}).succeeded

    database = url.rpartition("/")[2].partition("?")[0]
    found = postgres_server.sql("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'agentmesh%' ORDER BY 1", database)
    expected = [f"agentmesh_{service}" for service in ("auth", "ledger", "payments", "registry", "runner")]
    assert expected == found.split("\n")
