"""A runner whose engine serves, and a provider."""

import pathlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from services.runner.peers.memory import MemoryDefinitions
from tests.engine.providers import Provider, provider
from tests.runner.stack import Stack, stack


@pytest.fixture
def known() -> MemoryDefinitions:
    """Return the definitions that the mesh knows."""
    return MemoryDefinitions()


@pytest_asyncio.fixture
async def mesh(tmp_path: pathlib.Path, known: MemoryDefinitions) -> AsyncIterator[Stack]:
    """Run auth, the runner and the engine."""
    async with stack(tmp_path, definitions=known, tools_private_endpoints="allow") as running:
        yield running


@pytest_asyncio.fixture
async def models() -> AsyncIterator[Provider]:
    """Run a provider."""
    async with provider() as running:
        yield running
