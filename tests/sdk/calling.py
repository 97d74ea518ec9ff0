"""Calls an ASGI app as a host does: in memory, with a fresh list of launches."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx

from agentmesh.launch import LaunchSpec, launches


@contextlib.asynccontextmanager
async def calling(asgi: Any) -> AsyncIterator[tuple[httpx.AsyncClient, list[LaunchSpec]]]:
    """Yield a client of the app and the list its launches go to."""
    noted: list[LaunchSpec] = []
    token = launches.set(noted)
    transport = httpx.ASGITransport(asgi, raise_app_exceptions=False)
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://app", timeout=10) as client:
            yield client, noted
    finally:
        launches.reset(token)
