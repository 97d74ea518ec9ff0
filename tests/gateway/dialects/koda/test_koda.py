"""Koda's runtime API with the real services and the real engine: every example of its page, and what it promises."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.gateway.stack import DEADLINE_S, Edge, edge

pytestmark = pytest.mark.asyncio(loop_scope="module")
RUNTIME_TOKEN, API_TOKENS = "local-ui-secret", "first-secret, second-secret"
SUBMITTED = {
    "agent_id": "atlas",
    "query": "Audit the auth service for CSP violations.",
    "metadata": {"source": "operator"},
}
"""The example of the page, as printed."""
AT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z")
TASK_ID = re.compile(r"tsk_[0-9a-f]{24}\Z")


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

    async def agent(self, **given: Any) -> dict[str, Any]:
        """Add an agent."""
        sent = {"displayName": "Atlas", "model": {"provider": "offline"}, **given}
        added: dict[str, Any] = await self.ok("POST", "/mesh/v1/agents", json=sent)
        return added

    async def ended(self, task_id: str) -> dict[str, Any]:
        """Return a task when it has ended."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                task: dict[str, Any] = await self.ok("GET", f"/api/runtime/tasks/{task_id}")
                if task["status"] in ("completed", "failed"):
                    return task
                await self.edge.http.get(
                    f"/mesh/v1/jobs/{task_id.removeprefix('tsk_')}:watch", headers=self.headers, timeout=DEADLINE_S
                )


async def signed_in(edge: Edge, identifier: str, password: str) -> Koda:
    """Return somebody who has signed in as Koda's dashboard does, with the cookie only."""
    answer = await edge.http.post(
        "/api/control-plane/auth/login", json={"identifier": identifier, "password": password}
    )
    assert answer.status_code == 200, answer.text
    edge.http.cookies.clear()
    token = answer.json()["session_token"]
    return Koda(edge, Cookie=f"koda_operator_session={token}", Authorization=f"Bearer {token}")


@pytest_asyncio.fixture(name="edge", scope="module", loop_scope="module")
async def _edge(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Edge]:
    given = {"runtime_local_ui_token": RUNTIME_TOKEN, "control_plane_api_token": API_TOKENS}
    async with edge(tmp_path_factory.mktemp("edge"), control_plane_rate_limit=100_000, **given) as running:
        await ready(running)
        yield running


async def ready(edge: Edge) -> None:
    """Wait until the engine serves."""
    async with asyncio.timeout(DEADLINE_S):
        while (await edge.http.get("/api/runtime/ready")).status_code != 200:
            await asyncio.sleep(0.1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ada(edge: Edge) -> Koda:
    """Somebody with the agent `atlas`."""
    await edge.new_user("ada")
    ada = await signed_in(edge, "ada", "secret-secret")
    await ada.agent(description="Reviews code", tools=["tools/calculator"], memory={"enabled": True})
    return ada


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bob(edge: Edge) -> Koda:
    """Somebody else, with an agent of the same slug."""
    await edge.new_user("bob")
    bob = await signed_in(edge, "bob", "secret-secret")
    await bob.agent()
    return bob


# -- the page's examples -----------------------------------------------------------------------------------------------


async def test_the_readiness_probe(edge: Edge) -> None:
    """Without a credential, as `curl` in the page."""
    answer = await edge.http.get("/api/runtime/ready")

    assert 200 == answer.status_code
    body = answer.json()
    assert ("ready", True, True, None) == (body["status"], body["ready"], body["accepting_tasks"], body["reason"])
    assert {"auth", "database", "workers"} == body["checks"].keys()
    assert "no-store" == answer.headers["cache-control"]


async def test_submitting_a_task(ada: Koda) -> None:
    """As printed, with the cookie alone: 202, a record with every printed field, then the output."""
    cookie = {"Cookie": ada.headers["Cookie"], "Content-Type": "application/json"}
    answer = await ada.edge.http.post("/api/runtime/tasks", json=SUBMITTED, headers=cookie)

    assert 202 == answer.status_code, answer.text
    task = answer.json()
    assert f"/api/runtime/tasks/{task['id']}" == answer.headers["location"]
    assert TASK_ID.match(task["id"])
    assert ("atlas", {"source": "operator"}, None) == (task["agent_id"], task["metadata"], task["output"])
    assert task["status"] in ("queued", "running")
    assert AT.match(task["created_at"])
    assert AT.match(task["updated_at"])
    printed = ["id", "agent_id", "status", "created_at", "updated_at", "metadata", "output"]
    assert printed == list(task)[: len(printed)]

    ended = await ada.ended(task["id"])
    assert ("completed", None) == (ended["status"], ended["error"])
    assert isinstance(ended["output"], str)
    assert ended["output"]
    assert {"source": "operator"} == ended["metadata"]
    assert (1, 3) == (ended["attempt"], ended["max_attempts"])
    assert AT.match(ended["completed_at"])


async def test_agents(ada: Koda) -> None:
    """The list, and all of one."""
    listed = await ada.ok("GET", "/api/runtime/agents")
    agent = await ada.ok("GET", "/api/runtime/agents/atlas")

    found = next(each for each in listed["items"] if each["id"] == "atlas")
    assert ("Atlas", "active", "offline") == (found["name"], found["state"], found["model"])
    assert listed["total"] == len(listed["items"])
    assert {"provider": "offline", "name": None, "effort": None} == agent["model"]
    assert [{"id": "calculator", "name": "calculator", "version": None}] == agent["skills"]
    assert ("agent", "atlas") == (agent["memory_scope"]["kind"], agent["memory_scope"]["key"])
    assert (True, 1) == (agent["publication"]["published"], agent["publication"]["version"])
    assert 3 == agent["concurrency"]["limit"]


async def test_the_trace_has_every_step(ada: Koda) -> None:
    """Calls of models and tools in order, each with what the page names; in parts, too."""
    sent = {**SUBMITTED, "query": 'Use the tool calculator with {"expression": "6*7"}'}
    task = await ada.ok("POST", "/api/runtime/tasks", 202, json=sent)
    await ada.ended(task["id"])
    path = f"/api/runtime/tasks/{task['id']}/trace"
    trace = await ada.ok("GET", path)

    assert (task["id"], "completed", "trace.v1") == (trace["task_id"], trace["status"], trace["schema"])
    assert ("complete", {"count": 0, "fields": []}) == (trace["completeness"], trace["redactions"])
    steps = trace["steps"]
    assert sorted(step["seq"] for step in steps) == [step["seq"] for step in steps]
    called = [step for step in steps if step["kind"] == "provider_call"]
    assert len(called) >= 2
    assert all(step["prompt"] and step["tokens"]["input"] and step["latency_ms"] is not None for step in called)
    (tool,) = [step for step in steps if step["kind"] == "tool_call"]
    assert {"name": "calculator", "arguments": {"expression": "6*7"}} == tool["command"]
    assert ("42", "ok", None) == (tool["result"], tool["status"], tool["approval"])

    first = await ada.ok("GET", path, params={"limit": 1})
    rest = await ada.ok("GET", path, params={"after_seq": first["next_after_seq"]})
    assert steps == first["steps"] + rest["steps"]
    assert rest["next_after_seq"] is None


async def test_the_contract_is_served(edge: Edge) -> None:
    """Under the name of the page, the same as under ours, with every route."""
    answer = await edge.http.get("/openapi/control-plane.json")

    assert 200 == answer.status_code
    assert answer.json() == (await edge.http.get("/openapi/koda.json")).json()
    assert {
        "/api/runtime/ready",
        "/api/runtime/agents",
        "/api/runtime/agents/{agent_id}",
        "/api/runtime/tasks",
        "/api/runtime/tasks/{task_id}",
        "/api/runtime/tasks/{task_id}/trace",
    } <= answer.json()["paths"].keys()
