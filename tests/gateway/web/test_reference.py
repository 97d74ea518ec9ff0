"""The reference, as it is served."""

import httpx
import pytest

from gateway import web
from gateway.config import Config
from gateway.dialects import DIALECTS
from gateway.edge import contract
from gateway.http.dialect import Dialects
from gateway.web import reference
from gateway.web.panel import assets

NAMES = [dialect.name for dialect in DIALECTS]


@pytest.fixture
def http() -> httpx.AsyncClient:
    """A client of the web app by itself."""
    services = contract.services(contract.descriptors())
    app = web.create(Config(), Dialects(DIALECTS, services), services)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://mesh")


@pytest.mark.parametrize("name", NAMES)
async def test_a_document_is_for_everybody_and_may_be_kept(http: httpx.AsyncClient, name: str) -> None:
    """Who has it already gets nothing again."""
    async with http:
        first = await http.get(f"/openapi/{name}.json")
        again = await http.get(f"/openapi/{name}.json", headers={"if-none-match": f'"x", W/{first.headers["etag"]}'})
        head = await http.head(f"/openapi/{name}.json")

    assert (200, "application/json") == (first.status_code, first.headers["content-type"])
    assert "3.1.0" == first.json()["openapi"]
    assert "public, max-age=300" == first.headers["cache-control"]
    assert (304, b"") == (again.status_code, again.content)
    assert (200, b"") == (head.status_code, head.content)


@pytest.mark.parametrize("path", ["/docs", *(f"/docs/{name}" for name in NAMES)])
async def test_a_page_needs_nothing_from_elsewhere(http: httpx.AsyncClient, path: str) -> None:
    """It works offline and under its own policy; the one script is ours, and the page does without."""
    async with http:
        page = await http.get(path)

    assert (200, "text/html; charset=utf-8") == (page.status_code, page.headers["content-type"])
    assert reference.CSP == page.headers["content-security-policy"]
    bare = page.text.replace(f'<script src="{assets.url("reference.js")}" defer></script>', "", 1)
    assert not [part for part in ("<script", "<link", 'src="', "@import", "url(") if part in bare]


async def test_a_page_has_every_operation(http: httpx.AsyncClient) -> None:
    """And every link within it leads somewhere."""
    async with http:
        page = (await http.get("/docs/mesh")).text
        document = (await http.get("/openapi/mesh.json")).json()
    wanted = {part.partition('"')[0] for part in page.split('href="#')[1:]}
    there = {part.partition('"')[0] for part in page.split('id="')[1:]}

    assert wanted <= there
    assert {operation["operationId"] for item in document["paths"].values() for operation in item.values()} <= there


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/openapi/nobody.json", 404),
        ("GET", "/openapi/mesh.yaml", 404),
        ("GET", "/openapi/..%2Fapp.json", 404),
        ("GET", "/docs/nobody", 404),
        ("POST", "/docs", 405),
        ("DELETE", "/openapi/mesh.json", 405),
        ("GET", "/no%0Asuch", 404),
    ],
)
async def test_what_there_is_not_is_said_in_the_panels_words(
    http: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    """JSON, as everywhere."""
    async with http:
        answer = await http.request(method, path)

    assert (status, status) == (answer.status_code, answer.json()["status_code"])
