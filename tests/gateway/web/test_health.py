"""What /health says of a cluster, whose standing is a file in the mesh's data folder."""

import pathlib

from agentmesh.cluster.standing import Standing
from gateway.config import Config
from gateway.web.health import Health


async def test_a_cluster_that_does_not_answer_degrades_a_mesh(tmp_path: pathlib.Path) -> None:
    """Which serves on; and all is well once it answers."""
    health = Health(Config(data_dir=tmp_path))
    none = (await health.report())[1]
    standing = Standing(tmp_path, "127.0.0.1:6379")
    standing.waits("app-1", "Ray makes its actor")
    away = await health.report()
    standing.is_there()
    standing.lives("app-1")
    there = (await health.report())[1]

    assert ("ok", None) == (none["status"], none["cluster"])
    assert (True, "degraded") == (away[0], away[1]["status"])
    assert {"reached": False, "hosts": 0, "ready": 0, "pending": ["Ray makes its actor"]} == away[1]["cluster"]
    assert "ok" == there["status"]
    assert {"reached": True, "hosts": 1, "ready": 0, "pending": []} == there["cluster"]
