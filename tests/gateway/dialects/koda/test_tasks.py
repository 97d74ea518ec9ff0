"""Tasks beyond the page's examples: what is refused, what waits, what is stopped."""

from typing import Any

import pytest

from tests.gateway.dialects.koda.people import SUBMITTED, Koda

pytestmark = pytest.mark.asyncio(loop_scope="module")
TASKS = "/api/runtime/tasks"
ASKING = {"displayName": "lookup", "kind": "TOOL_KIND_HTTP", "endpoint": "https://example.com/", "needsApproval": True}
"""A tool that a human must allow: its agent waits for as long as nobody answers."""


async def waiting(ada: Koda, slug: str, **given: Any) -> str:
    """Add an agent whose tasks wait for a human if they use `lookup`; return its id."""
    tools = (await ada.ok("GET", "/mesh/v1/tools"))["tools"]
    found = [tool["name"] for tool in tools if tool["displayName"] == "lookup"]
    tool = found[0] if found else (await ada.ok("POST", "/mesh/v1/tools", json=ASKING))["name"]
    await ada.agent(slug=slug, displayName=slug, tools=[tool], **given)
    return slug


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{", "body"),
        (b"", "body"),
        (b"[]", "body"),
        ({}, "agent_id"),
        ({"agent_id": "atlas"}, "query"),
        ({**SUBMITTED, "query": ""}, "query"),
        ({**SUBMITTED, "query": "  "}, "query"),
        ({**SUBMITTED, "query": 7}, "query"),
        ({**SUBMITTED, "query": "x" * 200_001}, "query"),
        ({**SUBMITTED, "agent_id": None}, "agent_id"),
        ({**SUBMITTED, "metadata": "x"}, "metadata"),
        ({**SUBMITTED, "metadata": {"x": "é" * 8192}}, "metadata"),
        ({**SUBMITTED, "metadata": {str(number): 0 for number in range(65)}}, "metadata"),
        ({**SUBMITTED, "context": {"colour": "red"}}, "context.colour"),
        ({**SUBMITTED, "context_overrides": {"colour": "red"}}, "context_overrides.colour"),
        ({**SUBMITTED, "context": {"timeout_seconds": 0}}, "context.timeout_seconds"),
        ({**SUBMITTED, "context": {"max_cost_usd": -1}}, "context.max_cost_usd"),
        ({**SUBMITTED, "context": {"session_id": "x" * 65}}, "context.session_id"),
        ({**SUBMITTED, "context": {"model": "x" * 101}}, "context.model"),
        ({**SUBMITTED, "context": {"memory_scope": "workspace"}}, "context.memory_scope"),
        ({**SUBMITTED, "context": {"skills": ["none-such"]}}, "context.skills"),
        ({**SUBMITTED, "context": {}, "context_overrides": {}}, "body"),
    ],
    ids=lambda value: repr(value)[:60],
)
async def test_a_malformed_body_is_400_and_names_the_field(ada: Koda, body: Any, field: str) -> None:
    """In the envelope of every error."""
    sent = {"content": body, "headers": {"content-type": "application/json"}} if isinstance(body, bytes) else {}
    error = await ada.refused("POST", TASKS, 400, **(sent or {"json": body}))

    assert ("request.invalid", "validation", False) == (error["code"], error["category"], error["retryable"])
    assert field == next(iter(error["fields"]))


async def test_metadata_comes_back_as_it_was(ada: Koda) -> None:
    """Every JSON value, whole numbers beyond 2**53 as well."""
    metadata = {"n": 2**60 + 1, "f": 1.5, "deep": {"é": [None, True, "\N{GRINNING FACE}"]}, "": ""}
    task = await ada.submit(metadata=metadata)
    bare = await ada.ok("POST", TASKS, 202, json={"agent_id": "atlas", "query": "Hello"})

    assert metadata == task["metadata"]
    assert metadata == (await ada.ended(task["id"]))["metadata"]
    assert {} == bare["metadata"]


async def test_a_task_may_be_different_from_its_agent(ada: Koda) -> None:
    """Another model, fewer skills, no memory: for this task, as its trace says; the agent stays as it is."""
    before = await ada.ok("GET", "/api/runtime/agents/atlas")
    query = 'Use the tool calculator with {"expression": "6*7"}'
    context = {"model": "another", "skills": [], "memory_scope": "none"}
    task = await ada.ended((await ada.submit(query=query, context=context))["id"])
    usual = await ada.ended((await ada.submit(query=query))["id"])
    steps, others = [(await ada.ok("GET", f"{TASKS}/{each['id']}/trace"))["steps"] for each in (task, usual)]

    assert ("completed", "completed") == (task["status"], usual["status"])
    assert {"another"} == {step["model"] for step in steps if step["kind"] == "provider_call"}
    assert "tool_call" not in {step["kind"] for step in steps}
    assert "tool_call" in {step["kind"] for step in others}
    after = await ada.ok("GET", "/api/runtime/agents/atlas")
    assert (before["model"], before["skills"], before["memory_scope"]) == (
        after["model"],
        after["skills"],
        after["memory_scope"],
    )


async def test_what_has_failed_is_tried_again(ada: Koda) -> None:
    """As a new task with the same query, metadata and context; what has not failed is 409."""
    slug = await waiting(ada, "again")
    task = await ada.submit(agent_id=slug, query='Use the tool lookup with {"q": "x"}', context={"timeout_seconds": 60})
    await ada.paused(task["id"])
    early = await ada.refused("POST", f"{TASKS}/{task['id']}/retry", 409)
    await ada.ok("POST", f"{TASKS}/{task['id']}/cancel")
    answer = await ada.call("POST", f"{TASKS}/{task['id']}/retry")
    again = answer.json()

    assert (202, again["links"]["self"]) == (answer.status_code, answer.headers["location"])
    assert ("task.conflict", task["id"], None) == (early["code"], again["retry_of"], task["retry_of"])
    assert (slug, task["metadata"]) == (again["agent_id"], again["metadata"])
    assert "paused" == (await ada.paused(again["id"]))["status"]
    await ada.ok("POST", f"{TASKS}/{again['id']}/cancel")


async def test_overrides_are_kept_to(ada: Koda) -> None:
    """A session's messages are those of its conversation; what the agent has anyway may be said."""
    conversation = (await ada.ok("POST", "/mesh/v1/conversations", json={"conversation": {"title": "Audit"}}))["name"]
    context = {
        "session_id": conversation,
        "skills": ["calculator"],
        "memory_scope": "agent",
        "model": "offline",
        "timeout_seconds": 300,
        "max_cost_usd": 0.5,
    }
    task = await ada.submit(context_overrides=context)
    job = await ada.ok("GET", f"/mesh/v1/jobs/{task['id'].removeprefix('tsk_')}")

    foreign = {**SUBMITTED, "context": {"session_id": "conversations/0198f000-0000-7000-8000-000000000000"}}

    assert conversation == job["conversation"]
    assert "session.not_found" == (await ada.refused("POST", TASKS, 404, json=foreign))["code"]
    assert "completed" == (await ada.ended(task["id"]))["status"]


@pytest.mark.parametrize("path", [f"{TASKS}/tsk_{'0' * 24}", f"{TASKS}/{'0' * 24}", f"{TASKS}/nope", f"{TASKS}/tsk_"])
async def test_what_is_no_task_is_404(ada: Koda, path: str) -> None:
    """A prefix that is missing, too."""
    for where in (path, f"{path}/trace"):
        assert "task.not_found" == (await ada.refused("GET", where, 404))["code"]


async def test_a_job_from_elsewhere_is_a_task(ada: Koda) -> None:
    """Its agent is named by its slug."""
    started = await ada.ok("POST", "/mesh/v1/jobs", json={"target": "agents/atlas", "inputs": {"prompt": "Hello"}})
    task = await ada.ended(f"tsk_{started['name'].removeprefix('jobs/')}")

    assert ("atlas", "completed", {}) == (task["agent_id"], task["status"], task["metadata"])


@pytest.mark.parametrize("state", ["AGENT_STATE_PAUSED", "AGENT_STATE_DRAFT"])
async def test_an_agent_that_is_not_active_takes_no_tasks(ada: Koda, state: str) -> None:
    """403 with a code of its own; it is listed, and one that is archived is not there at all."""
    slug = state.rpartition("_")[2].lower()
    agent = await ada.agent(slug=slug, displayName=slug)
    await ada.ok("PATCH", f"/mesh/v1/{agent['name']}", json={"state": state})
    error = await ada.refused("POST", TASKS, 403, json={**SUBMITTED, "agent_id": slug})
    listed = await ada.ok("GET", "/api/runtime/agents", params={"state": slug})

    assert ("agent.not_active", "policy_denied") == (error["code"], error["category"])
    assert [(slug, slug)] == [(each["id"], each["state"]) for each in listed["items"]]
    await ada.ok("DELETE", f"/mesh/v1/{agent['name']}")
    for agent_id in (slug, agent["name"].removeprefix("agents/")):
        await ada.refused("GET", f"/api/runtime/agents/{agent_id}", 404)
        await ada.refused("POST", TASKS, 404, json={**SUBMITTED, "agent_id": agent_id})


async def test_an_agent_at_its_limit_lets_tasks_wait(ada: Koda) -> None:
    """They are accepted as queued, and run when there is room; counted in the agent's detail."""
    slug = await waiting(ada, "narrow", concurrencyLimit=1)
    query = 'Use the tool lookup with {"q": "x"}'
    first = await ada.submit(agent_id=slug, query=query)
    paused = await ada.paused(first["id"])
    second = await ada.submit(agent_id=slug, query="Hello")
    concurrency = (await ada.ok("GET", f"/api/runtime/agents/{slug}"))["concurrency"]
    waits = (await ada.ok("GET", f"{TASKS}/{second['id']}"))["status"]
    cancelled = await ada.ok("POST", f"{TASKS}/{first['id']}/cancel")

    assert ("paused", "queued") == (paused["status"], waits)
    assert {"limit": 1, "running": 1, "queued": 1} == concurrency
    assert ("failed", "task.cancelled", None) == (cancelled["status"], cancelled["error"]["code"], cancelled["output"])
    assert {"source": "operator"} == cancelled["metadata"]
    assert "completed" == (await ada.ended(second["id"]))["status"]
    conflict = await ada.refused("POST", f"{TASKS}/{first['id']}/cancel", 409)
    assert "task.conflict" == conflict["code"]


async def test_a_task_is_held_back_until_it_is_resumed(ada: Koda) -> None:
    """Twice is as once; what waits for somebody, or has ended, is a conflict."""
    slug = await waiting(ada, "held", concurrencyLimit=1)
    first = await ada.submit(agent_id=slug, query='Use the tool lookup with {"q": "x"}')
    await ada.paused(first["id"])
    second = await ada.submit(agent_id=slug, query="Hello")
    where = f"{TASKS}/{second['id']}"

    paused = [(await ada.ok("POST", f"{where}/pause"))["status"] for _ in range(2)]
    conflicts = [await ada.refused("POST", f"{TASKS}/{first['id']}/{way}", 409) for way in ("pause", "resume")]
    await ada.ok("POST", f"{TASKS}/{first['id']}/cancel")
    still = (await ada.ok("GET", where))["status"]
    resumed = (await ada.ok("POST", f"{where}/resume"))["status"]

    assert ["paused"] * 3 == [*paused, still]
    assert ["task.conflict"] * 2 == [conflict["code"] for conflict in conflicts]
    assert resumed in ("queued", "running", "completed")
    assert "completed" == (await ada.ended(second["id"]))["status"]
    assert "task.conflict" == (await ada.refused("POST", f"{where}/pause", 409))["code"]


async def test_an_approval_is_in_the_trace(ada: Koda) -> None:
    """With the call that it was about, and as an audit event."""
    slug = await waiting(ada, "careful")
    task = await ada.submit(agent_id=slug, query='Use the tool lookup with {"q": "x"}')
    await ada.paused(task["id"])
    job = await ada.ok("GET", f"/mesh/v1/jobs/{task['id'].removeprefix('tsk_')}")
    answer = {"inputs": {"approve": False, "comment": "not now"}}
    await ada.ok("POST", f"/mesh/v1/{job['locks'][0]}:answer", json=answer)
    await ada.ended(task["id"])
    steps = (await ada.ok("GET", f"{TASKS}/{task['id']}/trace"))["steps"]

    (tool,) = [step for step in steps if step["kind"] == "tool_call"]
    (audit,) = [step for step in steps if step["kind"] == "audit_event"]
    assert ("error", "not now") == (tool["status"], tool["approval"]["comment"])
    assert ("security.approval_denied", tool["id"]) == (audit["event"], audit["parent_id"])


async def test_tasks_are_listed_by_agent_and_status(ada: Koda) -> None:
    """Newest first, in pages."""
    await ada.agent(slug="busy", displayName="Busy")
    sent = [(await ada.submit(agent_id="busy", query=f"Hello {number}"))["id"] for number in range(3)]
    for task_id in sent:
        await ada.ended(task_id)
    first = await ada.ok("GET", TASKS, params={"agent_id": "busy", "status": "completed", "limit": "2"})
    rest = await ada.ok(
        "GET", TASKS, params={"agent_id": "busy", "status": "completed", "limit": "2", "cursor": first["next_cursor"]}
    )
    none = await ada.ok("GET", TASKS, params={"agent_id": "busy", "status": "paused"})

    assert sent[::-1] == [task["id"] for task in first["items"] + rest["items"]]
    assert (None, []) == (rest["next_cursor"], none["items"])


@pytest.mark.parametrize(
    ("path", "field"),
    [
        (f"{TASKS}?status=cancelled", "status"),
        (f"{TASKS}?limit=0", "limit"),
        (f"{TASKS}?limit=x", "limit"),
        (f"{TASKS}?cursor=nonsense", "cursor"),
        ("/api/runtime/agents?state=archived", "state"),
    ],
)
async def test_a_filter_that_cannot_be_names_its_field(ada: Koda, path: str, field: str) -> None:
    """400, as everywhere."""
    assert [field] == list((await ada.refused("GET", path, 400))["fields"])


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/runtime/nope", 404, "resource.not_found"),
        ("DELETE", TASKS, 405, "request.method_not_allowed"),
    ],
)
async def test_what_nobody_answers_is_in_the_same_envelope(
    ada: Koda, method: str, path: str, status: int, code: str
) -> None:
    """Also below the documented paths."""
    assert code == (await ada.refused(method, path, status))["code"]


async def test_a_task_can_be_sent_twice(ada: Koda) -> None:
    """With an Idempotency-Key it is one."""
    key = {"Idempotency-Key": "once"}
    first = await ada.ok("POST", TASKS, 202, json=SUBMITTED, headers=key)
    again = await ada.ok("POST", TASKS, 202, json=SUBMITTED, headers=key)

    assert first["id"] == again["id"]
