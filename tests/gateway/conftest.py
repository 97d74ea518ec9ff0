"""One mesh for all tests of a module: it takes a second to start.

`edge` has the real services; `stage` has a runner and a registry that the tests fill themselves.
"""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.gateway import stack, stage
from tests.gateway.asking import Asking


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def edge(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[stack.Edge]:
    """A running mesh; tests of a module share it, so each uses names of its own."""
    async with stack.edge(tmp_path_factory.mktemp("edge")) as running:
        yield running


@pytest_asyncio.fixture(name="stage", scope="module", loop_scope="module")
async def _stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[stage.Stage]:
    """A gateway behind Envoy, in front of jobs, apps and flows of the tests' own making."""
    async with stage.staged(tmp_path_factory.mktemp("stage")) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def panel(edge: stack.Edge) -> AsyncIterator[stack.Panel]:
    """An operator, and the expose `raw`, booted."""
    client = stack.Panel(edge)
    assert (await client.save(**stack.RAW)).status_code == 201
    booted = await client.call("POST", "/boot/")
    assert "✔ Boot completed" in booted.text, booted.text
    yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def asking(edge: stack.Edge) -> Asking:
    """The mesh with the flows that ask."""
    asking = Asking(edge)
    saved = await asking.panel.save(name="asking", bootstrap="import_path: tests.runner.samples.locking:app")
    assert saved.status_code == 201
    booted = await asking.call("POST", "/boot/")
    assert "✔ Boot completed" in booted.text, booted.text
    return asking
