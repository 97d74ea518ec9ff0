"""What is not transcoded ends in the web app."""

import httpx
import pytest

from gateway import web
from gateway.config import Config
from gateway.dialects import DIALECTS
from gateway.edge import contract
from gateway.http.dialect import Dialects
from gateway.http.exchange import PATH_HEADER


@pytest.fixture
def http() -> httpx.AsyncClient:
    """A client of the web app by itself."""
    services = contract.services(contract.descriptors())
    app = web.create(Config(), Dialects(DIALECTS, services), services)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://mesh")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (
            "/no/such/thing/",
            {"error": "NotFoundException", "path": "/no/such/thing/", "detail": "Not Found", "status_code": 404},
        ),
        ("/api/v1/payment/x", {"status": "error", "error": {"message": "Not Found"}}),
    ],
)
async def test_an_unknown_path_is_not_found_in_its_dialect(
    http: httpx.AsyncClient, path: str, body: dict[str, object]
) -> None:
    """The path is the one the client sent, which Envoy keeps in a header."""
    async with http:
        response = await http.get("/elsewhere", headers={PATH_HEADER: f"{path}?x=1"})

    assert (404, body) == (response.status_code, response.json())


async def test_a_wrong_method_names_the_right_ones(http: httpx.AsyncClient) -> None:
    """From the contract."""
    async with http:
        response = await http.delete("/flow")

    assert (405, "GET, HEAD") == (response.status_code, response.headers["allow"])


async def test_somebody_who_is_signed_in_starts_at_the_flows(http: httpx.AsyncClient) -> None:
    """A browser that has the cookie need not sign in again."""
    async with http:
        response = await http.get("/", headers={"cookie": "kodosumi_jwt=x"})

    assert (302, "/admin/flow") == (response.status_code, response.headers["location"])


async def test_a_person_who_is_signed_in_starts_at_the_panel(http: httpx.AsyncClient) -> None:
    """Or where they were going; an address that is not ours counts as none."""
    person = {"cookie": "kodosumi_jwt=x", "accept": "text/html"}
    async with http:
        plain = await http.get("/", headers=person)
        going = await http.get("/?redirect=/panel/inbox", headers=person)
        away = await http.get("/?redirect=//elsewhere.example", headers=person)

    assert ["/panel/flows", "/panel/inbox", "/panel/flows"] == [
        answer.headers["location"] for answer in (plain, going, away)
    ]


async def test_errors_are_pages_for_people(http: httpx.AsyncClient) -> None:
    """And stay JSON for programs."""
    async with http:
        page = await http.get("/no/such/thing", headers={"accept": "text/html,*/*;q=0.8"})

    assert (404, "text/html; charset=utf-8") == (page.status_code, page.headers["content-type"])
    assert "There is no such page" in page.text
    assert "script-src 'self'" in page.headers["content-security-policy"]
