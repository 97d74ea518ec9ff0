"""Bodies and queries of our own API in JSON: what is wrong with them is said in words, and nothing is passed over."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.gateway.asking import Asking
from tests.gateway.edge.test_typed import Typed

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def typed(asking: Asking) -> Typed:
    """The typed API of a mesh that has the flows that ask."""
    return Typed(asking.edge)


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(
    ("body", "told"),
    [
        (
            b"{nope",
            "not JSON: Expecting property name enclosed in double quotes (line 1, column 2); send one JSON object",
        ),
        (b"", "target"),
        (b'{"target": 5}', "target: text is expected, not 5"),
        (b"[]", "the body: an object is expected, not a list"),
        (b"null", "the body: an object is expected, not null"),
        (b"\xff", "not UTF-8 (byte 0)"),
        (b"target=flows/asking", "send one JSON object"),
        (b'{"target": "flows/asking", "imputs": {}}', "imputs: there is no such field; did you mean inputs?"),
        (
            b'{"target": "flows/asking", "retries": {"attempt": 2}}',
            "retries.attempt: there is no such field; did you mean",
        ),
        (b'{"target": "flows/asking", "deadline_s": "soon"}', 'deadline_s: a number is expected, not "soon"'),
    ],
    ids=ascii,
)
async def test_a_bad_body_is_refused(typed: Typed, body: bytes, told: str, chunked: bool) -> None:
    """In words that name the field or the place, and no job is born; in the same shape."""

    async def pieces() -> AsyncIterator[bytes]:
        yield body

    content: Any = pieces() if chunked else body
    answer = await typed.call("POST", "jobs", content=content, headers={"content-type": "application/json"})

    assert (400, 3) == (answer.status_code, answer.json()["code"]), answer.text
    assert told in answer.text.replace('\\"', '"')
    assert "transcode" not in answer.text


@pytest.mark.parametrize(
    ("method", "query", "told"),
    [
        ("GET", "pagesize=1", "query parameter pagesize: there is none of this name; did you mean pageSize?"),
        ("GET", "nothing=1", "known: allOwners, "),
        ("POST", "target=flows/asking", "query parameter target: this call takes its fields in the body, as JSON"),
    ],
)
async def test_a_query_that_nobody_reads_is_refused(typed: Typed, method: str, query: str, told: str) -> None:
    """Whatever would have been left out is named, with what may be meant."""
    answer = await typed.call(method, f"jobs?{query}")

    assert (400, 3) == (answer.status_code, answer.json()["code"]), answer.text
    assert told in answer.json()["message"]
    assert 200 == (await typed.call("GET", "jobs?pageSize=1&page_token=")).status_code


async def test_nobody_else_asks_for_checks(typed: Typed) -> None:
    """What the edge asks the gateway is no path of the mesh, whatever a client sends with it."""
    answer = await typed.edge.http.post("/mesh/v1-check/mesh/v1/jobs", headers={"x-mesh-check": "1"}, content=b"{")

    assert 404 == answer.status_code


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("path", ["jobs", "schedules/", "batches/-/uploads", "files"])
@pytest.mark.parametrize("start", [b'{"inputs": {"a": "', b"aaaa"])
async def test_a_body_that_is_too_large_is_refused(typed: Typed, path: str, start: bytes, chunked: bool) -> None:
    """413 in our own shape, whatever is in it, and whether or not the client says how much is coming."""
    body = start + b"a" * 5_000_000 + b'"}}'

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(body), 65536):
            yield body[at : at + 65536]

    content: Any = pieces() if chunked else body
    answer = await typed.call("POST", path, content=content, headers={"content-type": "application/json"})
    after = await typed.call("GET", "jobs")

    said = {"code": 8, "message": "body is larger than 4 MiB: send less", "details": []}
    assert (413, said) == (answer.status_code, answer.json())
    assert 200 == after.status_code


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(
    "filled", [b'"' + b"a" * 4_000_000 + b'"', b"[0" + b",0" * 500_000 + b"]"], ids=["text", "list"]
)
async def test_a_body_of_less_is_read(typed: Typed, filled: bytes, chunked: bool) -> None:
    """Also if what is made of it is larger; it is then refused for what it says."""
    body = b'{"target": "flows/none", "inputs": {"a": ' + filled + b"}}"

    async def pieces() -> AsyncIterator[bytes]:
        yield body[:1000]
        yield body[1000:]

    content: Any = pieces() if chunked else body
    answer = await typed.call("POST", "jobs", content=content, headers={"content-type": "application/json"})

    assert 404 == answer.status_code, answer.text
