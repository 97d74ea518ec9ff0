"""Many who follow one job, and one who does not listen."""

import asyncio
import socket

import httpx
import pytest

from agentmesh.testing import Mesh
from tests.mesh_wide.panel import Panel, parse_sse

APPS = {"throughput": "examples.throughput.app:fast_app"}


@pytest.fixture(scope="module", autouse=True)
def _deployed(admin: Panel) -> None:
    admin.deploy(APPS)


async def test_two_hundred_watchers(mesh: Mesh, admin: Panel) -> None:
    """Two hundred clients follow one job at the same time, and all see the same."""
    fid = await asyncio.to_thread(admin.launch, "throughput", events=200, rate=100)
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    headers = {"KODOSUMI_API_KEY": admin.token}
    async with httpx.AsyncClient(base_url=mesh.url, headers=headers, timeout=60, limits=limits) as client:
        answers = await asyncio.gather(*(client.get(f"/outputs/stream/{fid}") for _ in range(200)))
    assert {answer.status_code for answer in answers} == {200}
    seen = {tuple(event for event in parse_sse(answer.text) if event.id) for answer in answers}
    assert len(seen) == 1
    events = seen.pop()
    assert [event.id for event in events] == list(range(1, len(events) + 1))
    assert sum(event.event == "result" for event in events) == 200


def test_a_watcher_that_never_reads(mesh: Mesh, admin: Panel) -> None:
    """A client that opens a stream and does not read holds up neither the job nor anybody else."""
    fid = admin.launch("throughput", events=3000, rate=0, size=2000)
    url = httpx.URL(mesh.url)
    with socket.create_connection((url.host, url.port or 80)) as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        request = f"GET /outputs/stream/{fid} HTTP/1.1\r\nhost: {url.host}\r\nKODOSUMI_API_KEY: {admin.token}\r\n\r\n"
        lazy.sendall(request.encode())
        events = admin.stream(fid)
        assert sum(event.event == "result" for event in events) == 3000
        assert events[-1].payload == "finished"
        admin.until_healthy()
