"""A host for all tests of a module: what one of them leaves behind is there for the next."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.host.stage import stage
from tests.hostile.neighbourhood import APP, Neighbourhood


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def neighbourhood() -> AsyncIterator[Neighbourhood]:
    """Run a host of the app, with its neighbours."""
    async with stage(APP) as host:
        neighbourhood = Neighbourhood(host)
        await neighbourhood.move_in(shared=False)
        await neighbourhood.move_in(shared=True)
        yield neighbourhood
