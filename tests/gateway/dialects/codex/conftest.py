"""Clients of a running mesh."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.engine.providers import Provider, provider
from tests.gateway.dialects.codex.calling import Codex
from tests.gateway.stack import Edge


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def codex(edge: Edge) -> Codex:
    """A program of this machine."""
    return Codex(edge)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def models() -> AsyncIterator[Provider]:
    """A provider of models."""
    async with provider() as running:
        yield running
