"""What the panel serves beside its pages."""

import hashlib
import pathlib

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from gateway.web.panel import assets
from meshkit.errors import NotFound

ROOT = pathlib.Path(__file__).parents[4]
SUMS = [line.split() for line in ROOT.joinpath("tools", "vendor.sums").read_text().splitlines()]


@pytest.mark.parametrize(("digest", "path"), SUMS)
def test_what_is_vendored_is_what_was_fetched(digest: str, path: str) -> None:
    """Nobody mends it here."""
    assert digest == hashlib.sha256(ROOT.joinpath(path).read_bytes()).hexdigest()


def test_everything_vendored_has_its_sum_and_licence() -> None:
    """A file that was put beside them is found."""
    folders = {ROOT.joinpath(path).parent for _, path in SUMS}
    files = {str(file.relative_to(ROOT)) for folder in folders for file in folder.iterdir()}

    assert {path for _, path in SUMS} == files
    assert all(folder.joinpath("LICENSE").is_file() for folder in folders)


async def test_files_are_kept_for_ever_at_an_address_of_their_content() -> None:
    """And there is nothing at another address, where it would be kept as what it is not."""
    app = Starlette(
        routes=[Route(f"{assets.PREFIX}/{{digest}}/{{name}}", assets.serve)],
        exception_handlers={NotFound: lambda request, error: Response(status_code=404)},
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://mesh") as http:
        style = await http.get(assets.url("panel.css"))
        other = await http.get(f"{assets.PREFIX}/{'0' * 16}/panel.css")

    assert (200, "text/css; charset=utf-8") == (style.status_code, style.headers["content-type"])
    assert "immutable" in style.headers["cache-control"]
    assert 404 == other.status_code
