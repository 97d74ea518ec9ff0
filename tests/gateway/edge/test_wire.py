"""What HTTP allows and frameworks forget: spaces as `+`, headers in several lines, HEAD, encoded bodies, early ends."""

import asyncio
import gzip
import json
import zlib
from typing import Any

import pytest

from gateway.edge import limits
from tests.gateway.stack import DEADLINE_S, Edge, Panel, until_healthy

pytestmark = pytest.mark.asyncio(loop_scope="module")

CREDENTIALS = {"name": "admin", "password": "admin"}


async def raw(edge: Edge, head: str, body: bytes = b"") -> tuple[int, dict[str, str], bytes]:
    """Send a request whose body need not be complete; return status, headers and what follows at once."""
    reader, writer = await asyncio.open_connection(edge.config.host, edge.config.port)
    try:
        writer.write(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)
        async with asyncio.timeout(DEADLINE_S):
            lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
            if head.startswith("HEAD"):  # a body would be taken for the next answer
                writer.write(b"GET /favicon.ico HTTP/1.1\r\nhost: localhost\r\n\r\n")
                return int(lines[0].split()[1]), headers, await reader.readexactly(13)
            return int(lines[0].split()[1]), headers, await reader.readexactly(int(headers["content-length"]))
    finally:
        writer.close()


async def test_a_socket_where_there_is_none_is_refused_at_once(edge: Edge) -> None:
    """With a query, too: what it sends has no end that could be waited for."""
    upgrade = (
        "host: localhost\nconnection: upgrade\nupgrade: websocket\nsec-websocket-version: 13\nsec-websocket-key: a"
    )
    for path in ("/mesh/v1/jobs", "/mesh/v1/jobs?a=1", "/mesh/v1/nothing", "/sumi/", "/flow", "/nothing"):
        status, _, _ = await raw(edge, f"GET {path} HTTP/1.1\n{upgrade}")
        assert 400 <= status < 500, path


# -- queries and paths -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", ["+", "%20"])
async def test_a_space_in_a_query_may_be_a_plus(edge: Edge, space: str) -> None:
    """In a search, in a sign-in and in what the web app reads; `%2B` is a plus."""
    name = f"two words{len(space)}"
    role = {"name": name, "email": f"w{len(space)}@example.com", "password": "a b+c a b+c"}
    made = await edge.http.post("/role", json=role, headers=edge.operator)
    query = f"name={name.replace(' ', space)}&password={role['password'].replace('+', '%2B').replace(' ', space)}"
    signed_in = await edge.http.get(f"/login?{query}")
    edge.http.cookies.clear()
    listed = await edge.http.get(f"/timeline/list?q=a{space}b%2Bc", headers=edge.operator)

    assert (201, 200) == (made.status_code, signed_in.status_code)
    assert name == signed_in.json()["name"]
    assert "a b+c" == listed.json()["query"]


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/role/a%40b%2Bc", "user a@b+c not found"),
        ("/role/a+b", "user a+b not found"),
        ("/mesh/v1/users/a%40b", "user a@b not found"),
        ("/mesh/v1/flows/x/a%20b", "Flow 'x/a b' not found"),
        ("/mesh/v1/flows/x/a%2Fb", "Flow 'x/a%2Fb' not found"),
    ],
)
async def test_what_is_encoded_in_a_path_is_decoded(edge: Edge, path: str, named: str) -> None:
    """A plus is a plus there; an encoded slash separates nothing."""
    answer = await edge.http.get(path, headers=edge.operator)

    assert 404 == answer.status_code
    assert named in answer.text


# -- headers in several lines ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Idempotency-Key", "Last-Event-ID", "KODOSUMI_API_KEY", "token"])
@pytest.mark.parametrize("path", ["/-/raw/", "/sumi/raw/start_job", "/api/v1/payment", "/mesh/v1/jobs"])
async def test_two_lines_that_contradict_each_other_are_refused(edge: Edge, path: str, name: str) -> None:
    """Neither counts, whichever dialect is asked."""
    key = edge.operator["KODOSUMI_API_KEY"]
    credential = "" if name == "KODOSUMI_API_KEY" else f"KODOSUMI_API_KEY: {key}\n"
    value = key if name == "KODOSUMI_API_KEY" else "a"
    head = f"POST {path} HTTP/1.1\nhost: localhost\n{credential}{name}: {value}\n{name}: {value}\ncontent-length: 2"
    status, _, _ = await raw(edge, head, b"{}")

    assert 400 == status


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ("authorization: Bearer {key}\nauthorization: Bearer {key}\ncontent-type: application/json", 401),
        ("KODOSUMI_API_KEY: {key}\ncontent-type: application/json\ncontent-type: text/plain", 400),
    ],
)
async def test_lines_that_are_joined_to_nonsense_are_nonsense(edge: Edge, lines: str, status: int) -> None:
    """No line wins over another."""
    lines = lines.format(key=edge.operator["KODOSUMI_API_KEY"])
    answer = await raw(edge, f"POST /expose HTTP/1.1\nhost: localhost\n{lines}\ncontent-length: 2", b"{}")

    assert status == answer[0]


async def test_the_refusal_names_the_header(edge: Edge) -> None:
    """And what to do."""
    head = "POST /api/login HTTP/1.1\nhost: localhost\nidempotency-key: 1\nidempotency-key: 2\ncontent-length: 2"
    status, _, body = await raw(edge, head, b"{}")

    assert 400 == status
    assert "header idempotency-key came more than once: send it in one line" in json.loads(body)["detail"]


async def test_lines_that_belong_together_are_joined(edge: Edge, panel: Panel) -> None:
    """What an app gets has every line."""
    key = edge.operator["KODOSUMI_API_KEY"]
    lines = "x-many: 1\nx-many: 2\naccept-language: de\naccept-language: en\naccept: x/y\naccept: z/z"
    lines += "\ncookie: a=1\ncookie: b=2"
    _, _, body = await raw(edge, f"GET /-/raw/mirror/x HTTP/1.1\nhost: localhost\nKODOSUMI_API_KEY: {key}\n{lines}")
    seen = json.loads(body)["headers"]

    assert ["1", "2"] == [item.strip() for item in seen["x-many"].split(",")]
    assert ["de", "en"] == [item.strip() for item in seen["accept-language"].split(",")]
    assert ["x/y", "z/z"] == [item.strip() for item in seen["accept"].split(",")]
    assert "a=1; b=2" == seen["cookie"]


# -- HEAD ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/", "/docs", "/docs/sumi", "/openapi/mesh.json", "/flow", "/flow/tags", "/role", "/expose", "/boot",
        "/timeline/list", "/admin/flow", "/outputs/status/0123", "/sumi", "/sumi/raw", "/sumi/nope",
        "/sumi/raw/availability", "/api/v1/health", "/api/v1/payment", "/mesh/v1/self", "/mesh/v1/jobs",
        "/mesh/v1/jobs/0123:watch", "/-/raw/binary", "/inputs/-/localhost/8005/raw/-/", "/nope", "/login",
        "/v1/crews", "/api/agents", "/api/runtime/live", "/mip003/none/availability", "/panel/flows", "/health",
    ],
)  # fmt: skip
async def test_head_is_get_without_the_body(edge: Edge, panel: Panel, path: str) -> None:
    """The same status, type and length, in every dialect, of pages, references and errors."""
    if path == "/health":
        await until_healthy(edge.http)
    get = await panel.call("GET", path)
    key = edge.operator["KODOSUMI_API_KEY"]
    request = f"HEAD {path} HTTP/1.1\nhost: {edge.address}\nKODOSUMI_API_KEY: {key}"
    if path == "/-/raw/binary":  # FastAPI gives its routes no HEAD
        assert 405 == (await raw(edge, request))[0]
        return
    status, headers, rest = await raw(edge, request)

    assert get.status_code == status
    assert get.headers["content-type"] == headers["content-type"]
    assert str(len(get.content)) == headers["content-length"]
    assert b"HTTP/1.1 204 " == rest


async def test_the_head_of_a_stream_comes_at_once(edge: Edge, panel: Panel) -> None:
    """Whether or not there is anything to say yet, and without waiting for its end."""
    job = (await panel.call("POST", "/-/raw/", json={"say": "x"})).json()["result"]
    key = edge.operator["KODOSUMI_API_KEY"]
    kinds = {
        f"/outputs/stream/{job}": "text/event-stream; charset=utf-8",
        f"/mesh/v1/jobs/{job}:watch": "application/x-ndjson",
        f"/panel/live/executions/{job}/result": "text/event-stream; charset=utf-8",
        "/panel/live/inbox": "text/event-stream; charset=utf-8",
    }
    for path, kind in kinds.items():
        status, headers, rest = await raw(edge, f"HEAD {path} HTTP/1.1\nhost: localhost\nKODOSUMI_API_KEY: {key}")

        assert (200, kind, b"HTTP/1.1 204 ") == (status, headers["content-type"], rest)


# -- encoded bodies --------------------------------------------------------------------------------------------------


def raw_deflate(data: bytes) -> bytes:
    """Compress without the frame, as some clients do."""
    return zlib.compress(data, wbits=-15)


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [("gzip", gzip.compress), ("x-gzip", gzip.compress), ("GZIP", gzip.compress), ("deflate", zlib.compress),
     ("deflate", raw_deflate), ("identity", bytes)],
)  # fmt: skip
async def test_an_encoded_body_is_decoded(edge: Edge, panel: Panel, encoding: str, encode: Any) -> None:
    """As JSON, as a form, and for an app, which sees no trace of it."""
    form = b"name=admin&password=admin"
    headers = {"content-encoding": encoding}
    as_json = {**headers, "content-type": "application/json"}
    as_form = {**headers, "content-type": "application/x-www-form-urlencoded"}
    answers = [
        await edge.http.post("/api/login", content=encode(json.dumps(CREDENTIALS).encode()), headers=as_json),
        await edge.http.post("/login", content=encode(form), headers=as_form),
    ]
    edge.http.cookies.clear()
    seen = (await panel.call("POST", "/-/raw/mirror/x", content=encode(b"hello"), headers=headers)).json()

    assert [200, 200] == [answer.status_code for answer in answers]
    assert "hello" == seen["body"]
    assert "5" == seen["headers"]["content-length"]
    assert "content-encoding" not in seen["headers"]


@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, gzip", "x" * 300])
@pytest.mark.parametrize("path", ["/api/login", "/-/raw/mirror/x", "/sumi/raw/start_job", "/api/v1/payment", "/nope"])
async def test_other_encodings_are_refused(edge: Edge, path: str, encoding: str) -> None:
    """415, which says what is taken."""
    headers = {**edge.operator, "content-encoding": encoding}
    answer = await edge.http.post(path, content=b"{}", headers=headers)

    assert (415, "gzip, deflate") == (answer.status_code, answer.headers["accept-encoding"])
    assert "gzip or deflate" in answer.text


async def test_the_typed_api_takes_no_encoding(edge: Edge) -> None:
    """Its bodies go straight to the services."""
    headers = {**edge.operator, "content-encoding": "gzip"}
    answer = await edge.http.post("/mesh/v1/jobs", content=gzip.compress(b"{}"), headers=headers)

    assert (415, "identity") == (answer.status_code, answer.headers["accept-encoding"])
    assert 3 == answer.json()["code"]


@pytest.mark.parametrize("size", [limits.BODY_BYTES_MAX + 1, 2_000_000_000])
async def test_a_small_body_of_a_large_one_is_refused(edge: Edge, size: int) -> None:
    """Before more than the limit is made of it: two gigabytes take no time."""
    packer = zlib.compressobj(9, wbits=31)
    piece = b" " * 1_000_000
    body = b"".join(packer.compress(piece) for _ in range(size // len(piece))) + packer.compress(
        b" " * (size % len(piece))
    )
    headers = {"content-encoding": "gzip", "content-type": "application/json"}
    answer = await edge.http.post("/api/login", content=body + packer.flush(), headers=headers)

    assert 413 == answer.status_code


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize("body", [b"{}", gzip.compress(b'{"name": "admin"}', mtime=0)[:-9]])
async def test_a_body_that_is_not_what_it_says_is_refused(edge: Edge, body: bytes, encoding: str) -> None:
    """Or one that is cut off."""
    headers = {"content-encoding": encoding, "content-type": "application/json"}
    answer = await edge.http.post("/api/login", content=body, headers=headers)

    assert 400 == answer.status_code
    assert f"the body is not {encoding}: send it as it is" in answer.text


# -- refusals that wait for no body ----------------------------------------------------------------------------------

_KEY = "KODOSUMI_API_KEY: {key}\n"


@pytest.mark.parametrize("length", ["content-length: 1000000", "transfer-encoding: chunked"])
@pytest.mark.parametrize(
    ("path", "more", "status"),
    [
        ("/expose", "", 401),
        ("/-/raw/", "", 401),
        ("/sumi/raw/start_job/", "", 401),
        ("/mesh/v1/jobs", "", 401),
        ("/mesh/v1/jobs/0123:cancel", "", 401),
        ("/expose", "authorization: Bearer nothing\n", 401),
        ("/sumi/raw/start_job", "cookie: kodosumi_jwt=nothing\n", 401),
        ("/nope", _KEY, 404),
        ("/flow", _KEY, 405),
        ("/api/login", "content-encoding: br\n", 415),
        ("/api/login", "idempotency-key: 1\nidempotency-key: 2\n", 400),
    ],
)
async def test_a_refusal_waits_for_no_body(edge: Edge, path: str, more: str, status: int, length: str) -> None:
    """Here the body never comes."""
    more = more.format(key=edge.operator["KODOSUMI_API_KEY"])
    answer = await raw(edge, f"POST {path} HTTP/1.1\nhost: localhost\n{more}{length}")

    assert status == answer[0]
    assert "application/json" == answer[1]["content-type"].partition(";")[0]


async def test_a_body_without_an_end_is_refused_in_its_middle(edge: Edge) -> None:
    """When it has become too large, though the client goes on."""
    piece = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    answer = await raw(edge, "POST /api/login HTTP/1.1\nhost: localhost\ntransfer-encoding: chunked", piece * 9)

    assert 413 == answer[0]


# -- sizes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("letter", ["a", "語", "😀", "\\u8a9e"])
@pytest.mark.parametrize("path", ["/-/raw/", "/sumi/raw/start_job", "/api/login", "/api/v1/payment"])
async def test_a_body_counts_its_bytes(edge: Edge, panel: Panel, path: str, letter: str) -> None:
    """Whatever the alphabet; an escape counts as it was sent."""
    headers = {"content-type": "application/json", "token": "dev"}
    found = []
    for size in (limits.BODY_BYTES_MAX - 10, limits.BODY_BYTES_MAX + 10):
        text = letter * ((size - 8) // len(letter.encode()))
        body = f'{{"a":"{text}"}}'.encode().ljust(size)
        found.append((await panel.call("POST", path, content=body, headers=headers)).status_code == 413)

    assert [False, True] == found
