"""What one client may take: time for a request, memory, sign-ins, streams of a connection."""

import asyncio
import contextlib
import json
import pathlib
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import httpx
import pytest
from agentmesh_protos.auth.v1 import auth_pb2, auth_pb2_grpc
from agentmesh_protos.gateway.v1 import options_pb2

from gateway.config import EdgeConfig
from gateway.dialects import DIALECTS
from gateway.edge import bootstrap, contract
from tests.gateway.stack import DEADLINE_S, Edge, enveloped
from tests.ports import free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")
ADMIN = {"name": "admin", "password": "admin"}
DRIP_S = 0.05
TRIES = 20
"""Of a sign-in until it is refused: many more than come back meanwhile."""
HALF_A_HEAD = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0" + b"\0\0\1\1\0\0\0\0\1\x82"
"""Of HTTP/2: the preface, settings, and the beginning of a block of headers."""


def placed(edge: Edge, **changes: object) -> EdgeConfig:
    """Return the configuration of another Envoy in front of the same mesh."""
    return edge.config.model_copy(update={"port": free_port(), **changes})


async def dripped(config: EdgeConfig, head: bytes, piece: bytes) -> bytes:
    """Send a head at once, and one piece after another until the other side ends it; return what it said."""
    reader, writer = await asyncio.open_connection(config.host, config.port)
    writer.write(head)

    async def drip() -> None:
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(DRIP_S)

    dripping = asyncio.create_task(drip())
    try:
        async with asyncio.timeout(DEADLINE_S):
            return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        dripping.cancel()
        await asyncio.gather(dripping, return_exceptions=True)
        writer.close()


DRIPS: dict[str, tuple[bytes, bytes]] = {
    "a header at a time": (b"GET /health HTTP/1.1\r\nhost: localhost\r\n", b"x-a: b\r\n"),
    "a byte of a header": (b"GET /health HTTP/1.1\r\nhost: localhost\r\nx-a: ", b"b"),
    "one byte": (b"G", b""),
    "a body": (b"POST /api/login HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9999\r\n\r\n", b"a"),
    "chunks": (b"POST /api/login HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
    "for an app": (b"POST /-/raw/x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9999\r\n\r\n", b"a"),
    "half a head of HTTP/2": (HALF_A_HEAD, b""),
    "a byte of it": (HALF_A_HEAD, b"\0\0\1\x09\0\0\0\0\1a"),
}
"""What is sent at once, and what is sent then, again and again."""


async def test_who_sends_a_little_at_a_time_is_ended(edge: Edge, tmp_path: pathlib.Path) -> None:
    """Head or body; whatever trickles in does not make the time longer."""
    config = placed(edge, headers_timeout_s=1.0, request_timeout_s=2.0, idle_timeout_s=2.0)
    async with enveloped(config, edge.jwks_json, tmp_path) as http:
        said = await asyncio.gather(*(dripped(config, *drip) for drip in DRIPS.values()))
        still = await http.get("/favicon.ico")

    for name, answer in zip(DRIPS, said, strict=True):
        assert not answer.startswith(b"HTTP/1.1") or answer.split(b" ", 2)[1] in (b"400", b"401", b"404", b"408"), name
    assert 204 == still.status_code


async def test_a_connection_without_a_request_is_ended(edge: Edge, tmp_path: pathlib.Path) -> None:
    """Before the first as after it."""
    config = placed(edge, idle_timeout_s=1.0)
    async with enveloped(config, edge.jwks_json, tmp_path):
        for said in (b"", b"GET /favicon.ico HTTP/1.1\r\nhost: localhost\r\n\r\n"):
            reader, writer = await asyncio.open_connection(config.host, config.port)
            writer.write(said)
            async with asyncio.timeout(DEADLINE_S):
                answer = await reader.read()  # to its end
            writer.close()
            assert answer.startswith(b"HTTP/1.1 204 ") is bool(said)


async def test_out_of_memory_requests_are_refused(edge: Edge, tmp_path: pathlib.Path) -> None:
    """503 in JSON, UNAVAILABLE in gRPC, rather than an end for everybody."""

    def alter(bootstrap: dict[str, Any]) -> None:
        # Or on a slow machine it takes no connection by the time that we make one, and says nothing at all.
        del bootstrap["overload_manager"]["loadshed_points"]

    config = placed(edge, edge_memory_mb=1)
    async with (
        enveloped(config, edge.jwks_json, tmp_path, alter=alter) as http,
        grpc.aio.insecure_channel(f"127.0.0.1:{config.port}") as channel,
    ):
        async with asyncio.timeout(DEADLINE_S):
            while True:  # it looks a few times a second
                with contextlib.suppress(httpx.TransportError):  # it also ends connections
                    answer = await http.get("/health")
                    if answer.status_code == 503 and "services" not in answer.json():
                        break
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await auth_pb2_grpc.AuthServiceStub(channel).GetJwks(auth_pb2.GetJwksRequest(), timeout=DEADLINE_S)

    assert 503 == answer.json()["status_code"]
    assert grpc.StatusCode.UNAVAILABLE == caught.value.code()


async def until_refused(ask: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
    """Ask until it is too often: on a slow machine one more has come back meanwhile."""
    for _ in range(TRIES):
        if (answer := await ask()).status_code == 429:
            break
    return answer


async def test_an_address_may_try_to_sign_in_only_so_often(edge: Edge, tmp_path: pathlib.Path) -> None:
    """By any way in, whoever it says it is, with a token too; what takes no password goes on."""
    config = placed(edge, sign_ins_per_minute=4)
    async with (
        enveloped(config, edge.jwks_json, tmp_path) as http,
        grpc.aio.insecure_channel(f"127.0.0.1:{config.port}") as channel,
    ):
        first = [
            await http.post("/api/login/", json=ADMIN),
            await http.post("/login", data={"name": "ada", "password": "wrong"}),
            await http.get("/login", params=ADMIN, headers=edge.operator),
            await http.post("/api/control-plane/auth/login", json={"identifier": "x", "password": "y"}),
        ]
        http.cookies.clear()
        late = [
            await until_refused(lambda: http.post("/api/login", json=ADMIN, headers=edge.operator)),
            await until_refused(lambda: http.get("/login/", params=ADMIN)),
            await until_refused(lambda: http.post("/api/v1/auth/login", json={"email": "x", "password": "y"})),
            await until_refused(lambda: http.post("/mesh/v1/auth:login", json={"login": "x", "password": "y"})),
        ]
        login = auth_pb2.LoginRequest(login="admin", password="admin")
        stub = auth_pb2_grpc.AuthServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            _ = [await stub.Login(login, timeout=DEADLINE_S) for _ in range(TRIES)]
        still = await http.get("/role/profile", headers=edge.operator)

    assert [200, 401, 200, 401] == [answer.status_code for answer in first]
    assert [429] * 4 == [answer.status_code for answer in late]
    assert all(0 < int(answer.headers["retry-after"]) <= 60 for answer in late)
    assert grpc.StatusCode.RESOURCE_EXHAUSTED == caught.value.code()
    assert 200 == still.status_code


async def test_every_method_that_takes_a_password_says_so() -> None:
    """In the contract: who may be called by anybody, and is a sign-in by its name, is one."""
    methods = [method for service in contract.services(contract.descriptors()) for method in service.methods]
    named = [
        method
        for method in methods
        if method.access == options_pb2.ACCESS_PUBLIC
        and any(word in method.name.rpartition("/")[2] for word in ("Login", "SignIn", "RefreshTokens"))
    ]

    assert len(named) >= 7
    assert all(method.signs_in for method in named)


async def test_streams_and_headers_are_bounded() -> None:
    """And a stream's own time-out stays off: it gives signs of life."""
    config = EdgeConfig(streams_per_connection=7)
    rendered = bootstrap.render(config, '{"keys": []}', contract.descriptors(), DIALECTS)
    manager = json.loads(json.dumps(rendered))["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]
    found = manager["typed_config"]

    assert 7 == found["http2_protocol_options"]["max_concurrent_streams"]
    assert (60, 100) == (found["max_request_headers_kb"], found["common_http_protocol_options"]["max_headers_count"])
    assert ("15s", "60s") == (found["request_headers_timeout"], found["request_timeout"])


async def test_too_many_headers_are_refused(edge: Edge) -> None:
    """A hundred are let in."""
    many = {f"x-{number}": "a" for number in range(200)}
    answer = await edge.http.get("/health", headers=many)

    assert 431 == answer.status_code
