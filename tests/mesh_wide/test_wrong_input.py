"""Whatever is sent, the answer is a clear error in the dialect's shape: no stack trace, no hang, no bare 500."""

import socket
from typing import Any

import httpx
import pytest

from agentmesh.testing import Mesh
from tests.mesh_wide.panel import Panel, assert_envelope, parse_sse

APPS = {"formats": "tests.apps.formats:app", "handlers": "tests.apps.handlers:app"}
NO_JOB = "0123456789abcdef01234567"


@pytest.fixture(scope="module", autouse=True)
def _deployed(admin: Panel) -> None:
    admin.deploy(APPS)


# Bodies


@pytest.mark.parametrize("path", ["/expose/", "/api/login", "/role/", "/sumi/handlers/echo/start_job"])
@pytest.mark.parametrize("body", ["{", '{"name": ', "[1, 2", "\x00", '{"a": 1}}', "NaN"])
def test_malformed_json(admin: Panel, path: str, body: str) -> None:
    """A body that is not JSON is refused with 400."""
    answer = admin.http.post(path, content=body, headers={"content-type": "application/json"})
    assert_envelope(answer, 400)


@pytest.mark.parametrize("path", ["/expose/", "/api/login", "/role/", "/sumi/handlers/echo/start_job"])
@pytest.mark.parametrize("body", ["[]", '"text"', "5", "null"])
def test_json_of_another_kind(admin: Panel, path: str, body: str) -> None:
    """JSON that is no object is refused with 400."""
    answer = admin.http.post(path, content=body, headers={"content-type": "application/json"})
    assert_envelope(answer, 400)


@pytest.mark.parametrize("path", ["/expose/", "/role/"])
def test_another_content_type(admin: Panel, path: str) -> None:
    """What claims to be XML is not read as JSON."""
    answer = admin.http.post(path, content="<name>x</name>", headers={"content-type": "application/xml"})
    assert_envelope(answer, 400, 415)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "name"),
        ({"name": 5}, "name"),
        ({"name": "Has Spaces"}, "name"),
        ({"name": "../etc"}, "name"),
        ({"name": "x" * 5000}, "name"),
        ({"name": "x", "bootstrap": "a: [1"}, "bootstrap"),
        ({"name": "x", "bootstrap": "fork: true\nruntime-env: {}"}, "line 2, column 1"),
        ({"name": "x", "bootstrap": "import_path: not an import path"}, "package.module:attribute"),
        ({"name": "x", "bootstrap": ["no", "text"]}, "bootstrap"),
        ({"name": "x", "network": "Moonnet"}, "network"),
        ({"name": "x", "meta": "text"}, "meta"),
        ({"name": "x", "meta": [{"data": "a: 1"}]}, "url"),
        ({"name": "x", "meta": [{"url": "/x/", "data": "a: [1"}]}, "data"),
        ({"name": "x", "enabled": "perhaps"}, "enabled"),
    ],
)
def test_wrong_exposes(admin: Panel, body: dict[str, Any], words: str) -> None:
    """A wrong expose is refused with 400, the field is named, and nothing is kept."""
    before = admin.http.get("/expose/").json()
    answer = admin.http.post("/expose/", json=body)
    envelope = assert_envelope(answer, 400)
    assert words in envelope["detail"]
    assert admin.http.get("/expose/").json() == before


def test_an_old_etag_is_refused(admin: Panel) -> None:
    """Who saves over somebody else's change is told so with 409."""
    answer = admin.http.post("/expose/", json={"name": "formats", "bootstrap": "import_path: a.b:c", "etag": "1.5"})
    body = assert_envelope(answer, 409)
    assert "modified by another user" in body["detail"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"identifier_from_purchaser": 5}, "identifier_from_purchaser"),
        ({"identifier_from_purchaser": "x", "input_data": "text"}, "input_data"),
        ({"identifier_from_purchaser": "x", "input_data": [1]}, "input_data"),
    ],
)
def test_wrong_start_job(admin: Panel, body: dict[str, Any], words: str) -> None:
    """Fields of the wrong type are refused with 400 and named."""
    answer = admin.http.post("/sumi/handlers/echo/start_job", json=body)
    assert words in assert_envelope(answer, 400)["detail"]


@pytest.mark.parametrize("path", ["/flow?pp=x", "/flow?pp=-1", "/timeline/list?pp=x", "/timeline/changes?since=x"])
def test_wrong_query(admin: Panel, path: str) -> None:
    """A parameter that is no number is refused with 400."""
    assert_envelope(admin.http.get(path), 400)


def test_a_body_of_five_megabytes(admin: Panel) -> None:
    """A large body is either taken or refused with 400 or 413 and the limit, at once."""
    url = admin.flow_url("handlers", "echo")
    answer = admin.http.post(url, json={"say": "x" * 5_000_000})
    if answer.status_code == 200:
        fid = answer.json()["result"]
        assert admin.wait(fid)["status"] in ("finished", "error")
    else:
        assert_envelope(answer, 400, 413)
    answer = admin.http.post(
        "/expose/", json={"name": "large", "bootstrap": "import_path: a.b:c\n# " + "x" * 5_000_000}
    )
    assert_envelope(answer, 400, 413)
    admin.until_healthy()


# Addresses


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", ["/no/such/route", "/outputs", "/expose/x/y/z/w", "/%2e%2e/%2e%2e/etc/passwd"])
def test_unknown_routes(admin: Panel, method: str, path: str) -> None:
    """A route that does not exist is 404, one that exists with other methods is 404 or 405."""
    if (method, path) == ("DELETE", "/outputs"):
        return  # exists: with a body
    answer = admin.http.request(method, path)
    assert answer.status_code in (404, 405), answer.text
    body = answer.json()
    assert set(body) == {"error", "path", "detail", "status_code"}


@pytest.mark.parametrize("fid", [NO_JOB, "x", "0", "%2e%2e%2f", "%00", "a" * 3000, "🎈", "'; DROP TABLE jobs; --"])
@pytest.mark.parametrize("route", ["/outputs/status/{}", "/outputs/stream/{}", "/outputs/raw/{}", "/sumi/status/{}"])
def test_unknown_ids(admin: Panel, route: str, fid: str) -> None:
    """An id that was never issued is 404, or 400 if it cannot be one."""
    answer = admin.http.get(route.format(fid))
    assert answer.status_code in (400, 404), answer.text
    body = answer.json()
    assert set(body) == {"error", "path", "detail", "status_code"}
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/expose/no-such-expose"),
        ("DELETE", "/expose/no-such-expose"),
        ("GET", "/role/no-such-role"),
        ("GET", "/sumi/no-such-expose"),
        ("GET", "/sumi/no-such-expose/flow"),
        ("GET", "/sumi/formats/no-such-flow"),
        ("GET", "/sumi/no-such-expose/input_schema"),
        ("GET", "/-/localhost/8005/no-such-expose/-/"),
        ("POST", "/-/localhost/8005/no-such-expose/-/"),
    ],
)
def test_unknown_names(admin: Panel, method: str, path: str) -> None:
    """What does not exist is 404, whatever it is."""
    assert_envelope(admin.http.request(method, path), 404)


def test_the_form_of_an_unknown_flow(admin: Panel) -> None:
    """A page that does not exist is a page that says so, with 404."""
    answer = admin.http.get("/inputs/-/localhost/8005/no-such-expose/-/")
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")


def test_start_job_of_an_unknown_service(admin: Panel) -> None:
    """Starting what does not exist is 404."""
    answer = admin.http.post("/sumi/no-such-expose/start_job", json={"identifier_from_purchaser": "x"})
    assert_envelope(answer, 404)


@pytest.mark.parametrize("path", ["/flow?q=", "/outputs/status/", "/-/localhost/8005/formats/-/", "/no/such/"])
@pytest.mark.parametrize("length", [10_000, 50_000])
def test_long_addresses(admin: Panel, path: str, length: int) -> None:
    """An address of any length has an answer in the usual shape, which tells nothing of the inside."""
    answer = admin.http.get(path + "x" * length)
    assert answer.status_code in (200, 400, 404, 414, 431), answer.text[-300:]
    assert "metadata" not in answer.text
    assert "x-mesh" not in answer.text


def test_headers_that_are_too_large(admin: Panel) -> None:
    """A header of 100 KB is refused with 431."""
    answer = admin.http.get("/flow", headers={"x-large": "x" * 100_000})
    assert answer.status_code == 431
    assert set(answer.json()) == {"error", "path", "detail", "status_code"}


@pytest.mark.parametrize(
    "path", ["/flow", "/health", "/no/such", "/-/localhost/8005/formats/-/text", "/-/localhost/8005/no-such/-/"]
)
def test_head_has_no_body(mesh: Mesh, admin: Panel, path: str) -> None:
    """The answer to HEAD ends with its headers: a body would be read as the next answer (RFC 9110 §9.3.2)."""
    url = httpx.URL(mesh.url)
    lines = (f"HEAD {path} HTTP/1.1", f"host: {url.host}", f"KODOSUMI_API_KEY: {admin.token}", "connection: close")
    with socket.create_connection((url.host, url.port or 80), timeout=30) as connection:
        connection.sendall("\r\n".join((*lines, "", "")).encode())
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    assert received.startswith(b"HTTP/1.1 ")
    assert received.partition(b"\r\n\r\n")[2] == b""


# Repeated requests


def test_a_launch_that_is_repeated(admin: Panel) -> None:
    """The same Idempotency-Key and body give the same job; the key with another body is refused."""
    url, headers = admin.flow_url("formats", "text"), {"Idempotency-Key": "launch-1"}
    first, again = (admin.http.post(url, json={"say": "a"}, headers=headers).json()["result"] for _ in range(2))
    assert first == again
    assert_envelope(admin.http.post(url, json={"say": "b"}, headers=headers), 400, 409, 422)


def test_a_start_job_that_is_repeated(admin: Panel) -> None:
    """The same holds for start_job."""
    headers, body = {"Idempotency-Key": "start-1"}, {"identifier_from_purchaser": "a"}
    first, again = (
        admin.http.post("/sumi/formats/text/start_job", json=body, headers=headers).json()["job_id"] for _ in range(2)
    )
    assert first == again


@pytest.mark.parametrize("last", ["abc", "-1", "999999999", "1e3", "9" * 30])
def test_a_strange_last_event_id(admin: Panel, private_job: str, last: str) -> None:
    """What is no number is refused or taken for nothing; one behind the end gives nothing more."""
    answer = admin.http.get(f"/outputs/stream/{private_job}", headers={"Last-Event-ID": last})
    if answer.status_code == 200:
        events = parse_sse(answer.text)
        assert events[-1].event == "eof"
    else:
        assert_envelope(answer, 400)
