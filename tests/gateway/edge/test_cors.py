"""Pages that `AGENTMESH_ORIGINS` names may call (CORS): with a token, and never with cookies; no other page may."""

from collections.abc import AsyncIterator

import httpx
import pydantic
import pytest
import pytest_asyncio

from gateway.config import EdgeConfig
from gateway.dialects import DIALECTS
from gateway.edge import origins
from meshkit.service import from_environment
from tests.gateway.stack import Edge, enveloped
from tests.ports import free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGE, BELOW, KODA_PAGE = "https://app.example.com", "https://*.example.org:8443", "http://koda.example.com:3000"
TOKEN_CALLS = [
    ("GET", "/flow"),
    ("GET", "/role/profile"),
    ("GET", "/outputs/stream/none"),
    ("GET", "/sumi"),
    ("GET", "/mip003/none/availability"),
    ("GET", "/api/v1/payment?network=Preprod"),
    ("GET", "/v1/crews"),
    ("GET", "/api/agents"),
    ("GET", "/api/runtime/live"),
    ("GET", "/mesh/v1/self"),
    ("GET", "/mesh/v1/jobs/none:watch"),
    ("GET", "/mesh/v1/files/none/out/x"),
    ("GET", "/files/none"),
    ("POST", "/mesh/v1/jobs/none:cancel"),
    ("DELETE", "/mesh/v1/jobs/none"),
    ("GET", "/health"),
    ("GET", "/openapi/mesh.json"),
]
"""Of every dialect, and what is for anybody."""
RPCS = ["application/grpc-web+proto", "application/grpc-web-text", "application/proto", "application/json"]
GET_SELF = "/mesh.auth.v1.UserService/GetSelf"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http(edge: Edge, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx.AsyncClient]:
    """A front door of the mesh that pages may call."""
    port = free_port()
    named = {"*": [PAGE, BELOW, f"http://127.0.0.1:{port}"], "koda": [KODA_PAGE]}  # its own, as a wildcard may have it
    config = edge.config.model_copy(update={"port": port, "origins": named})
    async with enveloped(config, edge.jwks_json, tmp_path_factory.mktemp("cors")) as client:
        yield client


def preflight(origin: str, verb: str = "POST") -> dict[str, str]:
    """Return what a browser sends ahead of a request that is not simple."""
    asked = {"access-control-request-method": verb, "access-control-request-headers": "authorization"}
    return {"origin": origin, "sec-fetch-site": "cross-site", **asked}


@pytest.mark.parametrize(("verb", "path"), TOKEN_CALLS)
async def test_a_named_page_may_call_everything(http: httpx.AsyncClient, edge: Edge, verb: str, path: str) -> None:
    """Whatever is answered it may read; to nobody else is anything said of it."""
    asked = await http.options(path, headers=preflight(PAGE, verb))
    page = {"origin": PAGE, "sec-fetch-site": "cross-site"}
    bearer = {"authorization": f"Bearer {edge.operator['KODOSUMI_API_KEY']}", "token": "dev"}
    answer = await http.request(verb, path, headers={**page, **bearer})
    other = await http.options(path, headers=preflight("https://evil.example", verb))
    closed = await edge.http.options(path, headers=preflight(PAGE, verb))  # no page is named there

    assert 200 == asked.status_code
    assert verb in asked.headers["access-control-allow-methods"]
    assert {"authorization", "kodosumi_api_key", "idempotency-key"} <= set(
        asked.headers["access-control-allow-headers"].split(", ")
    )
    assert answer.status_code not in (401, 403, 405), answer.text
    for found in asked, answer:
        assert PAGE == found.headers["access-control-allow-origin"]
        assert "origin" in found.headers["vary"]
        assert "access-control-allow-credentials" not in found.headers
    assert {"retry-after", "location", "x-request-id", "grpc-status"} <= set(
        answer.headers["access-control-expose-headers"].split(", ")
    )
    for found in other, closed:
        assert "access-control-allow-origin" not in found.headers


@pytest.mark.parametrize("kind", RPCS)
async def test_a_named_page_may_call_methods(http: httpx.AsyncClient, edge: Edge, kind: str) -> None:
    """In gRPC-Web and in Connect."""
    asked = await http.options(GET_SELF, headers=preflight(PAGE))
    body = {"application/json": b"{}", "application/proto": b"", RPCS[1]: b"AAAAAAA="}.get(kind, b"\0\0\0\0\0")
    headers = {"origin": PAGE, "content-type": kind, **edge.operator}
    answer = await http.post(GET_SELF, content=body, headers=headers)

    assert {"x-grpc-web", "connect-protocol-version"} <= set(asked.headers["access-control-allow-headers"].split(", "))
    assert (200, PAGE) == (answer.status_code, answer.headers["access-control-allow-origin"])
    assert "0" == answer.headers.get("grpc-status", "0")


async def test_what_is_kept_for_one_page_is_none_for_another(http: httpx.AsyncClient) -> None:
    """An answer that anybody may keep says so whoever has asked for it."""
    answers = [await http.get("/openapi/mesh.json", headers=page) for page in ({}, {"origin": PAGE})]
    etag = {"if-none-match": answers[0].headers["etag"]}
    answers.append(await http.get("/openapi/mesh.json", headers=etag))

    assert [200, 200, 304] == [answer.status_code for answer in answers]
    assert ["origin"] * 3 == [answer.headers["vary"] for answer in answers]


async def test_refusals_may_be_read(http: httpx.AsyncClient, edge: Edge) -> None:
    """Or a page could not say what is wrong: no token, no such thing, another method."""
    for status, answer in [
        (401, await http.get("/mesh/v1/self", headers={"origin": PAGE})),
        (404, await http.get("/mesh/v1/nothing", headers={"origin": PAGE})),
        (405, await http.put("/mesh/v1/jobs", headers={"origin": PAGE, **edge.operator})),
    ]:
        assert (status, PAGE) == (answer.status_code, answer.headers.get("access-control-allow-origin"))


async def test_cookies_never_count(http: httpx.AsyncClient, edge: Edge) -> None:
    """Neither is one heeded, nor is one set: who is signed in, in that browser, is none of the page's business."""
    page = {"origin": PAGE, "sec-fetch-site": "cross-site"}
    cookie = {"cookie": f"kodosumi_jwt={edge.operator['KODOSUMI_API_KEY']}"}
    answers = [
        await http.get("/role/profile", headers={**page, **cookie}),
        await http.post("/mesh/v1/jobs/none:cancel", headers={**page, **cookie}),
        await http.post(GET_SELF, json={}, headers={**page, **cookie}),
    ]
    signed_in = await http.post("/api/login", json={"name": "admin", "password": "admin"}, headers=page)
    elsewhere = await http.post("/api/login", json={"name": "admin", "password": "admin"}, headers={"origin": BELOW})

    assert [401, 401, 401] == [answer.status_code for answer in answers]
    assert 200 == signed_in.status_code
    assert "set-cookie" not in signed_in.headers
    assert 403 == elsewhere.status_code


@pytest.mark.parametrize("site", [{}, {"sec-fetch-site": "same-origin"}])
async def test_the_meshs_own_pages_sign_in_although_they_are_named(
    http: httpx.AsyncClient, site: dict[str, str]
) -> None:
    """A browser names their origin whenever they send something: they keep the cookie that they are given."""
    own = {"origin": str(http.base_url).rstrip("/"), **site}
    answer = await http.post("/api/login", json={"name": "admin", "password": "admin"}, headers=own)

    assert 200 == answer.status_code
    assert "set-cookie" in answer.headers


@pytest.mark.parametrize(
    ("origin", "path", "is_named"),
    [
        ("https://a.example.org:8443", "/mesh/v1/jobs", True),
        ("https://a.b.example.org:8443", "/mesh/v1/jobs", True),
        ("HTTPS://APP.example.com", "/mesh/v1/jobs", True),
        (KODA_PAGE, "/api/runtime/live", True),
        (KODA_PAGE, "/mesh/v1/jobs", False),
        ("http://a.example.org:8443", "/mesh/v1/jobs", False),
        ("https://a.example.org", "/mesh/v1/jobs", False),
        ("https://example.org:8443", "/mesh/v1/jobs", False),
        ("https://.example.org:8443", "/mesh/v1/jobs", False),
        ("https://aexample.org:8443", "/mesh/v1/jobs", False),
        ("https://evil/.example.org:8443", "/mesh/v1/jobs", False),
        ("https://app.example.com.evil.example", "/mesh/v1/jobs", False),
        ("http://app.example.com", "/mesh/v1/jobs", False),
        ("null", "/mesh/v1/jobs", False),
        (PAGE, "/-/raw/x", False),
        (PAGE, "/panel/flows", False),
        (PAGE, "/meshes", False),
    ],
)
async def test_which_page_may_call_what(http: httpx.AsyncClient, origin: str, path: str, is_named: bool) -> None:
    """By its whole origin; apps say themselves who may call theirs, and the panel is nobody else's."""
    asked = await http.options(path, headers=preflight(origin))

    assert is_named == ("access-control-allow-origin" in asked.headers)


NO_ORIGINS = ["*", "https://*", "https://*.org", "http://*.example.org", "https://a.*.example", "null", ""]
NO_ORIGINS += ["app.example.com", "https://app.example.com/", "https://app.example.com/x", "https://a@b.example"]


@pytest.mark.parametrize("origin", NO_ORIGINS)
async def test_what_is_no_origin_is_said_at_start(origin: str) -> None:
    """By the setting's name, and how to write one."""
    with pytest.raises(pydantic.ValidationError, match=r"is no origin: write it as https://") as caught:
        EdgeConfig(origins={"codex": [origin]})

    assert ("origins",) == caught.value.errors()[0]["loc"]


@pytest.mark.parametrize("text", ["https://app.example.com", '["*"]', '{"codex": "https://app.example.com"}', "[1]"])
async def test_a_setting_that_cannot_be_read_is_named(
    text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line, also what is no JSON."""
    monkeypatch.setenv("AGENTMESH_ORIGINS", text)
    with pytest.raises(SystemExit) as caught:
        from_environment(EdgeConfig)

    assert 2 == caught.value.code
    assert capsys.readouterr().err.startswith("agentmesh: AGENTMESH_ORIGINS")


async def test_a_list_is_for_every_dialect() -> None:
    """And an API that there is not is named."""
    assert {"*": [PAGE]} == EdgeConfig.model_validate({"origins": [PAGE.upper().replace("HTTPS", "https")]}).origins
    origins.check(EdgeConfig(origins={"*": [PAGE], "mesh": [PAGE]}), DIALECTS)
    with pytest.raises(ValueError, match="AGENTMESH_ORIGINS: there is no API 'codx' here, but kodosumi, "):
        origins.check(EdgeConfig(origins={"codx": [PAGE]}), DIALECTS)
