"""What jobs say is on disk, not in anybody's memory."""

import contextlib
import json
from collections import defaultdict

import httpx
import psutil
import pytest

from agentmesh.testing import Mesh
from tests.families import asked, family
from tests.mesh_wide.panel import Panel

MEGABYTES = 150
GROWTH_MB = 120
"""Of one process: less than is said, with room for what is on its way."""
READERS = 10


@pytest.mark.timeout(600)  # much is said, which takes a busy machine minutes
def test_output_is_in_nobodys_memory(mesh: Mesh, admin: Panel) -> None:
    """Neither the host, the runner nor the gateway grows with it, though many watch and none of them reads."""
    admin.deploy({"loud": "tests.apps.loud:app"})
    before = resident(mesh)
    job = mesh.client.create_job("loud", {"megabytes": MEGABYTES})
    with contextlib.ExitStack() as stack:
        headers = {"KODOSUMI_API_KEY": admin.token}
        http = stack.enter_context(httpx.Client(base_url=mesh.url, headers=headers, timeout=60))
        for _ in range(READERS):
            stack.enter_context(http.stream("GET", f"/outputs/stream/{job.id}"))
        largest: dict[int, int] = defaultdict(int)
        for event in mesh.client.watch(job.name):
            if event.seq % 2000 == 0:
                for pid, megabytes in resident(mesh).items():
                    largest[pid] = max(largest[pid], megabytes)
        ended = mesh.client.job(job.name)

    assert ended.succeeded, ended.error
    assert ended.last_seq > 1000 * MEGABYTES
    assert {"dict": {"megabytes": MEGABYTES}} == json.loads(json.dumps(ended.result))
    grown = {pid: megabytes - before.get(pid, 0) for pid, megabytes in largest.items() if pid in before}
    assert grown
    assert max(grown.values()) < GROWTH_MB, (grown, before)


def resident(mesh: Mesh) -> dict[int, int]:
    """Return how much memory each process of a mesh has, in MB."""
    shown = asked(family(mesh.process.pid)[1:], psutil.Process.memory_info)
    return {process.pid: memory.rss >> 20 for process, memory in shown}
