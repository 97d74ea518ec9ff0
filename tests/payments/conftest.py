"""The service on a provider in memory, for the tests that follow a payment's life."""

import pathlib
from collections.abc import AsyncIterator

import pytest_asyncio

from tests.auth.helpers import AuthMesh, auth_mesh
from tests.payments.stand import Stand, standing


@pytest_asyncio.fixture
async def auth(tmp_path: pathlib.Path) -> AsyncIterator[AuthMesh]:
    """An auth service that outlives restarts of payments."""
    async with auth_mesh(tmp_path) as running:
        yield running


@pytest_asyncio.fixture
async def stand(tmp_path: pathlib.Path, auth: AuthMesh) -> AsyncIterator[Stand]:
    """The service on a provider of its own."""
    async with standing(tmp_path, auth=auth) as running:
        yield running
