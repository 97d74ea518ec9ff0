"""Clients that do not read: they cost kilobytes, and nobody's time."""

import asyncio
import contextlib
import json
import pathlib
import socket
from collections.abc import AsyncIterator

import grpc
import httpx
import psutil
import pytest
import pytest_asyncio
from agentmesh_protos.runner.v1 import job_pb2, job_pb2_grpc

from tests.families import asked
from tests.gateway import stack
from tests.gateway.stack import DEADLINE_S, Edge, Panel, until_healthy
from tests.sse import without_alive

pytestmark = pytest.mark.asyncio(loop_scope="module")

READERS = 150
SIFTING = 20
"""Readers of a stream that leaves the log out: the gateway reads thirty megabytes for each, as no client's window ends
it, and a slow machine is busy with 150 of them for longer than a call may take.  Kept, it would be too much as well."""
BYTES_EACH_MAX = 1_500_000
"""Of Envoy, gateway and runner together.  With gRPC's own idea of buffers it was six million."""
_UPGRADE = (
    "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
    "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def edge(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Edge]:
    """A mesh of this module's own: its memory is looked at."""
    async with stack.edge(tmp_path_factory.mktemp("readers")) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def long_log(edge: Edge) -> str:
    """A job whose log has thirty megabytes."""
    panel = Panel(edge)
    assert (await panel.save(name="outputs", bootstrap="import_path: tests.apps.outputs:app")).status_code == 201
    assert "✔ Boot completed" in (await panel.call("POST", "/boot/")).text
    job = str((await panel.call("POST", "/-/outputs/long-log", json={})).json()["result"])
    async with asyncio.timeout(DEADLINE_S):
        await panel.call("GET", f"/outputs/stream/{job}")
    return job


@contextlib.asynccontextmanager
async def idle_readers(edge: Edge, path: str, count: int, more: str = "", body: bytes = b"") -> AsyncIterator[None]:
    """Have clients ask for a stream and read nothing of it but its first bytes."""
    loop = asyncio.get_running_loop()
    key = edge.operator["KODOSUMI_API_KEY"]
    head = f"{path} HTTP/1.1\r\nhost: {edge.address}\r\nKODOSUMI_API_KEY: {key}\r\n{more}\r\n"
    request = (f"POST {head}" if body else f"GET {head}").encode() + body
    async with contextlib.AsyncExitStack() as exits:
        sockets = []
        for _ in range(count):
            client = exits.enter_context(socket.socket())
            client.setblocking(False)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await loop.sock_connect(client, (edge.config.host, edge.config.port))
            await loop.sock_sendall(client, request)
            sockets.append(client)
        async with asyncio.timeout(DEADLINE_S):
            heads = await asyncio.gather(*(loop.sock_recv(client, 12) for client in sockets))
        assert {heads[0]} == set(heads)
        assert heads[0] in (b"HTTP/1.1 200", b"HTTP/1.1 101")
        yield


async def answers(edge: Edge, job: str) -> list[int]:
    """Return what status, launch, sign-in, the typed API and a page answer, once the mesh is healthy as well."""
    panel = Panel(edge)
    sent = [
        panel.call("GET", f"/outputs/status/{job}"),
        panel.call("POST", "/-/outputs/echo", json={}),
        edge.http.post("/api/login", json={"name": "admin", "password": "admin"}),
        panel.call("GET", f"/mesh/v1/jobs/{job}"),
        panel.call("GET", "/admin/flow"),
    ]
    async with asyncio.timeout(DEADLINE_S):
        found: list[httpx.Response] = await asyncio.gather(*sent)
        await until_healthy(edge.http)
    edge.http.cookies.clear()
    return [answer.status_code for answer in found]


def memory() -> int:
    """Return the bytes of this process, in which the services are, and of its Envoy."""
    me = psutil.Process()
    edges = [child for child, name in asked(me.children(), psutil.Process.name) if "envoy" in name]
    assert edges
    return sum(process.memory_info().rss for process in (me, *edges))


@pytest.mark.parametrize(
    ("path", "readers", "more"),
    [
        ("/outputs/stream/{}", READERS, ""),
        ("/outputs/main/{}", SIFTING, ""),
        ("/outputs/stdio/{}?raw", READERS, ""),
        ("/mesh/v1/jobs/{}:watch", READERS, ""),
        ("/mesh/v1/jobs/{}:watch", READERS, _UPGRADE),
    ],
)
async def test_who_does_not_read_stops_nobody(edge: Edge, long_log: str, path: str, readers: int, more: str) -> None:
    """Ten used to be enough; what these cost is bounded."""
    before = memory()
    async with idle_readers(edge, path.format(long_log), readers, more):
        found = await answers(edge, long_log)
        grown = memory() - before

    assert [200] * 5 == found
    assert grown < READERS * BYTES_EACH_MAX


async def test_watchers_in_json_that_do_not_read_stop_nobody(edge: Edge, long_log: str) -> None:
    """Of Connect: the gateway takes no more of the service than it has sent on."""
    asked = json.dumps({"name": f"jobs/{long_log}"}).encode()
    body = b"\0" + len(asked).to_bytes(4, "big") + asked
    more = f"content-type: application/connect+json\r\ncontent-length: {len(body)}\r\n"
    before = memory()
    async with idle_readers(edge, "/mesh.runner.v1.JobService/WatchJob", READERS, more, body):
        found = await answers(edge, long_log)
        grown = memory() - before

    assert [200] * 5 == found
    assert grown < READERS * BYTES_EACH_MAX


async def test_grpc_watchers_that_do_not_read_stop_nobody(edge: Edge, long_log: str) -> None:
    """On connections of their own, and on one that they share."""
    key = edge.operator["KODOSUMI_API_KEY"]
    async with contextlib.AsyncExitStack() as exits:
        channels = [
            await exits.enter_async_context(
                grpc.aio.insecure_channel(edge.address, options=[("grpc.use_local_subchannel_pool", 1)])
            )
            for _ in range(10)
        ]
        calls = [
            job_pb2_grpc.JobServiceStub(channel).WatchJob(
                job_pb2.WatchJobRequest(name=f"jobs/{long_log}"), metadata=(("kodosumi_api_key", key),)
            )
            for channel in channels
            for _ in range(10)
        ]
        async with asyncio.timeout(DEADLINE_S):
            firsts = await asyncio.gather(*(call.read() for call in calls))
            found = await answers(edge, long_log)
        for call in calls:
            call.cancel()

    assert all(first.events for first in firsts)
    assert [200] * 5 == found


async def test_who_reads_slowly_gets_all_of_it(edge: Edge, long_log: str, tmp_path: pathlib.Path) -> None:
    """Small windows and pieces change nothing in what arrives."""
    async with edge.http.stream("GET", f"/outputs/stream/{long_log}", headers=edge.operator) as response:
        text = without_alive("".join([chunk async for chunk in response.aiter_text()]))
    ids = [int(line[4:]) for line in text.split("\r\n") if line.startswith("id: ")]

    assert [*range(1, len(ids)), 0] == ids
    assert len(ids) > 30_000
