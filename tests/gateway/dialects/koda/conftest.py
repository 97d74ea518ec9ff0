"""One mesh with the real engine for all tests of a module."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.gateway.dialects.koda.people import API_TOKENS, RUNTIME_TOKEN, Koda, ready, signed_in
from tests.gateway.stack import Edge
from tests.gateway.stack import edge as running_edge


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def edge(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Edge]:
    """A running mesh whose operator has set Koda's secrets."""
    given = {"runtime_local_ui_token": RUNTIME_TOKEN, "control_plane_api_token": ", ".join(API_TOKENS)}
    folder = tmp_path_factory.mktemp("edge")
    async with running_edge(folder, control_plane_rate_limit=100_000, **given) as running:
        await ready(running)
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ada(edge: Edge) -> Koda:
    """Somebody with the agent `atlas`."""
    await edge.new_user("ada")
    ada = await signed_in(edge, "ada", "secret-secret")
    await ada.agent(description="Reviews code", tools=["tools/calculator"], memory={"enabled": True})
    return ada


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bob(edge: Edge) -> Koda:
    """Somebody else, without agents."""
    await edge.new_user("bob")
    return await signed_in(edge, "bob", "secret-secret")
