"""The auth service, for tests over the wire."""

import pathlib
from collections.abc import AsyncIterator

import pytest_asyncio

from services.auth.throttle import Throttle
from tests.auth.helpers import AuthMesh, auth_mesh


@pytest_asyncio.fixture
async def mesh(tmp_path: pathlib.Path) -> AsyncIterator[AuthMesh]:
    """The auth service, as in production but for the store: `tests/auth/stores` holds all to the same."""
    # Waits do not end in the middle of a test on a busy machine: `test_throttle.py` tests their length.
    async with auth_mesh(tmp_path, throttle=Throttle(lambda: 0.0)) as running:
        yield running
