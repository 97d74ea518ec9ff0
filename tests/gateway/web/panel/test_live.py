"""Pages that change by themselves: so many for each who looks, and no more."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from tests.gateway import stack
from tests.gateway.stack import DEADLINE_S, Edge

pytestmark = pytest.mark.asyncio(loop_scope="module")
PATH = "/panel/live/executions"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def edge(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Edge]:
    """A mesh where two are many."""
    async with stack.edge(tmp_path_factory.mktemp("live"), live_pages_per_owner=2) as running:
        yield running


@contextlib.asynccontextmanager
async def looking(edge: Edge, who: dict[str, str]) -> AsyncIterator[None]:
    """Look at a page for the length of the block, from when its first part is there."""
    async with (
        httpx.AsyncClient(base_url=f"http://{edge.address}", timeout=DEADLINE_S) as http,
        http.stream("GET", PATH, headers=who) as answer,
    ):
        assert 200 == answer.status_code
        parts = answer.aiter_bytes()
        assert await anext(parts)
        yield


async def test_one_more_is_refused_until_one_is_left(edge: Edge) -> None:
    """With a page that says so, or a note above what htmx shows; not to others, and who leaves makes room."""
    alice = await edge.new_user("alice")
    async with looking(edge, alice):
        async with looking(edge, alice):
            async with (
                asyncio.timeout(DEADLINE_S),
                httpx.AsyncClient(base_url=f"http://{edge.address}", timeout=DEADLINE_S) as http,
            ):
                page = await http.get(PATH, headers=alice)
                note = await http.get(PATH, headers={**alice, "hx-request": "true"})
            async with looking(edge, edge.operator):
                pass
        async with asyncio.timeout(DEADLINE_S):
            while await _status(edge, alice) == 429:  # the gateway hears of a client's end in its own time
                pass

    assert (429, 429) == (page.status_code, note.status_code)
    assert "Too many requests" in page.text
    assert "you have 2 live pages open" in page.text
    assert note.text.startswith('<p class="note warn" role="alert">')
    assert ("#main", "afterbegin", "10") == tuple(
        note.headers[name] for name in ("hx-retarget", "hx-reswap", "retry-after")
    )


async def _status(edge: Edge, who: dict[str, str]) -> int:
    async with (
        httpx.AsyncClient(base_url=f"http://{edge.address}", timeout=DEADLINE_S) as http,
        http.stream("GET", PATH, headers=who) as answer,
    ):
        return answer.status_code
