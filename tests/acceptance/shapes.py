"""The shapes that a mesh may have: what it stands on, and how many there are of each service."""

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterator, Mapping

from agentmesh.testing import Mesh, running_mesh
from tests.mesh_wide import meshes
from tests.meshkit.redis_server import running_redis
from tests.servers.postgresql import running_postgres

START_S = 120.0
QUICK = {"AGENTMESH_LEDGER_WORKER_DELAY_S": "0.05", "AGENTMESH_LEDGER_CONFIRM_DELAY_S": "0.1"}
"""Of the ledger: a real chain takes minutes."""
ON_RAY = {"AGENTMESH_RAY_CPUS": "4", "AGENTMESH_RAY_MEMORY": str(80 * 1024 * 1024)}
"""Ray starts a worker for each CPU; what nobody uses costs nothing."""

Shape = Callable[[pathlib.Path], contextlib.AbstractContextManager[Mesh]]
"""Runs a mesh of this shape, whose data are in a folder, for the length of a block."""


@contextlib.contextmanager
def embedded(folder: pathlib.Path) -> Iterator[Mesh]:
    """One process of each service, and SQLite: a laptop."""
    with running_mesh(data_dir=folder, cwd=meshes.ROOT, env=QUICK, timeout_s=START_S) as mesh:
        yield mesh


@contextlib.contextmanager
def replicated(folder: pathlib.Path) -> Iterator[Mesh]:
    """Two processes of each service, with PostgreSQL and Redis."""
    with running_postgres() as postgres, running_redis() as redis:
        env: Mapping[str, str] = {
            **QUICK,
            "AGENTMESH_DATABASE_URL": postgres.fresh(),
            "AGENTMESH_REDIS_URL": redis.url,
            "AGENTMESH_REPLICAS": "2",
        }
        with running_mesh(data_dir=folder, cwd=meshes.ROOT, env=env, timeout_s=START_S) as mesh:
            yield mesh


@contextlib.contextmanager
def on_ray(folder: pathlib.Path) -> Iterator[Mesh]:
    """Hosts on a Ray of the mesh's own."""
    # Ray's sockets have long names of their own.
    with tempfile.TemporaryDirectory(prefix="am-ray-", ignore_cleanup_errors=True) as rays:
        env = {**QUICK, **ON_RAY, "RAY_TMPDIR": rays}
        with running_mesh(options=["--ray"], data_dir=folder, cwd=meshes.ROOT, env=env, timeout_s=START_S) as mesh:
            yield mesh


SHAPES: dict[str, Shape] = {"embedded": embedded, "ray": on_ray, "replicas": replicated}
"""By name; `AGENTMESH_TEST_SHAPES` may name some of them."""


def chosen() -> list[str]:
    """Return the names of the shapes that are to be tried."""
    said = os.environ.get("AGENTMESH_TEST_SHAPES", "")
    return said.split(",") if said else list(SHAPES)
