"""Calls of Connect that the gateway makes gRPC of: JSON of every service, compressed messages, GET; hostile ones."""

import base64
import gzip
import json
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from agentmesh_protos.runner.v1 import job_pb2
from starlette.datastructures import Headers

from gateway.edge import limits
from gateway.http.connect import asking
from tests.gateway.edge.test_connect import CANCEL_JOB, GET_JOB, GET_SELF, JSON, LARGE, NOTHING, PROTO, call, key_of
from tests.gateway.edge.test_wire import raw
from tests.gateway.stack import Edge

pytestmark = pytest.mark.asyncio(loop_scope="module")

LOGIN, LIST_USERS, LIST_SESSIONS = (
    f"/mesh.auth.v1.{name}" for name in ("AuthService/Login", "UserService/ListUsers", "AuthService/ListSessions")
)
CHECK = "/grpc.health.v1.Health/Check"
AS_JSON = {"connect": "v1", "encoding": "json", "message": "{}"}
PACKED = gzip.compress(b"{}", mtime=0)
SMALL_BOMB = gzip.compress(b'{"name": "' + b"x" * limits.REQUEST_BYTES_MAX + b'"}')
"""Some kilobytes of what is more than a message may have."""


async def got(edge: Edge, path: str, headers: Mapping[str, str], **query: str) -> httpx.Response:
    """Call by GET."""
    return await edge.http.get(path, params={**AS_JSON, **query}, headers=headers)


def code_of(answer: httpx.Response) -> tuple[int, str]:
    """Return the status and the code of an error."""
    assert JSON == answer.headers["content-type"]
    return answer.status_code, answer.json()["code"]


def short(value: object) -> str:
    """Return the name of a test's parameter."""
    return ascii(value)[:24]


# -- JSON ------------------------------------------------------------------------------------------------------------


async def test_health_is_asked_in_json(edge: Edge) -> None:
    """Of the whole mesh, of a service, of one that nobody has; without a token."""
    whole = await call(edge, CHECK, JSON, {})
    runner = await call(edge, CHECK, JSON, {}, b'{"service": "mesh.runner.v1.JobService"}')
    nobody = await call(edge, CHECK, JSON, {}, b'{"service": "nobody"}')

    assert ["SERVING"] * 2 == [answer.json()["status"] for answer in (whole, runner)]
    assert (404, "not_found") == code_of(nobody)


async def test_json_is_that_of_the_typed_api(edge: Edge) -> None:
    """Fields without a value are there."""
    answer = await call(edge, GET_SELF, JSON, key_of(edge))
    rest = await edge.http.get("/mesh/v1/self", headers=edge.operator)

    assert rest.json() == answer.json()


@pytest.mark.parametrize(
    ("content", "told"), [(b'{"nam": "jobs/none"}', "mean name?"), (b'{"new": {}}', "known: name")]
)
async def test_names_that_nobody_knows_are_refused(edge: Edge, content: bytes, told: str) -> None:
    """With the one that may be meant, or all."""
    answer = await call(edge, GET_JOB, JSON, key_of(edge), content)

    assert (400, "invalid_argument") == code_of(answer)
    assert "there is no such field" in answer.json()["message"]
    assert told in answer.json()["message"]


async def test_a_detail_is_shown_in_words(edge: Edge) -> None:
    """Beside its value in binary."""
    answer = await call(edge, GET_JOB, JSON, key_of(edge), b'{"name": "jobs/none"}')
    (info,) = answer.json()["details"]

    assert ("google.rpc.ErrorInfo", "NOT_FOUND") == (info["type"], info["debug"]["reason"])


async def test_a_session_knows_its_client(edge: Edge) -> None:
    """By the name that the client has for itself, as with gRPC."""
    body = b'{"login": "admin", "password": "admin"}'
    made = await call(edge, LOGIN, JSON, {"user-agent": "a browser/1"}, body)
    mine = {"authorization": f"Bearer {made.json()['accessToken']}"}
    sessions = await call(edge, LIST_SESSIONS, JSON, mine, b'{"pageSize": 50}')

    assert 200 == sessions.status_code, sessions.text
    assert "a browser/1" in sessions.text


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "{}"),
        (b"[]", "{}"),
        (b"7", "{}"),
        (b'"text"', "{}"),
        (b'{"name": ', "JSON"),
        (b'{"name": 7}', "JSON"),
        (b'{"name": ["x"]}', "JSON"),
        (b'{"name": "a", "name": "b"}', "JSON"),
        (b'{"name": "\\ud800"}', "JSON"),
        (b'{"\\ud800": 1}', "JSON"),
        (b'{"name": "\xff"}', "UTF-8"),
        ('{"name": "x"}'.encode("utf-16"), "UTF-8"),
        (b'{"name": ' + b"[" * LARGE, "JSON"),
        (b'{"name": ' + b'{"a":' * LARGE, "JSON"),
        (b'{"name": ' + b"9" * LARGE + b"}", "JSON"),
    ],
    ids=short,
)
async def test_what_is_no_message_is_told_so(edge: Edge, content: bytes, told: str) -> None:
    """400, whatever is wrong with it."""
    answer = await call(edge, GET_JOB, JSON, key_of(edge), content)

    assert (400, "invalid_argument") == code_of(answer)
    assert told in answer.json()["message"]


async def test_large_json_may_be_sent(edge: Edge) -> None:
    """Up to the limit of any message; more is refused, although it does not say how much it is."""
    room = limits.REQUEST_BYTES_MAX - len(b"{}")
    fits, more = (b"{" + b" " * size + b"}" for size in (room, room + 1))

    async def pieces() -> Any:
        yield more

    sent = {"content-type": JSON, **key_of(edge)}
    taken = await call(edge, GET_SELF, JSON, key_of(edge), fits)
    refused = await edge.http.post(GET_SELF, content=pieces(), headers=sent)

    assert 200 == taken.status_code
    assert (413, "resource_exhausted") == code_of(refused)


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "application/json; charset=latin-1", "application/"])
async def test_another_type_is_refused(edge: Edge, kind: str) -> None:
    """415."""
    answer = await edge.http.post(GET_SELF, content=b"{}", headers={**key_of(edge), "content-type": kind})

    assert 415 == answer.status_code


async def test_a_stream_is_not_asked_of_a_unary_method(edge: Edge) -> None:
    """415, with what it takes."""
    kind = "application/connect+json"
    answer = await edge.http.post(GET_SELF, content=b"\0\0\0\0\2{}", headers={**key_of(edge), "content-type": kind})

    assert (415, "application/json, application/proto") == (answer.status_code, answer.headers["accept-post"])


@pytest.mark.parametrize("kind", [PROTO, JSON])
async def test_another_version_is_refused(edge: Edge, kind: str) -> None:
    """Where somebody looks: of JSON."""
    answer = await call(edge, GET_SELF, kind, {**key_of(edge), "connect-protocol-version": "2"})

    assert (400, "invalid_argument") == code_of(answer) if kind == JSON else answer.status_code == 200


async def test_a_deadline_holds(edge: Edge) -> None:
    """One that is over at once."""
    answer = await call(edge, GET_SELF, JSON, {**key_of(edge), "connect-timeout-ms": "0"})

    assert (504, "deadline_exceeded") == code_of(answer)


@pytest.mark.parametrize("text", ["", "1s", "-1", "12345678901"])
async def test_a_deadline_is_a_number(edge: Edge, text: str) -> None:
    """Of ten digits at most."""
    answer = await call(edge, GET_SELF, JSON, {**key_of(edge), "connect-timeout-ms": text})

    assert (400, "invalid_argument") == code_of(answer)


async def test_headers_that_only_the_mesh_may_set_are_removed(edge: Edge) -> None:
    """What the edge tells the gateway of a call cannot be said by its client."""
    said = {"x-mesh-connect-type": "application/xml", "x-mesh-connect-version": "9", "x-mesh-connect": "gateway"}
    answers = [await call(edge, GET_SELF, kind, {**key_of(edge), **said}) for kind in (PROTO, JSON)]

    assert [200, 200] == [answer.status_code for answer in answers]


# -- compressed ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [PROTO, JSON])
async def test_a_request_may_be_compressed(edge: Edge, kind: str) -> None:
    """With gzip."""
    named = job_pb2.GetJobRequest(name="jobs/none").SerializeToString() if kind == PROTO else b'{"name": "jobs/none"}'
    sent = {**key_of(edge), "content-encoding": "gzip"}
    answer = await call(edge, GET_JOB, kind, sent, gzip.compress(named))
    nothing = await call(edge, GET_SELF, kind, sent, gzip.compress(NOTHING[kind]))

    assert (404, "not_found") == code_of(answer)
    assert 200 == nothing.status_code


@pytest.mark.parametrize("kind", [PROTO, JSON])
async def test_identity_is_no_compression(edge: Edge, kind: str) -> None:
    """And may be named."""
    answer = await call(edge, GET_SELF, kind, {**key_of(edge), "content-encoding": "identity"})

    assert 200 == answer.status_code


@pytest.mark.parametrize("kind", [PROTO, JSON])
async def test_an_unknown_encoding_is_named_with_those_that_are_known(edge: Edge, kind: str) -> None:
    """UNIMPLEMENTED."""
    answer = await call(edge, GET_SELF, kind, {**key_of(edge), "content-encoding": "zstd"})

    assert (501, "unimplemented") == code_of(answer)
    assert "gzip, identity" in answer.json()["message"]
    assert "gzip" == answer.headers["accept-encoding"]


@pytest.mark.parametrize("kind", [PROTO, JSON])
async def test_what_decodes_to_too_much_is_refused(edge: Edge, kind: str) -> None:
    """413: no more than a message is ever held."""
    sent = {**key_of(edge), "content-encoding": "gzip"}
    answer = await call(edge, GET_JOB, kind, sent, SMALL_BOMB)
    twice = await call(edge, GET_JOB, kind, sent, gzip.compress(SMALL_BOMB))

    assert len(SMALL_BOMB) < 10_000
    assert (413, "resource_exhausted") == code_of(answer)
    assert (400, "invalid_argument") == code_of(twice)


@pytest.mark.parametrize("content", [b"{}", PACKED[:-3], PACKED + b"more"], ids=["plain", "cut", "longer"])
async def test_what_is_not_gzip_is_told_so(edge: Edge, content: bytes) -> None:
    """Nothing of it is taken."""
    answer = await call(edge, GET_SELF, JSON, {**key_of(edge), "content-encoding": "gzip"}, content)

    assert (400, "invalid_argument") == code_of(answer)


async def test_an_answer_is_compressed_for_who_asks(edge: Edge) -> None:
    """If it is large enough; with what it depends on."""
    for number in range(8):
        await edge.new_user(f"many-{number}")
    plain = await call(edge, LIST_USERS, JSON, {**key_of(edge), "accept-encoding": "identity"})
    packed, small = [
        await call(edge, path, JSON, {**key_of(edge), "accept-encoding": "br, gzip"}) for path in (LIST_USERS, GET_SELF)
    ]

    assert "content-encoding" not in plain.headers
    assert "gzip" == packed.headers["content-encoding"]
    assert {"accept-encoding"} == {answer.headers["vary"] for answer in (plain, packed, small)}
    assert plain.json() == packed.json()
    assert "content-encoding" not in small.headers


# -- hostile ---------------------------------------------------------------------------------------------------------


async def test_a_cookie_counts_on_our_own_pages_only(edge: Edge) -> None:
    """What a page of another site loads by itself gets no cookie of ours; a token does wherever it comes from."""
    cookie = {"cookie": f"kodosumi_jwt={edge.operator['KODOSUMI_API_KEY']}"}
    ours = await got(edge, GET_SELF, cookie)
    far = [
        await got(edge, GET_SELF, {**cookie, **said})
        for said in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"})
    ]
    token = await got(edge, GET_SELF, {**key_of(edge), "origin": "https://evil.example"})

    assert (200, 200) == (ours.status_code, token.status_code)
    assert {(401, "unauthenticated")} == {code_of(answer) for answer in far}


@pytest.mark.parametrize("encoding", ["", "content-encoding: gzip\n"])
@pytest.mark.parametrize("kind", [PROTO, JSON, "application/connect+json"])
async def test_what_a_stranger_sends_is_not_waited_for(edge: Edge, kind: str, encoding: str) -> None:
    """However it would have been read."""
    head = f"POST {GET_JOB} HTTP/1.1\nhost: {edge.address}\ncontent-type: {kind}\n{encoding}"
    for size in f"content-length: {LARGE}", "transfer-encoding: chunked":
        status, _, body = await raw(edge, f"{head}{size}")

        assert (401, "unauthenticated") == (status, json.loads(body)["code"])


# -- what strangers may cost -------------------------------------------------------------------------------------------


async def test_nothing_of_a_stranger_is_unpacked(edge: Edge) -> None:
    """Nor is much JSON read of one: where a token is needed, it is looked at before the message is."""
    packed = gzip.compress(b"{" + b" " * 100_000)
    for headers, content in (
        ({"content-encoding": "gzip"}, packed),
        ({"content-encoding": "x-gzip"}, packed),
        ({"authorization": "Bearer forged", "content-encoding": "gzip"}, packed),
        ({}, b"{" + b" " * 2_000),
    ):
        assert (401, "unauthenticated") == code_of(await call(edge, CANCEL_JOB, JSON, headers, content))
    asked = {"base64": "1", "compression": "gzip", "message": base64.urlsafe_b64encode(packed).decode()}
    assert (401, "unauthenticated") == code_of(await got(edge, GET_JOB, {}, **asked))


@pytest.mark.parametrize("values", ["{}," * 100_000 + "{}", "1," * 100_000 + "1", '"a",' * 100_000 + "1"], ids=short)
async def test_json_of_very_many_values_is_not_read(edge: Edge, values: str) -> None:
    """Each costs more than its few bytes tell; what is in a text costs nothing."""
    many = await call(edge, GET_JOB, JSON, key_of(edge), f'{{"new": [{values}]}}'.encode())
    text = await call(edge, GET_JOB, JSON, key_of(edge), json.dumps({"name": values}).encode())

    assert (429, "resource_exhausted") == code_of(many)
    assert "binary" in many.json()["message"]
    assert (400, "invalid_argument") == code_of(text)
    assert "name must look like" in text.json()["message"]


async def test_a_method_has_one_spelling(edge: Edge) -> None:
    """The edge's limits know no other, and so nobody answers to one."""
    answer = await call(edge, LOGIN.replace("/Login", "%2FLogin"), JSON, {}, b'{"login": "admin", "password": "admin"}')

    assert 404 == answer.status_code, answer.text


async def test_what_tells_of_a_proxy_is_never_left_out() -> None:
    """A byte that gRPC does not take makes nobody a program of this machine."""
    far = Headers({"x-forwarded-for": "\xe9, 203.0.113.9, 127.0.0.1", "forwarded": "for=\t", "x-Ok": "fine"})

    passed = dict(asking._passed_on(far, frozenset()))

    assert {"x-forwarded-for": "?, 203.0.113.9, 127.0.0.1", "forwarded": "for=?", "x-ok": "fine"} == passed
