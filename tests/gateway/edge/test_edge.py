"""What Envoy does for everybody: one port for REST, gRPC and gRPC-Web, and JSON whatever goes wrong."""

import asyncio
import pathlib
import subprocess
import sys
from typing import Any

import grpc
import httpx
import pytest
from agentmesh_protos.auth.v1 import auth_pb2, auth_pb2_grpc
from agentmesh_protos.dialects.kodosumi.v1 import auth_pb2 as kodosumi_pb2
from agentmesh_protos.dialects.kodosumi.v1 import auth_pb2_grpc as kodosumi_pb2_grpc
from google.protobuf import descriptor_pb2, empty_pb2
from grpc_reflection.v1alpha import reflection_pb2

from gateway.edge import limits
from tests.gateway.stack import DEADLINE_S, Edge, enveloped, until_healthy
from tests.ports import free_port

SYMBOLS = (
    "mesh.runner.v1.JobService.CreateJob",
    ".mesh.runner.v1.JobService.WatchJob",
    "mesh.dialects.kodosumi.v1.OutputsService.StreamEvents",
    "mesh.runner.v1.Job.state",
    "mesh.runner.v1.JOB_STATE_QUEUED",
    "grpc.health.v1.Health.Check",
)
"""What `grpcurl describe` may be asked for."""

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def raw(edge: Edge, request: bytes) -> bytes:
    """Send bytes as they are; return what comes back until the connection closes or the body is complete."""
    reader, writer = await asyncio.open_connection(edge.config.host, edge.config.port)
    try:
        writer.write(request)
        async with asyncio.timeout(DEADLINE_S):
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line.partition(b":")[2]) for line in head.split(b"\r\n") if line.startswith(b"content-length")
            )
            return head + await reader.readexactly(length)
    finally:
        writer.close()
        await writer.wait_closed()


async def test_health_needs_no_login(edge: Edge) -> None:
    """It says that every service serves."""
    response = await until_healthy(edge.http)

    assert response.json()["status"] == "ok"
    assert response.json()["services"] == dict.fromkeys(("auth", "registry", "runner", "payments", "ledger"), "SERVING")


async def test_the_start_page_depends_on_who_asks(edge: Edge) -> None:
    """A form for browsers, 401 for programs."""
    browser = await edge.http.get("/", headers={"accept": "text/html"})
    program = await edge.http.get("/")

    assert (browser.status_code, browser.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert 'action="/login"' in browser.text
    assert (program.status_code, program.json()["error"]) == (401, "NotAuthorizedException")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
async def test_an_unknown_path_is_not_found(edge: Edge, method: str) -> None:
    """In the panel's shape, with the path as it was asked for."""
    response = await edge.http.request(method, "/no/such/thing/?x=1")

    assert response.status_code == 404
    assert response.json() == {
        "error": "NotFoundException",
        "path": "/no/such/thing/",
        "detail": "Not Found",
        "status_code": 404,
    }


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/flow", "GET, HEAD"),
        ("GET", "/boot/refresh/x", "POST"),
        ("PATCH", "/login", "GET, HEAD, POST"),
        ("POST", "/health", "GET, HEAD"),
        ("TRACE", "/flow", "GET, HEAD"),
        ("OPTIONS", "/panel/executions", "GET, HEAD, POST"),
    ],
)
async def test_a_wrong_method_names_the_right_one(edge: Edge, method: str, path: str, allowed: str) -> None:
    """405 with `allow`."""
    response = await edge.http.request(method, path)

    assert (response.status_code, response.headers["allow"]) == (405, allowed)
    assert response.json()["error"] == "MethodNotAllowedException"


@pytest.mark.parametrize("path", ["/api/login", "/-/localhost/8005/demo/-/"])
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_is_too_large_is_refused_clearly(edge: Edge, path: str, chunked: bool) -> None:
    """413 in the dialect's shape, whether or not the client says how much is coming."""
    body = b'{"name": "' + b"a" * 5_000_000 + b'"}'

    async def pieces() -> Any:
        for start in range(0, len(body), 65536):
            yield body[start : start + 65536]

    headers = {**edge.operator, "content-type": "application/json"}
    response = await edge.http.post(path, content=pieces() if chunked else body, headers=headers)

    assert response.status_code == 413
    assert response.json() == {
        "error": "HTTPException",
        "path": path,
        "detail": "413: body is larger than 4 MiB: send less",
        "status_code": 413,
    }


async def test_a_body_of_just_the_limit_arrives(edge: Edge) -> None:
    """4 MiB are read, and then refused for what they say."""
    start, end = b'{"name": "admin", "password": "', b'"}'
    body = start + b"a" * (limits.BODY_BYTES_MAX - len(start) - len(end)) + end
    response = await edge.http.post("/api/login", content=body, headers={"content-type": "application/json"})

    assert response.status_code == 400
    assert "'key': 'password'" in response.json()["detail"]


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /fl\xc3\xb6w HTTP/1.1\r\nhost: localhost\r\n\r\n", b"400"),
        (b"GET /role/%00 HTTP/1.1\r\nhost: localhost\r\n\r\n", b"400"),
        (b"GET /flow HTTP/1.1\r\n\r\n", b"400"),
        (b"\x00\x01\x02\r\n\r\n", b"400"),
        (b"GET /flow HTTP/1.1\r\nhost: localhost\r\nx-a: " + b"a" * 70_000 + b"\r\n\r\n", b"431"),
        (b"GET /flow HTTP/1.1\r\nhost: localhost\r\nx-a: " + b"a" * 50_000 + b"\r\n\r\n", b"401"),
        (b"GET /flow HTTP/1.1\r\nhost: localhost\r\nx-a: \xc3\xb6\r\n\r\n", b"401"),
        (b"GET /flow HTTP/1.1\r\nhost: localhost\r\nx-a-bin: !!!\r\n\r\n", b"401"),
        (b"GET /flow HTTP/1.1\r\nhost: localhost\r\ngrpc-timeout: soon\r\n\r\n", b"401"),
        (b"POST /api/login HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9999999999\r\n\r\n", b"413"),
        (b"GET /nope HTTP/1.0\r\n\r\n", b"404"),
    ],
)
async def test_strange_requests_get_json(edge: Edge, request_bytes: bytes, status: bytes) -> None:
    """Whatever reads the request first, the answer has the panel's envelope and is no 500."""
    answer = await raw(edge, request_bytes)

    assert answer.split(b" ", 2)[1] == status, answer
    assert b"content-type: application/json" in answer
    assert b'"status_code":' in answer


@pytest.mark.parametrize(
    ("path", "said"),
    [("/mesh/v1/jobs/%00", b'"code":3'), ("/v1/crews/%00", b'"VALIDATION_ERROR"'), ("/api/agents/%00", b'"title":')],
)
async def test_what_is_no_path_is_said_in_the_dialects_shape(edge: Edge, path: str, said: bytes) -> None:
    """Envoy finds it before anything of ours has seen the request."""
    answer = await raw(edge, f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())

    assert b"HTTP/1.1 400 " == answer[:13]
    assert said in answer


@pytest.mark.parametrize("path", ["/flow?q=%ff", "/sumi/%ff", "/mesh/v1/jobs/%ff", "/api/v1/payment/count?network=%ff"])
async def test_what_is_no_text_is_the_callers_to_mend(edge: Edge, path: str) -> None:
    """400 in the dialect's shape, for bytes that are no UTF-8."""
    answer = await edge.http.get(path, headers={**edge.operator, "token": "dev"})

    assert 400 == answer.status_code
    assert "send texts as UTF-8" in answer.text


async def test_a_map_of_the_wrong_type_is_the_callers_to_mend(edge: Edge) -> None:
    """Envoy passes it on in a message that cannot be read."""
    answer = await edge.http.post("/mesh/v1/jobs", json={"labels": {"a": {}}}, headers=edge.operator)

    assert (400, 3) == (answer.status_code, answer.json()["code"])


@pytest.mark.parametrize("path", ["/role/profile", "/mesh/v1/self"])
async def test_a_header_that_grpc_cannot_name_stays_outside(edge: Edge, path: str) -> None:
    """HTTP allows `&` and the like in names."""
    answer = await edge.http.get(path, headers={**edge.operator, "a&b": "1", "x~'y": "2"})

    assert 200 == answer.status_code


async def test_a_client_cannot_set_what_only_the_mesh_may(edge: Edge) -> None:
    """Neither a status nor a body, nor the path of its errors, nor the badge of a service."""
    spoofed = {
        "x-http-code": "200",
        "x-http-body": "{}",
        "x-mesh-path": "/spoofed",
        "x-envoy-original-path": "/spoofed",
        "x-envoy-original-method": "DELETE",
        "x-mesh-service": "service:gateway",
        "x-mesh-user": "somebody",
    }
    unknown = await edge.http.get("/nope", headers=spoofed)
    known = await edge.http.get("/flow?pp=0", headers={**spoofed, **edge.operator})

    assert (unknown.status_code, unknown.json()["path"]) == (404, "/nope")
    assert (known.status_code, known.json()["path"]) == (400, "/flow")
    assert "failed for GET /flow?pp=0" in known.json()["detail"]


async def test_grpc_headers_stay_inside(edge: Edge) -> None:
    """REST clients see no trace of the RPC."""
    response = await edge.http.get("/role/profile", headers=edge.operator)

    assert not [name for name in response.headers if name.startswith(("grpc-", "x-http-", "x-mesh-"))]


async def test_the_typed_api_answers_on_the_same_port(edge: Edge) -> None:
    """gRPC goes straight to the service; what a service may not see is refused there."""
    async with grpc.aio.insecure_channel(edge.address) as channel:
        auth = auth_pb2_grpc.AuthServiceStub(channel)
        login = auth_pb2.LoginRequest(login="admin", password="admin")
        tokens = await auth.Login(login, timeout=DEADLINE_S)
        watch = auth.WatchRevocations(auth_pb2.WatchRevocationsRequest(), timeout=DEADLINE_S)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await watch.read()

    assert tokens.user.login == "admin"
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_a_dialect_answers_grpc_in_grpc(edge: Edge) -> None:
    """No HTTP status, no JSON error: a rich status."""
    async with grpc.aio.insecure_channel(edge.address) as channel:
        roles = kodosumi_pb2_grpc.RoleServiceStub(channel)
        metadata = (("kodosumi_api_key", edge.operator["KODOSUMI_API_KEY"]),)
        profile = await roles.GetProfile(kodosumi_pb2.GetProfileRequest(), metadata=metadata, timeout=DEADLINE_S)
        with pytest.raises(grpc.aio.AioRpcError) as missing:
            await roles.DeleteRole(kodosumi_pb2.DeleteRoleRequest(role="nobody"), metadata=metadata, timeout=DEADLINE_S)

    assert profile.name == "admin"
    assert missing.value.code() is grpc.StatusCode.NOT_FOUND
    keys = {key for key, _ in missing.value.trailing_metadata()}
    assert "grpc-status-details-bin" in keys
    assert "x-http-code" not in keys


async def test_an_unknown_method_is_unimplemented(edge: Edge) -> None:
    """gRPC clients get gRPC's own answer, of an unknown service too."""
    async with grpc.aio.insecure_channel(edge.address) as channel:
        for method in ("/no.such.Service/Method", "/mesh.auth.v1.AuthService/Nope"):
            call = channel.unary_unary(method, empty_pb2.Empty.SerializeToString, empty_pb2.Empty.FromString)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(empty_pb2.Empty(), timeout=DEADLINE_S)

            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_shows_the_whole_mesh(edge: Edge, version: str) -> None:
    """Services of every process, under both names that clients ask for."""
    name = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
    request = reflection_pb2.ServerReflectionRequest
    async with grpc.aio.insecure_channel(edge.address) as channel:
        call = channel.stream_stream(
            name, request.SerializeToString, reflection_pb2.ServerReflectionResponse.FromString
        )
        asked = [
            request(list_services=""),
            request(file_containing_symbol="mesh.runner.v1.JobService"),
            *(request(file_containing_symbol=symbol) for symbol in SYMBOLS),
            request(file_containing_symbol="mesh.runner.v1.JobService.Nope"),
            request(file_containing_symbol="no.such.Thing"),
            request(file_by_filename="no/such.proto"),
            request(
                file_containing_extension=reflection_pb2.ExtensionRequest(
                    containing_type="google.protobuf.MethodOptions", extension_number=50701
                )
            ),
            request(all_extension_numbers_of_type="google.protobuf.MethodOptions"),
            request(file_containing_symbol="mesh.runner.v1.Job"),  # after errors the stream goes on
        ]
        answers = [answer async for answer in call(iter(asked), timeout=DEADLINE_S)]

    shown = {service.name for service in answers[0].list_services_response.service}
    assert {"mesh.auth.v1.UserService", "mesh.runner.v1.JobService", "mesh.dialects.kodosumi.v1.FlowService"} <= shown
    files, missing = answers[1 : 2 + len(SYMBOLS)], answers[2 + len(SYMBOLS) : 5 + len(SYMBOLS)]
    extension, numbers, last = answers[5 + len(SYMBOLS) :]
    assert [""] * len(files) == [answer.error_response.error_message for answer in files]
    for answer, symbol in zip(files[1:], SYMBOLS, strict=True):
        described = [
            descriptor_pb2.FileDescriptorProto.FromString(data)
            for data in answer.file_descriptor_response.file_descriptor_proto
        ]
        assert any(symbol.removeprefix(".").startswith(file.package) for file in described)
    assert [5, 5, 5] == [answer.error_response.error_code for answer in missing]
    assert extension.file_descriptor_response.file_descriptor_proto
    assert {50701, 72295728} <= set(numbers.all_extension_numbers_response.extension_number)
    assert last.file_descriptor_response.file_descriptor_proto


async def test_buf_lists_every_method(edge: Edge) -> None:
    """`buf curl --list-methods`, as the README has it, asks for the file of each service it hears of."""
    buf = pathlib.Path(sys.executable).with_name("buf")
    options = ["--protocol", "grpc", "--http2-prior-knowledge", "--list-methods"]
    command = [str(buf), "curl", *options, f"http://{edge.address}"]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    async with asyncio.timeout(DEADLINE_S):
        out, error = await process.communicate()

    assert process.returncode == 0, error.decode()
    assert "mesh.runner.v1.JobService/WatchJob" in out.decode().splitlines()


async def test_browsers_may_speak_grpc_web(edge: Edge) -> None:
    """A framed message in, a framed message and trailers out."""
    message = auth_pb2.GetJwksRequest().SerializeToString()
    response = await edge.http.post(
        "/mesh.auth.v1.AuthService/GetJwks",
        content=b"\0" + len(message).to_bytes(4, "big") + message,
        headers={"content-type": "application/grpc-web+proto"},
    )
    length = int.from_bytes(response.content[1:5], "big")
    jwks = auth_pb2.Jwks.FromString(response.content[5 : 5 + length])

    assert response.status_code == 200
    assert jwks.jwks_json == edge.jwks_json
    assert b"grpc-status:0" in response.content[5 + length :]


async def test_a_service_that_is_away_is_said_so(edge: Edge, tmp_path: pathlib.Path) -> None:
    """503 in the panel's shape for REST, UNAVAILABLE for gRPC."""
    nowhere = f"127.0.0.1:{free_port()}"
    config = edge.config.model_copy(
        update={"port": free_port(), "gateway_address": nowhere, "web_address": nowhere, "auth_address": nowhere}
    )
    async with (
        enveloped(config, edge.jwks_json, tmp_path) as http,
        grpc.aio.insecure_channel(f"127.0.0.1:{config.port}") as channel,
    ):
        rest = await http.get("/flow/")
        page = await http.get("/health")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await auth_pb2_grpc.AuthServiceStub(channel).Login(auth_pb2.LoginRequest(), timeout=DEADLINE_S)

    _check_away(rest, "/flow/")
    _check_away(page, "/health")
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "{" not in str(caught.value.details())


def _check_away(response: httpx.Response, path: str) -> None:
    assert response.status_code == 503
    assert response.json() == {
        "error": "ServiceUnavailableException",
        "path": path,
        "detail": "503: the service is not available: try again",
        "status_code": 503,
    }
