"""Which names the mesh answers to, and what its own pages ask of a browser (the policy of `origins.lua`)."""

import asyncio
import contextlib
import pathlib
import re
from collections.abc import AsyncIterator

import grpc
import httpx
import pytest
import pytest_asyncio
from agentmesh_protos.auth.v1 import auth_pb2, auth_pb2_grpc
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from gateway.config import EdgeConfig
from gateway.dialects import DIALECTS
from gateway.edge import contract, origins, prefixes
from tests.gateway import stack
from tests.gateway.stack import DEADLINE_S, Edge, enveloped
from tests.ports import free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")
ADMIN = {"name": "admin", "password": "admin"}

SERVICES = contract.services(contract.descriptors())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def edge(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Edge]:
    """A mesh that has a name, and a second port."""
    ports = {"koda": free_port()}
    folder = tmp_path_factory.mktemp("origins")
    async with stack.edge(folder, allowed_hosts="mesh.lan, other.lan:80", native_ports=ports) as running:
        yield running


async def status_line(edge: Edge, request: str, port: int = 0) -> bytes:
    """Send a request as it is; return the head of the answer with its body."""
    reader, writer = await asyncio.open_connection(edge.config.host, port or edge.config.port)
    try:
        writer.write(request.replace("\n", "\r\n").encode("latin-1") + b"connection: close\r\n\r\n")
        async with asyncio.timeout(DEADLINE_S):
            head = await reader.readuntil(b"\r\n\r\n")
            size = re.search(rb"content-length: ([0-9]+)", head)
            return head + (await reader.readexactly(int(size[1])) if size else b"")
    finally:
        writer.close()


# -- names -----------------------------------------------------------------------------------------------------------

OURS = ["localhost", "LOCALHOST:{port}", "localhost.", "localhost.:80", "127.0.0.1", "127.9.9.9:1", "[::1]:{port}"]
OURS += ["[0:0:0:0:0:0:0:1]", "mesh.lan", "Mesh.LAN.:8080", "other.lan", "localhost:"]
NOT_OURS = ["evil.example", "evil.example:{port}", "localhost.evil.example", "localhost..", "127.0.0.1.evil.example"]
NOT_OURS += [
    "127.1",
    "0.0.0.0",
    "192.168.1.5",
    "[::2]",
    "[::1].evil.example",
    "x@localhost",
    "localhost:80x",
    "mesh.lan.x",
]
NOT_OURS += ["localhost,evil.example", "2130706433", "0x7f.1", "[::1", "::1", "", ".", "localhost evil"]


@pytest.mark.parametrize("name", OURS)
async def test_a_name_of_ours_is_answered(edge: Edge, name: str) -> None:
    """With a port or without, in any case, with the dot of the root; loopback's, and those that were added."""
    answer = await status_line(edge, f"GET /health HTTP/1.1\nhost: {name.format(port=edge.config.port)}\n")

    assert answer.startswith(b"HTTP/1.1 200 "), answer


@pytest.mark.parametrize("name", NOT_OURS)
async def test_a_name_that_is_not_ours_is_refused(edge: Edge, name: str) -> None:
    """421 with what to do (a page of a name that was made to lead here), or 400 for what is no name at all."""
    answer = await status_line(edge, f"GET /health HTTP/1.1\nhost: {name.format(port=edge.config.port)}\n")

    assert answer.split(b" ", 2)[1] in (b"421", b"400"), answer
    if b" 421 " in answer[:20]:
        assert b"AGENTMESH_ALLOWED_HOSTS" in answer
        assert b'"status_code":421' in answer


async def test_every_port_and_every_way_of_asking(edge: Edge) -> None:
    """The second port, a target in absolute form (which counts in place of the header), two headers."""
    native = edge.config.native_ports["koda"]

    async def status(request: str, port: int = 0) -> bytes:
        return (await status_line(edge, request, port)).split(b" ", 2)[1]

    assert b"421" == await status("GET /api/runtime/live HTTP/1.1\nhost: evil.example\n", native)
    assert b"200" == await status("GET /api/runtime/live HTTP/1.1\nhost: localhost\n", native)
    assert b"421" == await status("GET http://evil.example/health HTTP/1.1\nhost: localhost\n")
    assert b"200" == await status("GET http://localhost/health HTTP/1.1\nhost: evil.example\n")
    assert b"200" != await status("GET /health HTTP/1.1\nhost: localhost\nhost: evil.example\n")
    assert b"200" != await status("GET /health HTTP/1.1\nhost: evil.example\nhost: localhost\n")
    assert b"421" == await status("GET /health HTTP/1.0\nhost: evil.example\n")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/flow", ["error"]),
        ("/sumi", ["error"]),
        ("/mip003/x/availability", ["detail"]),
        ("/api/v1/payment", ["error", "message"]),
        ("/api/agents", ["title"]),
        ("/api/runtime/live", ["error", "code"]),
        ("/v1/crews", ["error", "code"]),
        ("/mesh/v1/jobs", ["message"]),
        ("/outputs/stream/none", ["error"]),
        ("/-/x/y", ["error"]),
    ],
)
async def test_the_refusal_has_the_dialects_shape(edge: Edge, path: str, said: list[str]) -> None:
    """Streams and apps' pages included; nothing behind the edge was asked."""
    answer = await edge.http.get(path, headers={**edge.operator, "host": "evil.example", "accept": "text/event-stream"})
    found = answer.json()
    for key in said:
        found = found[key]

    assert (421, True) == (answer.status_code, isinstance(found, str) and bool(found))
    assert "AGENTMESH_ALLOWED_HOSTS" in answer.text


async def test_grpc_web_and_websockets_are_refused_too(edge: Edge) -> None:
    """By gRPC's PERMISSION_DENIED where it is spoken; before a WebSocket is opened, in HTTP."""
    options = [("grpc.default_authority", "evil.example:3370")]
    async with grpc.aio.insecure_channel(edge.address, options=options) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await auth_pb2_grpc.AuthServiceStub(channel).GetJwks(auth_pb2.GetJwksRequest(), timeout=DEADLINE_S)
    web = await edge.http.post(
        "/mesh.auth.v1.AuthService/GetJwks",
        content=b"\0\0\0\0\0",
        headers={"content-type": "application/grpc-web+proto", "host": "evil.example"},
    )
    headers = {**edge.operator, "host": "evil.example"}
    with pytest.raises(InvalidStatus) as refused:
        await connect(
            f"ws://{edge.address}/mesh/v1/jobs/x:watch", additional_headers=headers, proxy=None, open_timeout=DEADLINE_S
        )

    assert grpc.StatusCode.PERMISSION_DENIED == caught.value.code()
    assert "AGENTMESH_ALLOWED_HOSTS" in str(caught.value.details())
    assert (421, "7") == (web.status_code, web.headers["grpc-status"])
    assert 421 == refused.value.response.status_code


async def test_a_host_header_does_not_count_beside_an_authority(edge: Edge) -> None:
    """HTTP/2 has `:authority`: a header that contradicts it changes nothing."""
    evil = [("grpc.default_authority", "evil.example")]
    for options, host, is_let_in in ([], "evil.example", True), (evil, "localhost", False):
        async with grpc.aio.insecure_channel(edge.address, options=options) as channel:
            call = auth_pb2_grpc.AuthServiceStub(channel).GetJwks(
                auth_pb2.GetJwksRequest(), metadata=(("host", host),), timeout=DEADLINE_S
            )
            with contextlib.nullcontext() if is_let_in else pytest.raises(grpc.aio.AioRpcError):
                await call


async def test_names_by_setting() -> None:
    """A public URL adds its name, a bound address itself; of a wildcard every address is ours, and no name."""
    url = EdgeConfig(
        public_url="https://Mesh.Example.com:8443/x", host="10.0.0.5", allowed_hosts="a.lan., [fd00::1]:80"
    )
    told = origins.told(EdgeConfig(host="0.0.0.0"), SERVICES, DIALECTS, prefixes.of_dialects(DIALECTS, SERVICES))

    assert {"mesh.example.com", "10.0.0.5", "a.lan", "[fd00::1]", "localhost", "127.0.0.1"} <= set(origins.names(url))
    assert told["ANY_ADDRESS"] is True
    assert {"[::1]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"} <= set(origins.names(url))
    assert "[0000:0000:0000:0000:0000:ffff:7f00:0001]" in origins.names(url)
    assert "0.0.0.0" not in told["HOSTS"]
    assert not origins.told(url, SERVICES, DIALECTS, prefixes.of_dialects(DIALECTS, SERVICES))["ANY_ADDRESS"]


# -- our own pages ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/docs", "/docs/kodosumi", "/admin/flow", "/inputs/-/x/y"])
async def test_our_pages_need_no_script_and_no_style_of_others(edge: Edge, path: str) -> None:
    """And are in no frame of another site."""
    headers = {"accept": "text/html"} | ({} if path == "/" else edge.operator)
    page = await edge.http.get(path, headers=headers)
    policy = dict(line.strip().partition(" ")[::2] for line in page.headers["content-security-policy"].split(";"))

    assert page.headers["content-type"].startswith("text/html")
    assert "'none'" == policy["default-src"]
    assert policy["style-src"].startswith(("'sha256-", "'self'"))
    assert "unsafe-inline" not in policy["style-src"]
    assert policy["frame-ancestors"] in ("'none'", "'self'")
    assert ("nosniff", "same-origin") == (page.headers["x-content-type-options"], page.headers["referrer-policy"])
    assert ("sha256" in policy["style-src"]) == page.text.count("<style>")
    assert " style=" not in page.text


async def test_every_answer_is_what_it_says_it_is(edge: Edge) -> None:
    """Refusals of the edge too."""
    for path, host in [("/health", "localhost"), ("/flow", "localhost"), ("/nope", "localhost"), ("/", "evil.example")]:
        answer = await edge.http.get(path, headers={"host": host})
        assert "nosniff" == answer.headers["x-content-type-options"], path


async def test_the_password_that_everybody_knows_is_called_out(edge: Edge) -> None:
    """On the start page of who has it."""
    operator = await edge.http.get("/admin/flow", headers=edge.operator)
    other = await edge.http.get("/admin/flow", headers=await edge.new_user("aware"))

    assert "the password that everybody knows" in operator.text
    assert (200, False) == (other.status_code, "the password that everybody knows" in other.text)


async def test_cookies_of_a_mesh_with_https_are_sent_by_https_only(edge: Edge, tmp_path: pathlib.Path) -> None:
    """And never to scripts."""
    config = edge.config.model_copy(
        update={"port": free_port(), "native_ports": {}, "public_url": "https://mesh.example.com"}
    )
    async with enveloped(config, edge.jwks_json, tmp_path) as http:
        panel = await http.post("/api/login", json=ADMIN)
        koda = await http.post("/api/control-plane/auth/login", json={"identifier": "admin", "password": "admin"})

    for answer in (panel, koda):
        flags = {flag.strip().lower().partition("=")[0] for flag in answer.headers["set-cookie"].split(";")}
        assert {"secure", "httponly", "samesite", "path"} <= flags


# -- what is gRPC ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "is_grpc"),
    [
        ("application/grpc", True),
        ("application/grpc+proto", True),
        ("application/grpc-web", True),
        ("application/grpc-web+proto", True),
        ("application/grpc-web-text", True),
        ("application/grpc-web-text+proto", True),
        ("application/grpc-evil", False),
        ("application/grpcx", False),
        ("application/grpc-webx", False),
        ("application/grpc-web-evil", False),
        ("application/grpc-text", False),
    ],
)
async def test_what_is_grpc(edge: Edge, kind: str, is_grpc: bool) -> None:
    """What only begins like it is REST, with REST's checks, and no way to call a method."""
    path = "/mesh.auth.v1.AuthService/GetJwks"
    content = b"AAAAAAA=" if "text" in kind else b"\0\0\0\0\0"
    answer: httpx.Response = await edge.http.post(path, content=content, headers={"content-type": kind})
    assert is_grpc == answer.headers["content-type"].startswith("application/grpc"), answer.text
    assert (200 if is_grpc else 415) == answer.status_code
    if not is_grpc:
        headers = {"content-type": kind, "grpc-timeout": "soon"}
        as_rest = await edge.http.post("/api/login/", content=b'{"name": "admin"}', headers=headers)
        assert 400 == as_rest.status_code
