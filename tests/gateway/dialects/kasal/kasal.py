"""A client of the Kasal API, for tests: one user, one of the two bases."""

import asyncio
import itertools
import json
from typing import Any

import httpx
from websockets.asyncio.client import connect

from tests.gateway.stack import DEADLINE_S, Edge

BASES = ("/v1", "/api/v1")
PASSWORD = "secret-secret"
CREW = {
    "name": "Marketing Crew",
    "description": "Content generation team",
    "process": "hierarchical",
    "agents": [{"role": "Content Writer", "goal": "Create engaging content", "model": "gpt-4"}],
}
"""As the document prints it."""
_numbers = itertools.count(1)


class Kasal:
    """One user's client."""

    def __init__(self, edge: Edge, base: str, token: str) -> None:
        self.edge = edge
        self.base = base
        self.token = token

    async def call(self, method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        """Send a request."""
        headers = {"authorization": f"Bearer {self.token}", **more.pop("headers", {})}
        return await self.edge.http.request(method, f"{self.base}{path}", json=body, headers=headers, **more)

    async def get(self, path: str) -> Any:
        """Return what a GET answers with 200."""
        answer = await self.call("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def made(self, path: str, body: Any, status: int = 201) -> Any:
        """Return what a POST answers."""
        answer = await self.call("POST", path, body)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def crew(self, **more: Any) -> str:
        """Add a crew; return its id."""
        return str((await self.made("/crews", {**CREW, **more}))["id"])

    async def working_crew(self, *descriptions: str, **more: Any) -> str:
        """Add a sequential crew with tasks for its one agent; return its id."""
        tasks = [{"description": text} for text in descriptions or ("Write about {topic}",)]
        return await self.crew(process="sequential", tasks=tasks, **more)

    async def start(self, crew_id: str, **inputs: Any) -> str:
        """Start an execution; return its id."""
        return str((await self.made("/executions", {"crew_id": crew_id, "inputs": inputs}, 202))["job_id"])

    def socket(self, *, signed_in: bool = True) -> connect:
        """Return a WebSocket, to be opened."""
        headers = {"authorization": f"Bearer {self.token}"} if signed_in else {}
        url = f"ws://{self.edge.address}{self.base}/ws"
        return connect(url, additional_headers=headers, open_timeout=DEADLINE_S, proxy=None)

    async def frames(self, job_id: str, **more: Any) -> list[dict[str, Any]]:
        """Subscribe to an execution and return its frames, to the last."""
        async with self.socket() as socket, asyncio.timeout(DEADLINE_S):
            await socket.send(json.dumps({"type": "subscribe", "job_id": job_id, **more}))
            assert "subscribed" == json.loads(await socket.recv())["type"]
            found: list[dict[str, Any]] = []
            while not found or found[-1]["type"] != "execution_complete":
                found.append(json.loads(await socket.recv()))
            return found

    async def run(self, crew_id: str, **inputs: Any) -> str:
        """Run an execution to its end; return its id."""
        job_id = await self.start(crew_id, **inputs)
        await self.frames(job_id)
        return job_id


async def new_user(edge: Edge, tier: str = "TIER_FREE") -> str:
    """Add a user; return their e-mail address."""
    name = f"kasal-{next(_numbers)}"
    user = {"login": name, "email": f"{name}@example.com", "password": PASSWORD, "tier": tier}
    answer = await edge.http.post("/mesh/v1/users", json=user, headers=edge.operator)
    assert answer.status_code == 200, answer.text
    return user["email"]


async def client(edge: Edge, base: str = "/v1", tier: str = "TIER_FREE") -> Kasal:
    """Add a user, sign them in, and return their client."""
    sent = {"email": await new_user(edge, tier), "password": PASSWORD}
    answer = await edge.http.post(f"{base}/auth/login", json=sent)
    assert answer.status_code == 200, answer.text
    return Kasal(edge, base, answer.json()["access_token"])
