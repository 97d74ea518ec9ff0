"""Calls of Connect by GET: what only reads, in both codecs."""

import base64
import gzip

import pytest
from agentmesh_protos.auth.v1 import auth_pb2
from agentmesh_protos.runner.v1 import job_pb2

from tests.gateway.edge.test_connect import CANCEL_JOB, GET_JOB, GET_SELF, JSON, key_of
from tests.gateway.edge.test_connect_calls import AS_JSON, LOGIN, code_of, got
from tests.gateway.stack import Edge

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_what_reads_is_called_by_get(edge: Edge) -> None:
    """In both codecs, as base64 or not, compressed or not."""
    none = b'{"name": "jobs/none"}'
    binary = job_pb2.GetJobRequest(name="jobs/none").SerializeToString()

    def safe(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).decode()

    key = key_of(edge)
    answers = [
        await got(edge, GET_JOB, key, message=none.decode()),
        await got(edge, GET_JOB, key, message=safe(none), base64="1"),
        await got(edge, GET_JOB, key, message=safe(none).rstrip("="), base64="1"),
        await got(edge, GET_JOB, key, message=safe(gzip.compress(none)), base64="1", compression="gzip"),
        await got(edge, GET_JOB, key, message=safe(binary), base64="1", encoding="proto"),
        await got(edge, GET_JOB, key, message=binary.decode(), encoding="proto", connect="v1"),
    ]
    myself = await got(edge, GET_SELF, key, message="", encoding="proto")

    assert {(404, "not_found")} == {code_of(answer) for answer in answers}
    assert {"job not found"} == {answer.json()["message"] for answer in answers}
    assert "admin" == auth_pb2.User.FromString(myself.content).login


@pytest.mark.parametrize("method", ["HEAD", "GET"])
async def test_head_works_where_get_does(edge: Edge, method: str) -> None:
    """With the same head, of an error, too."""
    right = await edge.http.request(method, GET_SELF, params=AS_JSON, headers=key_of(edge))
    wrong = await edge.http.request(method, GET_SELF, params={**AS_JSON, "message": "["}, headers=key_of(edge))

    assert (200, 400) == (right.status_code, wrong.status_code)
    assert {JSON} == {answer.headers["content-type"] for answer in (right, wrong)}
    assert [method == "GET"] * 2 == [bool(answer.content) for answer in (right, wrong)]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", CANCEL_JOB, "POST"),
        ("HEAD", CANCEL_JOB, "POST"),
        ("GET", LOGIN, "POST"),
        ("GET", "/mesh.runner.v1.JobService/WatchJob", "POST"),
        ("PUT", CANCEL_JOB, "POST"),
        ("PUT", GET_SELF, "GET, HEAD, POST"),
        ("DELETE", GET_SELF, "GET, HEAD, POST"),
        ("OPTIONS", GET_SELF, "GET, HEAD, POST"),
    ],
)
async def test_what_changes_something_is_not_called_by_get(edge: Edge, method: str, path: str, allowed: str) -> None:
    """405, with what may be."""
    answer = await edge.http.request(method, path, params=AS_JSON, headers=key_of(edge))

    assert (405, allowed) == (answer.status_code, answer.headers["allow"])


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 415),
        ("connect=v1&message={}", 415),
        ("encoding=xml&message={}", 415),
        ("encoding=json", 400),
        ("connect=v2&encoding=json&message={}", 400),
        ("encoding=json&message=", 400),
        ("encoding=json&message=%ff", 400),
        ("encoding=json&message=a&base64=1", 400),
        ("encoding=json&message=%7B%7D&base64=1", 400),
        ("encoding=json&message={}&compression=gzip", 400),
        ("encoding=json&message={}&compression=br", 501),
    ],
)
async def test_a_query_that_is_no_call_is_told_so(edge: Edge, query: str, status: int) -> None:
    """In the shape of Connect."""
    answer = await edge.http.get(f"{GET_SELF}?{query}", headers=key_of(edge))

    assert status == answer.status_code
    assert answer.json()["code"] in ("unimplemented", "invalid_argument")


async def test_what_nobody_has_is_not_found_by_get(edge: Edge) -> None:
    """As by POST."""
    found = [await got(edge, path, key_of(edge)) for path in ("/mesh.auth.v1.UserService/Nope", "/no.such.Thing/Nope")]

    assert {(501, "unimplemented")} == {code_of(answer) for answer in found}
