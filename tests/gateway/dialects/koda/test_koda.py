"""Koda's runtime API with the real services and the real engine: every example of its page."""

import re

import pytest

from tests.gateway.dialects.koda.people import SUBMITTED, Koda
from tests.gateway.stack import Edge

pytestmark = pytest.mark.asyncio(loop_scope="module")
AT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z")
TASK_ID = re.compile(r"tsk_[0-9a-f]{24}\Z")


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
    cookie = {
        "Cookie": f"koda_operator_session={ada.headers['Authorization'].removeprefix('Bearer ')}",
        "Content-Type": "application/json",
    }
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
    task = await ada.submit(query='Use the tool calculator with {"expression": "6*7"}')
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
