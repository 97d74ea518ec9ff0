"""A mesh whose services wake each other through Redis says when that is lost, goes on, and finds it again."""

import pathlib
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from agentmesh.testing import Mesh
from tests.families import asked, family
from tests.mesh_wide import meshes
from tests.meshkit.redis_server import RedisServer, running_redis

WORD = "a-word-for-redis"
SOON_S = 60.0


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    """A Redis with a password."""
    with running_redis("--requirepass", WORD) as server:
        yield server


@pytest.fixture(scope="module")
def mesh_on_redis(redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """A mesh on it."""
    env = {"AGENTMESH_REDIS_URL": f"unix://:{WORD}@{redis.socket}"}
    with meshes.running(tmp_path_factory.mktemp("redis"), env=env) as mesh:
        mesh.deploy("noop", "examples.noop.app:fast_app")
        yield mesh


def until(mesh: Mesh, status: str) -> dict[str, Any]:
    """Return what /health says once it says this, and that all serve: on a busy machine some are late for a moment."""
    deadline = time.monotonic() + SOON_S
    while True:
        answer = httpx.get(f"{mesh.url}/health", timeout=SOON_S)
        said: dict[str, Any] = answer.json()
        if answer.status_code == 200 and said["status"] == status:
            return said
        assert time.monotonic() < deadline, said
        time.sleep(0.05)


def test_health_says_whether_services_hear_their_replicas(mesh_on_redis: Mesh, redis: RedisServer) -> None:
    """While Redis is lost the mesh is degraded, and does its work."""
    services = {"auth", "registry", "runner", "payments", "ledger"}
    assert dict.fromkeys(services, "SERVING") == until(mesh_on_redis, "ok")["bus"]

    redis.stop()
    said = until(mesh_on_redis, "degraded")
    assert dict.fromkeys(services, "SERVING") == said["services"]
    assert "NOT_SERVING" in said["bus"].values()
    assert mesh_on_redis.client.run("noop", {}).succeeded

    redis.start()
    until(mesh_on_redis, "ok")
    assert mesh_on_redis.client.run("noop", {}).succeeded


def test_the_password_is_in_no_log_and_no_environment(mesh_on_redis: Mesh) -> None:
    """It is handed to those who need it, as every secret is."""
    shown = asked(family(mesh_on_redis.process.pid), lambda each: f"{each.environ()}{each.cmdline()}")
    assert not [said for _, said in shown if WORD in said]
    assert WORD not in mesh_on_redis.log()
    data = pathlib.Path(mesh_on_redis.data_dir)
    assert not [path for path in data.rglob("*") if path.is_file() and WORD.encode() in path.read_bytes()]
