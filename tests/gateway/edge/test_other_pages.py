"""What pages of other sites may make a browser do (the policy of `origins.lua`).

Every page of these tests is one that a browser shows to somebody who is signed in.
"""

import pathlib
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio
from agentmesh_protos.gateway.v1 import options_pb2

from gateway.dialects import DIALECTS
from gateway.edge import contract, prefixes
from tests.gateway import stack
from tests.gateway.stack import Edge, enveloped
from tests.ports import free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")
ADMIN = {"name": "admin", "password": "admin"}
FAR = [
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": "http://localhost:1"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "cross-site", "origin": "null"},
    {"sec-fetch-site": "nonsense"},
]
"""What browsers say of pages that are not the mesh's; one of another port of this machine is of the same site."""
SERVICES = contract.services(contract.descriptors())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def edge(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Edge]:
    """A mesh."""
    async with stack.edge(tmp_path_factory.mktemp("pages")) as running:
        yield running


def routes() -> Iterator[tuple[str, str]]:
    """Yield every route of the contract that changes something, with something for each variable."""
    for service in SERVICES:
        for method in service.methods:
            for verb, template in method.bindings:
                if method.acts or verb not in ("GET", "HEAD", "OPTIONS"):
                    made = "".join("x" if part.startswith("{") else part for part in re.split(r"(\{[^}]*\})", template))
                    yield verb, made


@pytest.mark.parametrize("page", FAR, ids=str)
async def test_no_other_page_changes_anything(edge: Edge, page: dict[str, str]) -> None:
    """Every route of the contract, whatever cookies the browser has: also a sign-in, which needs none."""
    token = edge.operator["KODOSUMI_API_KEY"]
    cookie = f"kodosumi_jwt={token}; koda_operator_session={token}"
    shared = prefixes.of_dialects(DIALECTS, SERVICES)["codex"]
    near = page.get("sec-fetch-site") == "same-site"
    asked = 0
    for verb, path in routes():
        if (page.get("origin") == "http://localhost:1" and any(prefixes.covers(one, path) for one in shared)) or (
            near and path == "/logout" and verb == "GET"
        ):
            continue  # what is documented to be open to pages of this machine
        answer = await edge.http.request(verb, path, headers={**page, "cookie": cookie}, content=b"{}")
        asked += 1
        assert 403 == answer.status_code, (verb, path, answer.text)
        assert "set-cookie" not in answer.headers
    still = await edge.http.get("/role/profile", headers={"cookie": cookie})

    assert asked > 100
    assert 200 == still.status_code


@pytest.mark.parametrize(
    ("verb", "path", "sent"),
    [
        ("POST", "/login", {"data": ADMIN}),
        ("GET", "/login", {"params": ADMIN}),
        ("HEAD", "/login", {"params": ADMIN}),
        ("POST", "/api/login/", {"json": ADMIN}),
        ("POST", "/api/v1/auth/login", {"json": {"email": "admin", "password": "admin"}}),
        ("POST", "/api/control-plane/auth/login", {"json": {"identifier": "admin", "password": "admin"}}),
        ("POST", "/mesh/v1/auth:login", {"json": {"login": "admin", "password": "admin"}}),
    ],
)
async def test_every_sign_in_is_for_our_own_pages(edge: Edge, verb: str, path: str, sent: dict[str, Any]) -> None:
    """And for programs, which say of no page that it is theirs."""
    ours = [{}, {"sec-fetch-site": "same-origin", "origin": f"http://{edge.address}"}, {"sec-fetch-site": "none"}]
    ours += [{"origin": f"http://{edge.address}"}, {"origin": "null", "sec-fetch-site": "same-origin"}]
    found = [(await edge.http.request(verb, path, headers=page, **sent)).status_code for page in ours]
    edge.http.cookies.clear()
    refused = [await edge.http.request(verb, path, headers=page, **sent) for page in FAR]

    assert {200} == set(found) or path.startswith("/mesh/")
    assert {403} == {answer.status_code for answer in refused}
    assert not [answer for answer in refused if "set-cookie" in answer.headers]


async def test_grpc_web_is_for_our_own_pages(edge: Edge) -> None:
    """A cookie is one there, too; a token in a header is sent on purpose."""
    token = edge.operator["KODOSUMI_API_KEY"]
    for credential, page, status in [
        ({"cookie": f"kodosumi_jwt={token}"}, {"origin": "https://evil.example"}, 403),
        ({"cookie": f"kodosumi_jwt={token}"}, {"sec-fetch-site": "same-site"}, 403),
        ({"cookie": f"kodosumi_jwt={token}"}, {"origin": f"http://{edge.address}"}, 200),
        ({"cookie": f"kodosumi_jwt={token}"}, {}, 200),
        ({"kodosumi_api_key": token}, {"origin": "https://evil.example"}, 200),
    ]:
        answer = await edge.http.post(
            "/mesh.auth.v1.UserService/GetSelf",
            content=b"\0\0\0\0\0",
            headers={"content-type": "application/grpc-web+proto", **credential, **page},
        )
        assert status == answer.status_code
        assert "7" == answer.headers.get("grpc-status", "7")
        assert (b"grpc-status:0" in answer.content) is (status == 200)


@pytest.mark.parametrize("credential", ["cookie", "header", "bearer"])
async def test_programs_go_on(edge: Edge, credential: str) -> None:
    """Without a word about a page a cookie counts, as the documents' examples have it; a header does from anywhere."""
    token = edge.operator["KODOSUMI_API_KEY"]
    headers = {
        "cookie": {"cookie": f"kodosumi_jwt={token}"},
        "header": {"KODOSUMI_API_KEY": token},
        "bearer": {"authorization": f"Bearer {token}"},
    }[credential]
    alone = await edge.http.post("/mesh/v1/jobs/none:cancel", headers=headers)
    from_page = await edge.http.post("/mesh/v1/jobs/none:cancel", headers={**headers, "origin": "https://evil.example"})
    basic = {**headers, "authorization": "Basic eDp5", "origin": "https://evil.example"}
    from_form = await edge.http.post("/mesh/v1/jobs/none:cancel", headers=basic)

    assert 404 == alone.status_code
    assert (403 if credential == "cookie" else 404) == from_page.status_code
    assert (404 if credential == "header" else 403) == from_form.status_code


@pytest.mark.parametrize(
    ("page", "is_out"),
    [
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, False),
        ({"origin": "https://evil.example"}, False),
        ({"sec-fetch-site": "same-site", "sec-fetch-mode": "navigate"}, True),
        ({"sec-fetch-site": "none", "sec-fetch-mode": "navigate"}, True),
        ({"sec-fetch-site": "same-origin"}, True),
        ({}, True),
    ],
    ids=str,
)
@pytest.mark.parametrize("verb", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/logout", "/logout/", "/l%6Fgout", "/x/../logout"])
async def test_signing_out_from_elsewhere_does_nothing(
    edge: Edge, page: dict[str, str], is_out: bool, verb: str, path: str
) -> None:
    """However its path is written; who types it, or follows a link of this site, is out."""
    token = (await edge.sign_in("admin", "admin"))["KODOSUMI_API_KEY"]
    headers = {"cookie": f"kodosumi_jwt={token}"}
    answer = await edge.http.request(verb, f"http://{edge.address}{path}", headers={**headers, **page})
    after = await edge.http.get("/role/profile", headers=headers)

    assert (200 if is_out else 403) == answer.status_code
    assert (401 if is_out else 200) == after.status_code


async def test_who_follows_a_link_stays_signed_in(edge: Edge) -> None:
    """A cookie counts for navigations from anywhere; what a page of elsewhere loads by itself gets none of ours."""
    cookie = {"cookie": f"a=1; kodosumi_jwt={edge.operator['KODOSUMI_API_KEY']}; b=2"}
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    script = {"sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors"}
    answers = [await edge.http.get("/role/profile", headers={**cookie, **page}) for page in (link, script)]

    assert [200, 401] == [answer.status_code for answer in answers]


async def test_a_public_url_is_where_pages_are(edge: Edge, tmp_path: pathlib.Path) -> None:
    """Of https: a page of http with the same name is of whoever sits in between."""
    config = edge.config.model_copy(
        update={"port": free_port(), "native_ports": {}, "public_url": "https://Mesh.Example.com"}
    )
    cookie = f"kodosumi_jwt={edge.operator['KODOSUMI_API_KEY']}"
    async with enveloped(config, edge.jwks_json, tmp_path) as http:

        async def status(host: str, origin: str) -> int:
            headers = {"host": host, "origin": origin, "cookie": cookie}
            return (await http.post("/mesh/v1/jobs/none:cancel", headers=headers)).status_code

        assert 404 == await status("mesh.example.com", "https://mesh.example.com")
        assert 404 == await status("localhost:3370", "https://mesh.example.com")
        assert 404 == await status("localhost:3370", "http://localhost:3370")
        assert 403 == await status("mesh.example.com", "http://mesh.example.com")
        assert 403 == await status("localhost:3370", "https://localhost:1")
        assert 421 == await status("evil.example", "https://mesh.example.com")


async def test_what_acts_by_a_get_is_said_in_the_contract() -> None:
    """A sign-in and a sign-out, of those that there are."""
    acting = {
        binding for service in SERVICES for method in service.methods if method.acts for binding in method.bindings
    }

    assert {("GET", "/login"), ("GET", "/logout")} == acting
    assert options_pb2.Rule.DESCRIPTOR.fields_by_name["acts"].number == 5
