"""What holds of every noun of Kasal: ids, pages, errors, owners, and what is done once."""

import re
from typing import Any

import pytest
import pytest_asyncio

from tests.gateway.dialects.kasal.errors import error_of
from tests.gateway.dialects.kasal.kasal import BASES, CREW, Kasal, client
from tests.gateway.stack import Edge

pytestmark = pytest.mark.asyncio(loop_scope="module")
HEX = "0" * 32
AGENT = {"role": "Writer", "goal": "Write", "model": "gpt-4"}


@pytest_asyncio.fixture(name="kasal", loop_scope="module")
async def _kasal(edge: Edge) -> Kasal:
    """A user of one test, whose lists are empty at first and whose minute is not used up."""
    return await client(edge)


async def test_a_foreign_id_does_not_exist(edge: Edge, kasal: Kasal) -> None:
    """On every route that takes one, in path or body; nothing of the other's is listed or changed."""
    other = await client(edge, "/api/v1")
    crew_id = await kasal.working_crew()
    mine = await kasal.get(f"/crews/{crew_id}")
    agent_id, task_id = mine["agents"][0]["id"], mine["tasks"][0]["id"]
    job_id = await kasal.run(crew_id)
    asked: list[tuple[str, str, Any]] = [
        ("GET", f"/crews/{crew_id}", None),
        ("PUT", f"/crews/{crew_id}", {"name": "Mine"}),
        ("DELETE", f"/crews/{crew_id}", None),
        ("POST", "/agents", {**AGENT, "crew_id": crew_id}),
        ("POST", "/tasks", {"agent_id": agent_id, "description": "Steal"}),
        ("POST", "/executions", {"crew_id": crew_id}),
        ("GET", f"/agents/{agent_id}", None),
        ("DELETE", f"/agents/{agent_id}", None),
        ("PUT", f"/agents/{agent_id}", {"role": "Mine"}),
        ("GET", f"/tasks/{task_id}", None),
        ("PUT", f"/tasks/{task_id}", {"description": "Mine"}),
        ("DELETE", f"/tasks/{task_id}", None),
        ("GET", f"/executions/{job_id}", None),
        ("GET", f"/executions/{job_id}/traces", None),
        ("POST", f"/executions/{job_id}/stop", None),
        ("GET", f"/memory/{crew_id}", None),
        ("POST", f"/memory/{crew_id}/clear", {"type": "all"}),
    ]
    for method, path, body in asked:
        assert (404, "NOT_FOUND") == error_of(await other.call(method, path, body))[:2], f"{method} {path}"

    assert {"executions": [], "page": 1, "more": False} == await other.get("/executions")
    for noun in ("crews", "agents", "tasks"):
        assert {noun: [], "total": 0, "page": 1} == await other.get(f"/{noun}")
    assert "Marketing Crew" == (await kasal.get(f"/crews/{crew_id}"))["name"]
    assert 1 == len((await kasal.get(f"/memory/{crew_id}"))["short_term"])


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize(
    "path",
    [
        "/crews/crew_abc123",
        f"/crews/agent_{HEX}",
        f"/crews/crew_{HEX}",
        f"/crews/crew_{'A' * 32}",
        f"/crews/{HEX}",
        "/executions/job_qwerty123",
        f"/executions/{'0' * 24}",
        f"/executions/crew_{'0' * 24}/traces",
        f"/memory/job_{'0' * 24}",
        "/crews/x/y",
        "/memory",
    ],
)
async def test_another_prefix_leads_to_nothing(edge: Edge, base: str, path: str) -> None:
    """Nor does another length, or a path that there is not."""
    bearer = edge.operator["KODOSUMI_API_KEY"]
    answer = await edge.http.get(f"{base}{path}", headers={"authorization": f"Bearer {bearer}"})

    assert (404, "NOT_FOUND") == error_of(answer)[:2]


async def test_ids_have_prefixes(kasal: Kasal) -> None:
    """And stay what they are."""
    crew_id = await kasal.working_crew()
    found = await kasal.get(f"/crews/{crew_id}")
    job_id = await kasal.start(crew_id)

    shown = (crew_id, found["agents"][0]["id"], found["tasks"][0]["id"])
    for prefix, one in zip(("crew", "agent", "task"), shown, strict=True):
        assert re.fullmatch(rf"{prefix}_[0-9a-f]{{32}}", one)
    assert re.fullmatch(r"job_[0-9a-f]{24}", job_id)
    assert job_id == (await kasal.get(f"/executions/{job_id}"))["job_id"]


@pytest.mark.parametrize("noun", ["crews", "agents", "tasks", "tools"])
async def test_lists_have_pages(kasal: Kasal, noun: str) -> None:
    """By number; a page behind the last is empty."""
    for _ in range(3):
        await kasal.working_crew()
    whole = await kasal.get(f"/{noun}")
    pages = [await kasal.get(f"/{noun}?page={number}&limit=2") for number in (1, 2, 3)]

    assert [1, 2, 3] == [page["page"] for page in pages]
    assert {3} == {page["total"] for page in pages}
    assert whole[noun] == [item for page in pages for item in page[noun]]
    assert [2, 1, 0] == [len(page[noun]) for page in pages]


@pytest.mark.parametrize(
    "query", ["page=0", "page=x", "page=-1", "limit=0", "limit=101", "limit=1e3", "page=99999999999"]
)
@pytest.mark.parametrize("path", ["/crews", "/agents", "/tasks", "/tools", f"/executions/job_{'0' * 24}/traces"])
async def test_a_page_that_cannot_be_is_refused(edge: Edge, path: str, query: str) -> None:
    """The field is named."""
    answer = await edge.http.get(f"/v1{path}?{query}", headers=edge.operator)

    assert (400, "VALIDATION_ERROR", query.partition("=")[0]) == error_of(answer)


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/crews", {"agents": [AGENT]}, "name"),
        ("/crews", {"name": "", "agents": [AGENT]}, "name"),
        ("/crews", {"name": " ", "agents": [AGENT]}, "name"),
        ("/crews", {"name": "x" * 201, "agents": [AGENT]}, "name"),
        ("/crews", {"name": "x"}, "agents"),
        ("/crews", {"name": "x", "agents": [AGENT], "process": "chaotic"}, "process"),
        ("/crews", {"name": "x", "agents": [{**AGENT, "role": ""}]}, "agents.0.role"),
        ("/crews", {"name": "x", "agents": [{**AGENT, "name": "x" * 201}]}, "agents.0.name"),
        ("/crews", {"name": "x", "agents": [{**AGENT, "model": "x" * 101}]}, "agents.0.model"),
        ("/crews", {"name": "x", "agents": [{**AGENT, "tools": ["nope"]}]}, "agents.0.tools.0"),
        ("/crews", {"name": "x", "agents": [AGENT], "tasks": [{"description": "d", "agent": "?"}]}, "tasks.0.agent"),
        ("/agents", {**AGENT}, "crew_id"),
        ("/agents", {"crew_id": f"crew_{HEX}", "goal": "g"}, "role"),
        ("/tasks", {"description": "d"}, "agent_id"),
        ("/tasks", {"agent_id": f"agent_{HEX}"}, "description"),
        ("/executions", {}, "crew_id"),
        ("/executions", {"crew_id": f"crew_{HEX}", "inputs": []}, "inputs"),
        ("/tools/custom", {"name": "x", "endpoint": "https://example.com/", "auth_type": "oauth"}, "auth_type"),
        ("/tools/custom", {"name": "no blanks", "endpoint": "https://example.com/"}, "name"),
        ("/tools/custom", {"name": "calculator", "endpoint": "https://example.com/"}, "name"),
        ("/tools/custom", {"name": "x", "endpoint": "ftp://example.com/"}, "endpoint"),
        ("/tools/custom", {"name": "x", "endpoint": "http://169.254.169.254/"}, "endpoint"),
        (f"/memory/crew_{HEX}/clear", {"type": "everything"}, "type"),
        (f"/memory/crew_{HEX}/clear", {}, "type"),
        ("/auth/login", {"email": "user@example.com"}, "password"),
        ("/auth/refresh", {}, "refresh_token"),
        ("/crews", [], "body"),
    ],
)
async def test_what_is_wrong_is_named(edge: Edge, path: str, body: Any, field: str) -> None:
    """In `details.field`, with what the client calls it."""
    edge.http.cookies.clear()  # of those who signed in before
    answer = await edge.http.post(f"/v1{path}", json=body, headers=edge.operator)

    assert (400, "VALIDATION_ERROR", field) == error_of(answer)
    assert answer.json()["error"]["details"]["reason"]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"NaN"])
async def test_what_is_no_json_is_refused(edge: Edge, body: bytes) -> None:
    """As a field that is wrong."""
    headers = {**edge.operator, "content-type": "application/json"}
    answer = await edge.http.post("/api/v1/crews", content=body, headers=headers)

    assert (400, "VALIDATION_ERROR", "body") == error_of(answer)


@pytest.mark.parametrize("auth", ["none", "bearer", "api_key", "basic"])
async def test_a_tool_says_how_its_token_is_sent(kasal: Kasal, auth: str) -> None:
    """The token itself is not needed at once."""
    body = {"name": f"tool_{auth}", "endpoint": "https://example.com/", "auth_type": auth}
    made = await kasal.made("/tools/custom", body)

    assert made["tool_id"].startswith("tool_custom_")
    refused = await kasal.call("POST", "/tools/custom", {**body, "name": "other", "auth_type": "magic"})
    assert (400, "VALIDATION_ERROR", "auth_type") == error_of(refused)


@pytest.mark.parametrize("noun", ["crews", "agents", "tasks", "executions", "tools/custom"])
async def test_a_request_that_is_repeated_is_done_once(kasal: Kasal, noun: str) -> None:
    """With the same key; another body is refused."""
    crew_id = await kasal.working_crew()
    agent_id = (await kasal.get(f"/crews/{crew_id}"))["agents"][0]["id"]
    bodies: dict[str, dict[str, Any]] = {
        "crews": CREW,
        "agents": {**AGENT, "crew_id": crew_id},
        "tasks": {"agent_id": agent_id, "description": "Write"},
        "executions": {"crew_id": crew_id, "inputs": {"topic": "a"}},
        "tools/custom": {"name": "once", "description": "", "endpoint": "https://example.com/"},
    }
    body = bodies[noun]
    others: dict[str, dict[str, Any]] = {
        "crews": {"name": "Other"},
        "agents": {"goal": "Other"},
        "tasks": {"description": "Other"},
        "executions": {"inputs": {}},
        "tools/custom": {"description": "Other"},
    }
    headers = {"idempotency-key": f"key-{noun}"}
    first, second = [await kasal.call("POST", f"/{noun}", body, headers=headers) for _ in range(2)]

    assert first.status_code in (201, 202)
    assert (first.status_code, first.json()) == (second.status_code, second.json())
    answer = await kasal.call("POST", f"/{noun}", {**body, **others[noun]}, headers=headers)
    assert (400, "VALIDATION_ERROR", "Idempotency-Key") == error_of(answer)
    members = (await kasal.get(f"/crews/{crew_id}"))["agents"]
    assert len(members) == (2 if noun == "agents" else 1)


async def test_a_task_that_is_named_in_a_context_comes_first(kasal: Kasal) -> None:
    """Its result is given; what is no task of the caller's is text."""
    crew_id = await kasal.working_crew("Find out")
    found = await kasal.get(f"/crews/{crew_id}")
    first = found["tasks"][0]["id"]
    sent = {"agent_id": found["agents"][0]["id"], "description": "Sum up", "context": [first, "briefly", f"task_{HEX}"]}
    await kasal.made("/tasks", sent)
    traces = (await kasal.get(f"/executions/{await kasal.run(crew_id)}/traces"))["traces"]

    order = [trace["action"] for trace in traces if trace["action"].startswith("task_")]
    assert ["task_started", "task_completed"] * 2 == order
    assert first == next(trace["task_id"] for trace in traces if trace["action"] == "task_started")


async def test_who_deletes_a_crew_stops_its_executions(kasal: Kasal) -> None:
    """The job has ended when it is answered."""
    crew_id = await kasal.working_crew(*(f"Step {number}" for number in range(20)))
    job_id = await kasal.start(crew_id)

    assert 204 == (await kasal.call("DELETE", f"/crews/{crew_id}")).status_code
    found = await kasal.get(f"/executions/{job_id}")
    assert found["status"] in ("stopped", "completed")
    assert found["completed_at"]
    assert (404, "NOT_FOUND", "crew_id") == error_of(await kasal.call("POST", "/executions", {"crew_id": crew_id}))


async def test_an_execution_is_stopped(kasal: Kasal) -> None:
    """And says so ever after."""
    job_id = await kasal.start(await kasal.working_crew(*(f"Step {number}" for number in range(50))))
    answer = await kasal.call("POST", f"/executions/{job_id}/stop")

    assert (200, {"job_id": job_id, "status": "stopped"}) == (answer.status_code, answer.json())
    found = await kasal.get(f"/executions/{job_id}")
    assert ("stopped", "", None) == (found["status"], found["current_task"], found["result"])
    assert found["error"]
    assert answer.json() == (await kasal.call("POST", f"/executions/{job_id}/stop")).json()


async def test_an_agent_without_a_model_is_not_ready(kasal: Kasal) -> None:
    """Its crew is being configured, and does not work."""
    crew_id = await kasal.working_crew(agents=[{"role": "Writer", "goal": "Write"}])
    found = await kasal.get(f"/crews/{crew_id}")

    assert ("created", "configuring") == (found["agents"][0]["status"], found["configuration"]["status"])
    assert (400, "VALIDATION_ERROR") == error_of(await kasal.call("POST", "/executions", {"crew_id": crew_id}))[:2]


async def test_secrets_are_never_shown(kasal: Kasal) -> None:
    """Keys of models and tokens of tools."""
    canaries = ("sk-canary-51f0", "tok-canary-77aa")
    tool = {"name": "lookup", "endpoint": "https://example.com/", "auth_type": "bearer", "auth_token": canaries[1]}
    crew_id = await kasal.crew(agents=[{**AGENT, "model": "offline", "api_key": canaries[0]}])
    bodies = [await kasal.made("/tools/custom", tool)]
    bodies += [await kasal.get(path) for path in (f"/crews/{crew_id}", "/crews", "/agents", "/tools")]

    assert not [canary for canary in canaries if canary in str(bodies)]


@pytest.mark.parametrize(
    ("model", "shown"),
    [
        ("gpt-4", "gpt-4"),
        ("openai/gpt-4o", "gpt-4o"),
        ("acme/x/y", "acme/x/y"),
        ("custom-1", "custom-1"),
        ("llama3:8b", "llama3:8b"),
    ],
)
async def test_a_model_is_shown_as_it_was_named(kasal: Kasal, model: str, shown: str) -> None:
    """Its provider only where it does not follow from the name."""
    crew_id = await kasal.crew(agents=[{**AGENT, "model": model}])

    assert shown == (await kasal.get(f"/crews/{crew_id}"))["agents"][0]["model"]


async def test_a_sandbox_is_answered_for_offline(edge: Edge) -> None:
    """With a key, too; its data is its own."""
    sandbox = await client(edge, tier="TIER_SANDBOX")
    crew_id = await sandbox.working_crew(agents=[{**AGENT, "api_key": "sk-sandbox"}])
    found = await sandbox.get(f"/executions/{await sandbox.run(crew_id)}")

    assert "completed" == found["status"]
    assert "offline model" in found["result"]
    assert 404 == (await (await client(edge)).call("GET", f"/crews/{crew_id}")).status_code


async def test_single_agents_and_tasks(kasal: Kasal) -> None:
    """As lists show them, until they are deleted; a task on which another depends stays."""
    crew_id = await kasal.working_crew()
    found = await kasal.get(f"/crews/{crew_id}")
    agent_id, task_id = found["agents"][0]["id"], found["tasks"][0]["id"]
    last = (await kasal.made("/tasks", {"agent_id": agent_id, "description": "Sum up", "context": [task_id]}))["id"]

    assert [await kasal.get(f"/agents/{agent_id}")] == (await kasal.get("/agents"))["agents"] == found["agents"]
    assert found["tasks"] == [await kasal.get(f"/tasks/{task_id}")]
    assert (400, "VALIDATION_ERROR") == error_of(await kasal.call("DELETE", f"/tasks/{task_id}"))[:2]
    for path in (f"/tasks/{last}", f"/tasks/{task_id}", f"/agents/{agent_id}"):
        answer = await kasal.call("DELETE", path)
        assert (204, b"") == (answer.status_code, answer.content)
        assert (404, "NOT_FOUND") == error_of(await kasal.call("GET", path))[:2]
        assert (404, "NOT_FOUND") == error_of(await kasal.call("DELETE", path))[:2]
    assert "configuring" == (await kasal.get(f"/crews/{crew_id}"))["configuration"]["status"]


async def test_single_agents_and_tasks_are_changed(kasal: Kasal) -> None:
    """What is sent; the rest stays."""
    crew_id = await kasal.working_crew("First", "Second")
    found = await kasal.get(f"/crews/{crew_id}")
    agent, (first, second) = found["agents"][0], found["tasks"]
    for path, body in (
        (f"/agents/{agent['id']}", {"name": "Ada", "model": "claude-3-opus"}),
        (f"/tasks/{second['id']}", {"expected_output": "A list", "context": [first["id"]]}),
        (f"/tasks/{first['id']}", {}),
    ):
        answer = await kasal.call("PUT", path, body)
        assert (200, {"id": path.rpartition("/")[2], "updated": True}) == (answer.status_code, answer.json())

    assert {**agent, "name": "Ada", "model": "claude-3-opus"} == await kasal.get(f"/agents/{agent['id']}")
    assert {**second, "expected_output": "A list"} == await kasal.get(f"/tasks/{second['id']}")
    assert first == await kasal.get(f"/tasks/{first['id']}")
    circle = await kasal.call("PUT", f"/tasks/{first['id']}", {"context": [second["id"]]})
    assert (400, "VALIDATION_ERROR", "context") == error_of(circle)


async def test_executions_are_listed(kasal: Kasal) -> None:
    """Newest first, by page and by where they stand; each as it is by itself."""
    crew_id = await kasal.working_crew()
    ran = [await kasal.run(crew_id) for _ in range(3)]
    whole = await kasal.get("/executions?status=completed")
    first, second = await kasal.get("/executions?limit=2"), await kasal.get("/executions?limit=2&page=2")

    assert ran[::-1] == [one["job_id"] for one in whole["executions"]]
    assert whole["executions"] == first["executions"] + second["executions"]
    assert (True, False) == (first["more"], second["more"])
    assert whole["executions"][0] == await kasal.get(f"/executions/{ran[-1]}")
    assert [] == (await kasal.get("/executions?status=failed"))["executions"]
    assert (400, "VALIDATION_ERROR", "status") == error_of(await kasal.call("GET", "/executions?status=done"))
