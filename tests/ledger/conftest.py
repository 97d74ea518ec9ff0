"""A ledger of its own for every test."""

import pathlib
from collections.abc import AsyncIterator

import pytest_asyncio

from tests.ledger.bench import Bench, benched


@pytest_asyncio.fixture
async def bench(tmp_path: pathlib.Path) -> AsyncIterator[Bench]:
    """A development ledger whose clock stands still and whose chain is instant."""
    async with benched(tmp_path) as running:
        yield running
        await running.check_sums()
