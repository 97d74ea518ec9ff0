"""Executions run on the mesh, and end when somebody outside says so."""

import asyncio
from typing import Any

import pytest

from tests.engine.providers import ANSWER, Provider
from tests.gateway.dialects.codex.calling import Codex

pytestmark = pytest.mark.asyncio(loop_scope="module")

DONE = {"status": 2, "response": "Mine", "inputTokens": 7, "outputTokens": 8, "estimatedCost": 0.25}
UNKNOWN = "6b078a31-4c11-8c86-8000-000622a228a8"


async def test_what_is_started_runs(codex: Codex) -> None:
    """On the offline model, to its end, without anybody's help; the answer is a message."""
    agent, conversation = await codex.agent(), await codex.conversation()
    prompt = "Say hello: " + "𝄞" * 200

    execution = await codex.start(agent, prompt, conversationId=conversation)
    ended = await codex.ended(execution)

    assert (ended["status"], ended["errorMessage"], ended["userPrompt"]) == (2, None, prompt)
    assert ended["response"].startswith("[offline model]")
    assert ended["inputTokens"] > 0
    assert ended["outputTokens"] > 0
    whole = (await codex.post("query/getConversation", {"id": conversation})).json()
    assert [said["content"] for said in whole["messages"]] == [prompt, ended["response"]]
    assert whole["executions"][0]["userPrompt"] == prompt[:200] + "..."
    assert (await codex.post("query/getAgent", {"id": agent})).json()["executionCount"] == 1


async def test_a_provider_is_asked_with_the_key(codex: Codex, models: Provider) -> None:
    """That of the agent, which nobody is shown again."""
    agent = await codex.agent(
        modelProvider="openai", modelName="plain", providerType=2, modelEndpoint=models.openai, apiKey="sk-canary-codex"
    )

    ended = await codex.ended(await codex.start(agent))

    assert (ended["response"], ended["inputTokens"], ended["outputTokens"]) == (ANSWER, 10, 5)
    assert models.calls[-1]["key"] == "sk-canary-codex"
    for path in ("agents", "executions", f"agents/{agent}", f"agents/{agent}/executions"):
        assert "sk-canary-codex" not in (await codex.get(path)).text


async def test_a_failure_says_why(codex: Codex, models: Provider) -> None:
    """Of the mesh's own run."""
    agent = await codex.agent(
        modelProvider="openai", modelName="denied", providerType=2, modelEndpoint=models.openai, apiKey="sk-x"
    )

    ended = await codex.ended(await codex.start(agent))

    assert (ended["status"], ended["response"], ended["messageCount"]) == (3, None, 1)
    assert ended["errorMessage"]


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        (DONE, {"status": 2, "response": "Mine", "errorMessage": None, "inputTokens": 7, "estimatedCost": 0.25}),
        ({"status": "Failed", "response": "broke"}, {"status": 3, "response": None, "errorMessage": "broke"}),
        (
            {"status": 3, "response": "half of it", "errorMessage": "out of paper"},
            {"status": 3, "errorMessage": "out of paper"},
        ),
        ({"status": "cancelled"}, {"status": 4, "response": None}),
    ],
)
async def test_somebody_outside_ends_it(codex: Codex, sent: dict[str, Any], shown: dict[str, Any]) -> None:
    """An execution that is external waits for them; the same end again changes nothing, another is refused."""
    execution = await codex.start(await codex.agent(), external=True)
    assert (await codex.execution(execution))["status"] == 0

    for _ in range(2):
        answer = await codex.post("command/completeAgentExecution", {"executionId": execution, **sent})
        assert (answer.status_code, answer.content) == (200, b""), answer.text
    other = await codex.post("command/completeAgentExecution", {"executionId": execution, **DONE, "response": "Other"})

    assert other.status_code == 400
    assert "external" in other.json()["errors"]["executionId"][0]
    ended = await codex.execution(execution)
    assert {name: ended[name] for name in shown} == shown


async def test_the_mesh_was_faster(codex: Codex) -> None:
    """What the mesh has ended stays as it is: whoever comes later is told how to be the only one."""
    execution = await codex.start(await codex.agent())
    before = await codex.ended(execution)

    late = await codex.post("command/completeAgentExecution", {"executionId": execution, **DONE})

    assert (late.status_code, "external: true" in late.text) == (400, True)
    assert await codex.execution(execution) == before


async def test_it_is_taken_from_the_mesh(codex: Codex, models: Provider) -> None:
    """While the mesh is at it: its run is stopped, and what it says later does not count."""
    agent = await codex.agent(
        modelProvider="openai", modelName="gate", providerType=2, modelEndpoint=models.openai, apiKey="sk-x"
    )
    execution = await codex.start(agent)
    async with asyncio.timeout(60):
        while (await codex.execution(execution))["status"] != 1:
            await codex.get("executions/status/running")

    done = await codex.post("command/completeAgentExecution", {"executionId": execution, **DONE})
    models.gate.set()

    assert done.status_code == 200
    ended = await codex.ended(execution)
    assert (ended["response"], ended["inputTokens"], ended["outputTokens"]) == ("Mine", 7, 8)


@pytest.mark.parametrize("status", [0, 1, "Pending", "running", 5, -1, True, None, "2.0", 2.5])
async def test_only_ends_end(codex: Codex, status: Any) -> None:
    """Completed, Failed or Cancelled."""
    answer = await codex.post("command/completeAgentExecution", {"executionId": UNKNOWN, "status": status})

    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["status"])


async def test_it_is_cancelled(codex: Codex, models: Provider) -> None:
    """While the mesh is at it, or while it waits; again is the same, and what has ended otherwise stays as it is."""
    gated = await codex.agent(
        modelProvider="openai", modelName="gate", providerType=2, modelEndpoint=models.openai, apiKey="sk-x"
    )
    models.gate.clear()
    for execution in (await codex.start(gated), await codex.start(gated, external=True)):
        for _ in range(2):
            answer = await codex.post("command/cancelAgentExecution", {"executionId": execution})
            assert (answer.status_code, answer.content) == (200, b""), answer.text
        shown = await codex.execution(execution)
        assert (shown["status"], shown["response"]) == (4, None)
        assert shown["errorMessage"]
    models.gate.set()

    done = await codex.start(await codex.agent())
    before = await codex.ended(done)
    late = await codex.post("command/cancelAgentExecution", {"executionId": done})

    assert (late.status_code, list(late.json()["errors"])) == (400, ["executionId"])
    assert await codex.execution(done) == before


async def test_what_there_is_not(codex: Codex) -> None:
    """An execution, an agent, a conversation: 404."""
    agent = await codex.agent()
    start = {"agentId": agent, "userPrompt": "x"}

    for path, body in (
        ("query/getAgentExecution", {"id": UNKNOWN}),
        ("query/getAgentExecution", {"id": agent}),
        ("query/getAgent", {"id": UNKNOWN}),
        ("query/getConversation", {"id": UNKNOWN}),
        ("command/updateAgent", {"id": UNKNOWN, "name": "x"}),
        ("command/deleteAgent", {"id": UNKNOWN}),
        ("command/completeAgentExecution", {"executionId": UNKNOWN, **DONE}),
        ("command/cancelAgentExecution", {"executionId": UNKNOWN}),
        ("command/startAgentExecution", {**start, "agentId": UNKNOWN}),
        ("command/startAgentExecution", {**start, "conversationId": UNKNOWN}),
    ):
        answer = await codex.post(path, body)
        assert answer.status_code == 404, (path, answer.text)
        assert answer.json()["title"] == "Not Found"
        assert answer.headers["content-type"] == "application/problem+json"
    for path in (f"agents/{UNKNOWN}/executions", f"agents/{UNKNOWN}/conversations", "agents/nobody/executions"):
        assert (await codex.get(path)).status_code == 404


async def test_an_agent_that_is_gone_or_off(codex: Codex) -> None:
    """Nothing of it is started; what was executed is still shown, with its name."""
    agent = await codex.agent(name="Short-lived")
    execution = await codex.start(agent, external=True)
    body = {"agentId": agent, "userPrompt": "x"}

    assert (await codex.post("command/updateAgent", {"id": agent, "status": "Inactive"})).status_code == 200
    off = await codex.post("command/startAgentExecution", body)
    assert (off.status_code, list(off.json()["errors"])) == (400, ["agentId"])
    assert (await codex.post("command/deleteAgent", {"id": agent})).status_code == 200
    assert (await codex.post("command/startAgentExecution", body)).status_code == 404
    assert (await codex.post("command/deleteAgent", {"id": agent})).status_code == 404
    (listed,) = (await codex.get(f"agents/{agent}/executions")).json()
    assert (listed["id"], listed["agentName"]) == (execution, "Short-lived")


async def test_lists_have_the_hundred_newest(codex: Codex) -> None:
    """Of a hundred and one, the oldest is not there; filters come first."""
    agent = await codex.agent(name="Busy")
    first = await codex.start(agent, "first", external=True)
    await asyncio.gather(*(codex.start(agent, f"number {number}", external=True) for number in range(100)))
    last = await codex.start(await codex.agent(name="Other"), "last", external=True)

    of_agent = (await codex.get(f"agents/{agent}/executions")).json()
    everything = (await codex.get("executions")).json()
    pending = (await codex.get("executions/status/0")).json()

    assert (len(of_agent), len(everything), len(pending)) == (100, 100, 100)
    assert everything[0]["id"] == last
    assert first not in {one["id"] for one in of_agent}
    assert (await codex.post("query/getAgent", {"id": agent})).json()["executionCount"] == 101


async def test_lists_go_on_behind_a_cursor(codex: Codex) -> None:
    """As bare arrays still; the header leads through all, each once, and is not there behind the last."""
    agent = await codex.agent(name="Paged")
    talks = [await codex.conversation(f"Talk {number}") for number in range(5)]
    made = [await codex.start(agent, "x", external=True, conversationId=talk) for talk in talks]
    for path, wanted in ((f"agents/{agent}/executions", made), (f"agents/{agent}/conversations", talks)):
        found, cursor = [], ""
        while True:
            answer = await codex.get(f"{path}?limit=2&cursor={cursor}")
            found += [one["id"] for one in answer.json()]
            cursor = answer.headers.get("x-next-cursor", "")
            if not cursor:
                break
        assert found == wanted[::-1], path
    for path in ("agents", "executions", "conversations", "executions/status/pending"):
        first = await codex.get(f"{path}?limit=1")
        second = await codex.get(f"{path}?limit=1&cursor={first.headers['x-next-cursor']}")
        assert len({one["id"] for one in (*first.json(), *second.json())}) == 2, path


@pytest.mark.parametrize(
    ("query", "field"),
    [("limit=0", "limit"), ("limit=101", "limit"), ("limit=x", "limit"), ("limit=-1", "limit"), ("cursor=x", "cursor")],
)
async def test_a_page_that_cannot_be_names_its_field(codex: Codex, query: str, field: str) -> None:
    """400, in every list."""
    for path in ("agents", "executions", "conversations", "executions/status/0"):
        answer = await codex.get(f"{path}?{query}")
        assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])


async def test_a_start_may_be_sent_twice(codex: Codex) -> None:
    """With the same key it is one execution; with another body it is refused."""
    agent = await codex.agent()
    body = {"agentId": agent, "userPrompt": "once", "external": True}
    key = {"idempotency-key": f"once-{agent}"}

    answers = await asyncio.gather(*(codex.post("command/startAgentExecution", body, **key) for _ in range(10)))
    other = await codex.post("command/startAgentExecution", {**body, "userPrompt": "twice"}, **key)

    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len((await codex.get(f"agents/{agent}/executions")).json()) == 1
    assert other.status_code == 400
