"""The Connect protocol at the edge, as `buf curl` speaks it by its defaults and as browsers and curl do, in JSON.

`test_connect_calls.py` has what the gateway alone makes gRPC of, `test_connect_streams.py` streams in JSON.
"""

import asyncio
import asyncio.subprocess
import base64
import json
import os
import pathlib
import sys
from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc
import httpx
import pytest
import pytest_asyncio
from agentmesh_protos.auth.v1 import auth_pb2, auth_pb2_grpc
from agentmesh_protos.dialects.kodosumi.v1 import auth_pb2 as kodosumi_pb2
from agentmesh_protos.runner.v1 import job_pb2
from google.protobuf import json_format
from google.rpc import error_details_pb2

from gateway.edge import limits
from tests.gateway.asking import Asking
from tests.gateway.edge.test_wire import raw
from tests.gateway.stack import DEADLINE_S, Edge, Panel
from tests.readme.snippets import of

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROOT = pathlib.Path(__file__).parents[3]
GET_SELF = "/mesh.auth.v1.UserService/GetSelf"
CREATE_JOB, GET_JOB, WATCH_JOB, CANCEL_JOB = (
    f"/mesh.runner.v1.JobService/{name}" for name in ("CreateJob", "GetJob", "WatchJob", "CancelJob")
)
PROTO, JSON, STREAM = "application/proto", "application/json", "application/connect+proto"
NOTHING = {PROTO: b"", JSON: b"{}", STREAM: b"\0\0\0\0\0"}
"""A message without fields."""
LARGE = 90_000
"""More bytes than the edge holds of what it passes on."""


async def call(
    edge: Edge, path: str, kind: str, headers: Mapping[str, str], content: bytes | None = None
) -> httpx.Response:
    """Call as a client of Connect does; without content it is a message without fields."""
    body = NOTHING[kind] if content is None else content
    sent = {"content-type": kind, "connect-protocol-version": "1", **headers}
    return await edge.http.post(path, content=body, headers=sent)


def key_of(edge: Edge) -> dict[str, str]:
    """Return the operator's token as a header."""
    return {"authorization": f"Bearer {edge.operator['KODOSUMI_API_KEY']}"}


def frames(data: bytes) -> list[tuple[int, bytes]]:
    """Return the flags and the content of each frame of a stream."""
    found = []
    while data:
        size = int.from_bytes(data[1:5], "big")
        found.append((data[0], data[5 : 5 + size]))
        data = data[5 + size :]
    return found


def error_of(answer: httpx.Response) -> Any:
    """Return the error of a unary answer, or of a stream's last frame."""
    if answer.headers["content-type"] != STREAM:
        return answer.json()
    flags, content = frames(answer.content)[-1]
    assert flags == 2
    return json.loads(content)["error"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shell(asking: Asking) -> AsyncIterator[dict[str, str]]:
    """Return the environment of somebody who types what the document shows."""
    path = f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    key = asking.edge.operator["KODOSUMI_API_KEY"]
    yield {**os.environ, "PATH": path, "KEY": key, "URL": f"http://{asking.edge.address}"}


async def typed(command: str, shell: dict[str, str]) -> asyncio.subprocess.Process:
    """Start a command in a shell."""
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec("bash", "-ec", command, cwd=ROOT, env=shell, stdout=pipe, stderr=pipe)


async def test_what_the_document_shows_runs(asking: Asking, shell: dict[str, str]) -> None:
    """By `buf curl` with its defaults: Connect, with what reflection says; a job is watched while it lives."""
    job = await asking.launch(how="greet")
    (shown,) = [part.text for part in of("gateway.md", "sh") if "buf curl" in part.text]
    process = await typed(shown.replace("export URL=", "true "), {**shell, "JOB": job})
    assert process.stdout is not None
    said = b""
    async with asyncio.timeout(DEADLINE_S):
        while b'"lock"' not in said:
            line = await process.stdout.readline()
            assert line, (said, process.stderr and await process.stderr.read())
            said += line
        named = json.dumps({"name": f"jobs/{job}"}).encode()
        cancelled = await call(asking.edge, CANCEL_JOB, JSON, key_of(asking.edge), named)
        rest, complaints = await process.communicate()

    assert (200, 0) == (cancelled.status_code, process.returncode), complaints
    assert b'"login": "admin"' in said
    assert b'"cancelled"' in rest
    assert b'"JOB_STATE_CANCELLED"' in rest
    assert b'"login":"admin"' in rest


async def test_an_error_says_what_it_says_in_grpc(shell: dict[str, str]) -> None:
    """The code, the words and the details, with the schema from the protos (then it is HTTP/1.1)."""
    header = '-H "authorization: Bearer $KEY"'
    process = await typed(f'buf curl --schema protos {header} -d \'{{"name": "jobs/none"}}\' $URL{GET_JOB}', shell)
    async with asyncio.timeout(DEADLINE_S):
        _, said = await process.communicate()

    assert 5 << 3 == process.returncode, said  # buf's exit code of NOT_FOUND
    assert "not_found" == json.loads(said)["code"]
    assert b"google.rpc.ErrorInfo" in said


@pytest.mark.parametrize("kind", [PROTO, JSON])
async def test_a_call_is_answered(asking: Asking, kind: str) -> None:
    """In its own codec, with the headers that every answer has."""
    answer = await call(asking.edge, GET_SELF, kind, key_of(asking.edge))
    login = auth_pb2.User.FromString(answer.content).login if kind == PROTO else answer.json()["login"]

    assert (200, kind, "admin") == (answer.status_code, answer.headers["content-type"], login)
    assert {"x-request-id", "ratelimit-remaining", "x-content-type-options"} <= answer.headers.keys()
    assert not [name for name in answer.headers if name.startswith(("grpc-", "x-mesh-", "x-http-"))]


@pytest.mark.parametrize("kind", [PROTO, JSON])
async def test_a_dialect_is_called_too(edge: Edge, kind: str) -> None:
    """Its answers and its errors are those of gRPC."""
    service = "/mesh.dialects.kodosumi.v1.RoleService"
    profile = await call(edge, f"{service}/GetProfile", kind, edge.operator)
    nobody = kodosumi_pb2.DeleteRoleRequest(role="nobody")
    content = nobody.SerializeToString() if kind == PROTO else json_format.MessageToJson(nobody).encode()
    missing = await call(edge, f"{service}/DeleteRole", kind, edge.operator, content)
    name = kodosumi_pb2.Role.FromString(profile.content).name if kind == PROTO else profile.json()["name"]

    assert "admin" == name
    assert (404, "not_found") == (missing.status_code, missing.json()["code"])


@pytest.mark.parametrize("kind", [PROTO, JSON])
async def test_large_messages_pass(asking: Asking, kind: str) -> None:
    """There and back: the edge holds the whole of one."""
    inputs = {"how": "x" * LARGE}
    request = {"target": "flows/asking", "inputs": inputs}
    asked = job_pb2.CreateJobRequest(target="flows/asking", inputs_json=json.dumps(inputs))
    content = json.dumps(request).encode() if kind == JSON else asked.SerializeToString()
    made = await call(asking.edge, CREATE_JOB, kind, key_of(asking.edge), content)

    assert 200 == made.status_code, made.text
    assert len(made.content) > LARGE


@pytest.mark.parametrize("kind", [PROTO, JSON, STREAM])
async def test_a_stranger_is_told_so(edge: Edge, kind: str) -> None:
    """401, and in a stream's last frame."""
    answer = await call(edge, WATCH_JOB if kind == STREAM else GET_JOB, kind, {})

    assert (200 if kind == STREAM else 401) == answer.status_code
    assert "unauthenticated" == error_of(answer)["code"]


@pytest.mark.parametrize("kind", [PROTO, JSON])
async def test_a_message_of_a_stranger_is_not_waited_for(edge: Edge, kind: str) -> None:
    """One that is large, or says nothing of its size."""
    head = f"POST {GET_JOB} HTTP/1.1\nhost: {edge.address}\ncontent-type: {kind}\n"
    for size in f"content-length: {LARGE}", "transfer-encoding: chunked":
        status, _, body = await raw(edge, f"{head}connect-protocol-version: 1\n{size}")

        assert (401, "unauthenticated") == (status, json.loads(body)["code"])


@pytest.mark.parametrize("kind", [PROTO, JSON])
async def test_a_slash_at_the_end_changes_nothing(edge: Edge, kind: str) -> None:
    """It is dropped, as everywhere: a call stays one, and a stranger's large message is not read."""
    answer = await call(edge, f"{GET_SELF}/", kind, key_of(edge))
    head = f"POST {GET_JOB}/ HTTP/1.1\nhost: {edge.address}\ncontent-type: {kind}\ncontent-length: {LARGE}"
    refused, _, body = await raw(edge, head)
    other, _, _ = await raw(edge, head.replace(kind, "text/plain"))

    assert (200, kind) == (answer.status_code, answer.headers["content-type"])
    assert (401, "unauthenticated") == (refused, json.loads(body)["code"])
    assert 415 == other


@pytest.mark.parametrize("kind", [PROTO, JSON])
async def test_details_are_told(edge: Edge, kind: str) -> None:
    """As messages, of what names a field or a reason."""
    answer = await call(edge, GET_JOB, kind, key_of(edge))
    error = answer.json()
    (info,) = [part for part in error["details"] if part["type"] == "google.rpc.ErrorInfo"]
    value = base64.b64decode(info["value"] + "==")

    assert error["code"] in ("invalid_argument", "not_found")
    assert JSON == answer.headers["content-type"]
    assert error["message"]
    assert error_details_pb2.ErrorInfo.FromString(value).reason


@pytest.mark.parametrize(
    ("path", "kind", "headers", "status", "code"),
    [
        ("/mesh.auth.v1.UserService/Nope", PROTO, {}, 501, "unimplemented"),
        ("/mesh.auth.v1.UserService/Nope", JSON, {}, 501, "unimplemented"),
        ("/no.such.Service/Nope", PROTO, {}, 501, "unimplemented"),
        ("/no.such.Service/Nope", JSON, {}, 501, "unimplemented"),
        (WATCH_JOB, JSON, {}, 415, "unimplemented"),
        (GET_SELF, PROTO, {"content-encoding": "br"}, 501, "unimplemented"),
        (GET_SELF, JSON, {"content-encoding": "br"}, 501, "unimplemented"),
        (GET_SELF, PROTO, {"host": "evil.example"}, 421, "permission_denied"),
    ],
)
async def test_what_cannot_be_is_an_error_of_connect(
    edge: Edge, path: str, kind: str, headers: dict[str, str], status: int, code: str
) -> None:
    """Whoever finds it: the edge, the gateway, a service."""
    answer = await call(edge, path, kind, {**key_of(edge), **headers})

    assert (status, code) == (answer.status_code, answer.json()["code"])


@pytest.mark.parametrize("kind", [PROTO, JSON, STREAM])
async def test_a_message_that_is_too_large_is_refused(edge: Edge, kind: str) -> None:
    """413, as everywhere, before it is sent."""
    head = f"POST {GET_JOB} HTTP/1.1\nhost: {edge.address}\ncontent-type: {kind}\n"
    length = f"content-length: {limits.REQUEST_BYTES_MAX + 1}"
    status, _, body = await raw(edge, f"{head}authorization: {key_of(edge)['authorization']}\n{length}")

    assert (413, "resource_exhausted") == (status, json.loads(body)["code"])


async def test_a_codec_that_is_not_spoken(edge: Edge) -> None:
    """415."""
    kind = "application/connect+xml"
    answer = await call(edge, WATCH_JOB, kind, key_of(edge), b"\0\0\0\0\2{}")

    assert 415 == answer.status_code


@pytest.mark.parametrize("kind", [PROTO, JSON, STREAM])
async def test_pages_of_other_sites_change_nothing(edge: Edge, kind: str) -> None:
    """A cookie counts on our own pages only; a token in a header does anywhere."""
    token = edge.operator["KODOSUMI_API_KEY"]
    cookie, far = {"cookie": f"kodosumi_jwt={token}"}, {"origin": "https://evil.example"}
    path = WATCH_JOB if kind == STREAM else GET_SELF
    refused = await call(edge, path, kind, {**cookie, **far})
    let_in = [await call(edge, path, kind, who) for who in ({**key_of(edge), **far}, cookie)]

    assert (403, "permission_denied") == (refused.status_code, refused.json()["code"])
    assert {200} == {answer.status_code for answer in let_in}


async def test_rest_is_no_call(edge: Edge) -> None:
    """Whatever a header says of it, and in whatever codec a path is asked for that is none of a method."""
    answer = await edge.http.get("/mesh/v1/self", headers={**edge.operator, "connect-protocol-version": "1"})
    posted = await edge.http.post(
        "/mesh/v1/jobs/none:cancel", json={}, headers={**edge.operator, "connect-protocol-version": "1"}
    )

    assert ("admin", 404) == (answer.json()["login"], posted.status_code)
    assert 5 == posted.json()["code"]


async def test_grpc_is_no_call(edge: Edge) -> None:
    """Whatever a header says of it."""
    metadata = (("authorization", key_of(edge)["authorization"]), ("connect-protocol-version", "1"))
    async with grpc.aio.insecure_channel(edge.address) as channel:
        stub = auth_pb2_grpc.UserServiceStub(channel)
        user = await stub.GetSelf(auth_pb2.GetSelfRequest(), metadata=metadata, timeout=DEADLINE_S)

    assert "admin" == user.login


@pytest.mark.parametrize("kind", [PROTO, STREAM])
async def test_an_app_may_speak_it_itself(panel: Panel, kind: str) -> None:
    """Below its own routes nothing is made of it."""
    headers = {"content-type": kind, "connect-protocol-version": "1"}
    answer = await panel.call("POST", "/-/raw/mirror/mesh.x/Y", content=NOTHING[STREAM], headers=headers)
    seen = answer.json()

    assert (kind, "1") == (seen["headers"]["content-type"], seen["headers"]["connect-protocol-version"])
