"""A host for all tests of a module: what one of them leaves behind is there for the next."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from agentmesh_protos.runner.v1 import app_pb2

from tests.host.stage import stage
from tests.hostile.neighbourhood import APP, Neighbourhood


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def neighbourhood(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Neighbourhood]:
    """Run a host of the app, with its neighbours, where the flows may write to a folder."""
    folder = tmp_path_factory.mktemp("common")
    async with stage(APP, bounds=app_pb2.Bounds(write_paths=[str(folder)])) as host:
        neighbourhood = Neighbourhood(host, folder)
        await neighbourhood.move_in(shared=False)
        await neighbourhood.move_in(shared=True)
        yield neighbourhood
