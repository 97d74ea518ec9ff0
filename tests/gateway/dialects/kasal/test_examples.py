"""Every example of Kasal's document, sent as printed, in both bases; answers have every printed field, of its type."""

import json
import re
from typing import Any

import pytest
import pytest_asyncio

from tests.gateway.dialects.kasal.kasal import BASES, CREW, Kasal, client
from tests.gateway.stack import Edge

pytestmark = pytest.mark.asyncio(loop_scope="module")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@pytest_asyncio.fixture(name="kasal", scope="module", loop_scope="module", params=BASES)
async def _kasal(edge: Edge, request: pytest.FixtureRequest) -> Kasal:
    """A user, in each base."""
    return await client(edge, request.param)


def like(printed: Any, found: Any) -> bool:
    """Return whether every printed field is there, with a value of its type."""
    if isinstance(printed, dict):
        return isinstance(found, dict) and all(key in found and like(printed[key], found[key]) for key in printed)
    if isinstance(printed, list):
        return isinstance(found, list) and bool(found) and all(like(printed[0], item) for item in found)
    if isinstance(printed, str) and TIME.fullmatch(printed):
        return isinstance(found, str) and TIME.fullmatch(found) is not None
    return type(printed) is type(found)


async def test_sign_in(edge: Edge, kasal: Kasal) -> None:
    """POST /auth/login, /auth/refresh and /auth/logout, by the e-mail address and password of the document."""
    base = kasal.base
    name = f"user-{base.strip('/').replace('/', '-')}"
    email = "user@example.com" if base == "/v1" else "user2@example.com"
    role = {"name": name, "email": email, "password": "secure_password"}
    assert 201 == (await edge.http.post("/role", json=role, headers=edge.operator)).status_code

    answer = await edge.http.post(f"{base}/auth/login", json={"email": email, "password": "secure_password"})
    tokens = answer.json()

    assert 200 == answer.status_code
    assert like({"access_token": "eyJ0eXAi...", "token_type": "bearer", "expires_in": 86400}, tokens)
    assert ("bearer", 86400) == (tokens["token_type"], tokens["expires_in"])
    answer = await edge.http.post(f"{base}/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert 200 == answer.status_code
    assert like({"access_token": "eyJ0eXAi...", "expires_in": 86400}, answer.json())
    assert 86400 == answer.json()["expires_in"]
    bearer = {"authorization": f"Bearer {answer.json()['access_token']}"}
    answer = await edge.http.post(f"{base}/auth/logout", headers=bearer)
    assert (204, b"") == (answer.status_code, answer.content)
    await Kasal(edge, base, bearer["authorization"].removeprefix("Bearer ")).until_unauthorized()


async def test_crews(kasal: Kasal) -> None:
    """POST, GET, PUT and DELETE."""
    made = await kasal.made("/crews", CREW)
    crew_id = made["id"]

    assert {"id": crew_id, "name": "Marketing Crew", "status": "configuring"} == made
    assert crew_id.startswith("crew_")
    listed = await kasal.get("/crews")
    item = {
        "id": "crew_abc123",
        "name": "Customer Support Crew",
        "status": "active",
        "agents_count": 3,
        "created_at": "2024-01-15T10:30:00Z",
    }
    assert like({"crews": [item], "total": 15, "page": 1}, listed)
    assert item.keys() == listed["crews"][0].keys()
    assert (1, len(listed["crews"])) == (listed["page"], listed["total"])
    answer = await kasal.call("PUT", f"/crews/{crew_id}", {"name": "Updated Crew Name", "process": "sequential"})
    assert (200, {"id": crew_id, "updated": True}) == (answer.status_code, answer.json())
    await kasal.made("/tasks", {"agent_id": (await agents_of(kasal, crew_id))[0], "description": "Write"})
    found = await kasal.get(f"/crews/{crew_id}")
    assert {"id", "name", "agents", "tasks", "configuration"} == found.keys()
    assert (crew_id, "Updated Crew Name", 1, 1) == (
        found["id"],
        found["name"],
        *map(len, (found["agents"], found["tasks"])),
    )
    assert ("sequential", "active") == (found["configuration"]["process"], found["configuration"]["status"])
    answer = await kasal.call("DELETE", f"/crews/{crew_id}")
    assert (204, b"") == (answer.status_code, answer.content)
    assert 404 == (await kasal.call("DELETE", f"/crews/{crew_id}")).status_code
    assert 404 == (await kasal.call("GET", f"/crews/{crew_id}")).status_code


async def agents_of(kasal: Kasal, crew_id: str) -> list[str]:
    """Return the ids of a crew's agents."""
    return [agent["id"] for agent in (await kasal.get(f"/crews/{crew_id}"))["agents"]]


async def test_agents(kasal: Kasal) -> None:
    """POST and GET."""
    crew_id = await kasal.crew()
    sent = {
        "crew_id": crew_id,
        "role": "Data Analyst",
        "goal": "Analyze metrics",
        "backstory": "Expert analyst with 10 years experience",
        "model": "claude-3-opus",
        "tools": ["web_search", "calculator"],
    }
    made = await kasal.made("/agents", sent)

    assert {"id": made["id"], "status": "created"} == made
    listed = await kasal.get("/agents")
    item = {"id": "agent_001", "name": "Research Agent", "crew_id": "crew_abc123", "model": "gpt-4", "status": "ready"}
    assert like({"agents": [item]}, {"agents": [one for one in listed["agents"] if one["crew_id"] == crew_id]})
    (found,) = [one for one in listed["agents"] if one["id"] == made["id"]]
    assert ("Data Analyst", crew_id, "claude-3-opus", "ready") == tuple(
        found[key] for key in ("name", "crew_id", "model", "status")
    )
    assert 2 == len(await agents_of(kasal, crew_id))


async def test_tasks(kasal: Kasal) -> None:
    """POST and GET."""
    crew_id = await kasal.crew()
    (agent_id,) = await agents_of(kasal, crew_id)
    sent = {
        "agent_id": agent_id,
        "description": "Analyze competitor pricing",
        "expected_output": "Markdown report",
        "context": ["Previous analysis from Q3"],
    }
    made = await kasal.made("/tasks", sent)

    assert {"id": made["id"], "status": "created"} == made
    listed = await kasal.get("/tasks")
    item = {"id": "task_001", "description": "Generate report", "agent_id": "agent_001", "status": "completed"}
    assert like({"tasks": [item]}, listed)
    (found,) = [one for one in listed["tasks"] if one["id"] == made["id"]]
    assert (agent_id, "created", crew_id) == (found["agent_id"], found["status"], found["crew_id"])


async def test_executions(kasal: Kasal) -> None:
    """POST, GET, traces and stop; the task's status is that of the execution."""
    crew_id = await kasal.working_crew(
        "Write about {topic}, and use the calculator on 6*7",
        agents=[
            {
                "role": "Research Agent",
                "goal": "Find out",
                "model": "gpt-4",
                "tools": ["calculator"],
            }
        ],
    )
    sent = {"crew_id": crew_id, "inputs": {"topic": "Q4 Marketing Strategy", "deadline": "2024-12-31"}}
    started = await kasal.made("/executions", sent, 202)
    job_id = started["job_id"]

    assert {"job_id": job_id, "status": "queued", "estimated_duration": 300} == started
    await kasal.frames(job_id)
    found = await kasal.get(f"/executions/{job_id}")
    printed = {
        "job_id": "job_qwerty123",
        "status": "running",
        "progress": 65,
        "current_task": "Analyzing data",
        "started_at": "2024-01-15T14:00:00Z",
    }
    assert like(printed, found)
    assert (job_id, "completed", 100) == (found["job_id"], found["status"], found["progress"])
    assert "Q4 Marketing Strategy" in found["result"]
    traces = await kasal.get(f"/executions/{job_id}/traces")
    line = {
        "timestamp": "2024-01-15T14:00:05Z",
        "agent": "Research Agent",
        "action": "web_search",
        "result": "Found 15 relevant articles",
    }
    assert like({"traces": [line]}, traces)
    actions = [trace["action"] for trace in traces["traces"]]
    assert ("task_started", "task_completed") == (actions[0], actions[-1])
    assert {"llm_call", "calculator"} <= set(actions)
    assert {"Research Agent"} == {trace["agent"] for trace in traces["traces"]}
    (used,) = [trace for trace in traces["traces"] if trace["action"] == "calculator"]
    assert "42" in used["result"]
    answer = await kasal.call("POST", f"/executions/{job_id}/stop")
    assert (200, {"job_id": job_id, "status": "completed"}) == (answer.status_code, answer.json())
    (task,) = (await kasal.get(f"/crews/{crew_id}"))["tasks"]
    assert "completed" == task["status"]
    assert 300 > (await kasal.made("/executions", sent, 202))["estimated_duration"]


async def test_tools(kasal: Kasal) -> None:
    """GET and POST."""
    listed = await kasal.get("/tools")
    line = {"name": "web_search", "description": "Search the web", "category": "research"}

    assert like({"tools": [line]}, listed)
    categories = {tool["name"]: tool["category"] for tool in listed["tools"]}
    assert ("research", "data") == (categories["web_search"], categories["file_reader"])
    sent = {
        "name": "salesforce_api",
        "description": "Query Salesforce data",
        "endpoint": "https://api.example.com/salesforce",
        "auth_type": "bearer",
    }
    made = await kasal.made("/tools/custom", sent)
    assert {"tool_id": made["tool_id"], "status": "registered"} == made
    assert made["tool_id"].startswith("tool_custom_")
    assert made["tool_id"] in [tool["id"] for tool in (await kasal.get("/tools"))["tools"]]


async def test_memory(kasal: Kasal) -> None:
    """GET and clear, one kind and all."""
    crew_id = await kasal.working_crew()
    await kasal.run(crew_id, topic="email")
    found = await kasal.get(f"/memory/{crew_id}")

    printed = {
        "short_term": [{"timestamp": "2024-01-15T10:00:00Z", "content": "Customer prefers email communication"}],
        "long_term": [{"category": "preferences", "insights": ["Email preferred", "Weekly reports"]}],
    }
    assert like(printed, found)
    assert printed.keys() == found.keys()
    printed_body = '{\n  "type": "short_term" // or "long_term" or "all"\n}'
    kind_of = {"authorization": f"Bearer {kasal.token}", "content-type": "application/json"}
    path = f"{kasal.base}/memory/{crew_id}/clear"
    answer = await kasal.edge.http.post(path, content=printed_body, headers=kind_of)
    assert (204, b"") == (answer.status_code, answer.content)
    found = await kasal.get(f"/memory/{crew_id}")
    assert ([], 1) == (found["short_term"], len(found["long_term"]))
    for kind in ("long_term", "all"):
        assert 204 == (await kasal.call("POST", f"/memory/{crew_id}/clear", {"type": kind})).status_code
    assert {"short_term": [], "long_term": []} == await kasal.get(f"/memory/{crew_id}")


async def test_error(kasal: Kasal) -> None:
    """A crew without agents."""
    answer = await kasal.call("POST", "/crews", {**CREW, "agents": []})

    assert 400 == answer.status_code
    assert {
        "error": {
            "code": "VALIDATION_ERROR",
            "message": "Invalid crew configuration",
            "details": {"field": "agents", "reason": "At least one agent required"},
        }
    } == answer.json()


async def test_websocket(kasal: Kasal) -> None:
    """The frames of an execution, each with the printed fields."""
    job_id = await kasal.start(await kasal.working_crew(), topic="the sea")
    found = {frame["type"]: frame for frame in await kasal.frames(job_id)}

    start = {"type": "task_start", "job_id": job_id, "task_id": "task_001", "agent": "Research Agent"}
    complete = {"type": "task_complete", "job_id": job_id, "task_id": "task_001", "result": "Analysis complete"}
    assert like(start, found["task_start"])
    assert like(complete, found["task_complete"])
    assert found["task_start"]["task_id"] == found["task_complete"]["task_id"]
    assert like({"job_id": job_id, "progress": 65, "current_task": "Analyzing data"}, found["progress"])
    assert like({"job_id": job_id, "status": "completed", "result": "text"}, found["execution_complete"])
    assert {job_id} == {frame["job_id"] for frame in found.values()}
    async with kasal.socket() as socket:
        await socket.send(json.dumps({"type": "subscribe", "job_id": "job_qwerty123"}))
        error = json.loads(await socket.recv())
    assert like({"type": "error", "job_id": job_id, "message": "Rate limit exceeded", "code": "RATE_LIMIT"}, error)
    assert ("error", "job_qwerty123", "NOT_FOUND") == (error["type"], error["job_id"], error["code"])
