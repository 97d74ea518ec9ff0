"""A client of Codex, as its text describes one: no token, JSON, and nothing else."""

from typing import Any

import httpx

from gateway.dialects.codex import ids
from tests.gateway.stack import Edge

OFFLINE = {"name": "Atlas", "modelProvider": "offline", "modelName": "offline"}


class Codex:
    """Calls a mesh, as `headers` say."""

    def __init__(self, edge: Edge, headers: dict[str, str] | None = None) -> None:
        self.edge = edge
        self.headers = headers or {}

    async def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        """Send a command or query: `command/createAgent`."""
        return await self.edge.http.post(f"/api/{path}", json=body, headers={**self.headers, **headers})

    async def raw(self, path: str, body: str | bytes, **headers: str) -> httpx.Response:
        """Send one as it stands."""
        kind = {"content-type": "application/json", **headers}
        return await self.edge.http.post(f"/api/{path}", content=body, headers={**self.headers, **kind})

    async def get(self, path: str) -> httpx.Response:
        """Ask for a list: `executions`."""
        return await self.edge.http.get(f"/api/{path}", headers=self.headers)

    async def agent(self, **more: Any) -> str:
        """Add an agent; return its GUID."""
        answer = await self.post("command/createAgent", {**OFFLINE, **more})
        assert answer.status_code == 200, answer.text
        return answer.headers["x-agent-id"]

    async def conversation(self, title: str = "Talk") -> str:
        """Begin a conversation; return its GUID."""
        answer = await self.post("command/createConversation", {"title": title})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])

    async def start(self, agent: str, prompt: str = "Say hello", **more: Any) -> str:
        """Start an execution; return its GUID."""
        answer = await self.post("command/startAgentExecution", {"agentId": agent, "userPrompt": prompt, **more})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])

    async def ended(self, execution: str) -> dict[str, Any]:
        """Wait until an execution has ended; return it."""
        watch = await self.edge.http.get(f"/mesh/v1/{ids.job(execution)}:watch", headers=self.edge.operator)
        assert watch.status_code == 200, watch.text
        return await self.execution(execution)

    async def execution(self, execution: str) -> dict[str, Any]:
        """Return an execution."""
        answer = await self.post("query/getAgentExecution", {"id": execution})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())
