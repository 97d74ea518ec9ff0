"""Callers of the runtime API."""

import asyncio
from typing import Any

import httpx

from tests.gateway.stack import DEADLINE_S, Edge

RUNTIME_TOKEN = "local-ui-secret"
API_TOKENS = ("first-secret", "second-secret")
SUBMITTED = {
    "agent_id": "atlas",
    "query": "Audit the auth service for CSP violations.",
    "metadata": {"source": "operator"},
}
"""The example of the page, as printed."""


class Koda:
    """Somebody at the runtime API."""

    def __init__(self, edge: Edge, **headers: str) -> None:
        self.edge = edge
        self.headers = headers

    async def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Send a request."""
        headers = {**self.headers, **more.pop("headers", {})}
        return await self.edge.http.request(method, path, headers=headers, **more)

    async def ok(self, method: str, path: str, status: int = 200, **more: Any) -> Any:
        """Return the JSON of an answer that must have this status."""
        answer = await self.call(method, path, **more)
        assert status == answer.status_code, answer.text
        return answer.json()

    async def refused(self, method: str, path: str, status: int, **more: Any) -> dict[str, Any]:
        """Return the error of an answer that must have this status."""
        error: dict[str, Any] = (await self.ok(method, path, status, **more))["error"]
        return error

    async def agent(self, **given: Any) -> dict[str, Any]:
        """Add an agent."""
        sent = {"displayName": "Atlas", "model": {"provider": "offline"}, **given}
        added: dict[str, Any] = await self.ok("POST", "/mesh/v1/agents", json=sent)
        return added

    async def submit(self, **given: Any) -> dict[str, Any]:
        """Submit a task."""
        task: dict[str, Any] = await self.ok("POST", "/api/runtime/tasks", 202, json={**SUBMITTED, **given})
        return task

    async def ended(self, task_id: str) -> dict[str, Any]:
        """Return a task when it has ended: its watch ends with it."""
        await self.call("GET", f"/mesh/v1/jobs/{task_id.removeprefix('tsk_')}:watch", timeout=DEADLINE_S)
        task: dict[str, Any] = await self.ok("GET", f"/api/runtime/tasks/{task_id}")
        return task

    async def paused(self, task_id: str) -> dict[str, Any]:
        """Return a task when it waits for a human."""
        path = f"/mesh/v1/jobs/{task_id.removeprefix('tsk_')}:watch"
        http = self.edge.http
        async with asyncio.timeout(DEADLINE_S), http.stream("GET", path, headers=self.headers) as lines:
            async for line in lines.aiter_lines():
                if '"kind":"lock"' in line.replace(" ", ""):
                    break
        task: dict[str, Any] = await self.ok("GET", f"/api/runtime/tasks/{task_id}")
        return task


async def signed_in(edge: Edge, identifier: str, password: str) -> Koda:
    """Return somebody who has signed in as Koda's dashboard does."""
    sent = {"identifier": identifier, "password": password}
    answer = await edge.http.post("/api/control-plane/auth/login", json=sent)
    assert answer.status_code == 200, answer.text
    edge.http.cookies.clear()
    return Koda(edge, Authorization=f"Bearer {answer.json()['session_token']}")


async def ready(edge: Edge) -> None:
    """Wait until the engine serves."""
    async with asyncio.timeout(DEADLINE_S):
        while not (await edge.http.get("/api/runtime/ready")).is_success:
            pass
