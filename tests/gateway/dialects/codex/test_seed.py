"""Every example of the API's text, sent as it is printed, and the answers compared with the printed ones.

Only `guid` is replaced, by what it stands for, and `...` left out.
"""

import re
from typing import Any

import pytest

from tests.engine.providers import Provider
from tests.gateway.dialects.codex.calling import Codex

pytestmark = pytest.mark.asyncio(loop_scope="module")

GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z")

CREATE_AGENT = """{
  "name": "My AI Agent",
  "description": "Agent description",
  "type": 0,
  "modelProvider": "openai",
  "modelName": "gpt-4o",
  "providerType": 0,
  "apiKey": "sk-...",
  "temperature": 0.7,
  "maxTokens": 4000,
  "systemPrompt": "You are a helpful assistant",
  "enableMemory": true,
  "conversationWindowSize": 10
}"""
UPDATE_AGENT = """{
  "id": "guid",
  "name": "Updated name"
}"""
BY_ID = """{
  "id": "guid"
}"""
CREATE_CONVERSATION = """{
  "title": "My conversation",
  "summary": "Optional summary"
}"""
START = """{
  "agentId": "guid",
  "conversationId": "guid", // optional
  "userPrompt": "Your prompt here"
}"""
COMPLETE = """{
  "executionId": "guid",
  "status": 2, // Completed
  "response": "Agent response",
  "inputTokens": 100,
  "outputTokens": 200,
  "estimatedCost": 0.003
}"""


def printed(text: str, *guids: str) -> str:
    """Return an example with GUIDs in place of each `guid`, in order."""
    for guid in guids:
        text = text.replace('"guid"', f'"{guid}"', 1)
    return text


def same(shown: Any, **expected: Any) -> None:
    """Compare field by field, and in order; a pattern is what a text must match."""
    assert list(shown) == list(expected)
    for name, value in expected.items():
        if isinstance(value, re.Pattern):
            assert value.fullmatch(shown[name]), f"{name}: {shown[name]}"
        else:
            assert (shown[name], type(shown[name])) == (value, type(value)), name


async def created(codex: Codex) -> str:
    """Add the printed agent; return its GUID."""
    answer = await codex.raw("command/createAgent", CREATE_AGENT)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["location"] == f"/api/agents/{answer.headers['x-agent-id']}"
    return answer.headers["x-agent-id"]


AGENT = {
    "name": "My AI Agent",
    "description": "Agent description",
    "type": 0,
    "modelProvider": "openai",
    "modelName": "gpt-4o",
    "providerType": 0,
    "modelEndpoint": None,
    "status": 0,
    "createdAt": MOMENT,
    "updatedAt": MOMENT,
    "toolCount": 0,
    "executionCount": 0,
}


async def test_agents(codex: Codex) -> None:
    """Examples 1, 2, 3, 8 and 11."""
    guid = await created(codex)

    shown = await codex.raw("query/getAgent", printed(BY_ID, guid))
    listed = (await codex.get("agents")).json()
    there = await codex.edge.http.get(f"/api/agents/{guid}")
    more = {
        "temperature": 0.7,
        "maxTokens": 4000,
        "systemPrompt": "You are a helpful assistant",
        "enableMemory": True,
        "conversationWindowSize": 10,
        "hasApiKey": True,
    }
    same(shown.json(), id=guid, **AGENT, **more)
    same(listed[0], id=guid, **AGENT)
    assert there.json() == shown.json()

    updated = await codex.raw("command/updateAgent", printed(UPDATE_AGENT, guid))
    assert (updated.status_code, updated.content) == (200, b"")
    shown = await codex.raw("query/getAgent", printed(BY_ID, guid))
    same(shown.json(), id=guid, **{**AGENT, **more, "name": "Updated name"})

    deleted = await codex.raw("command/deleteAgent", printed(BY_ID, guid))
    assert (deleted.status_code, deleted.content) == (200, b"")
    assert (await codex.raw("query/getAgent", printed(BY_ID, guid))).status_code == 404
    assert guid not in [agent["id"] for agent in (await codex.get("agents")).json()]


async def test_conversations(codex: Codex) -> None:
    """Examples 4, 10 and 12, and that of the quick tests."""
    answer = await codex.raw("command/createConversation", CREATE_CONVERSATION)
    assert answer.status_code == 200
    same(answer.json(), id=GUID)
    quick = await codex.raw("command/createConversation", '{"title":"My First Conversation"}')

    listed = (await codex.get("conversations")).json()
    item = {
        "id": quick.json()["id"],
        "title": "My First Conversation",
        "summary": None,
        "startedAt": MOMENT,
        "lastMessageAt": MOMENT,
        "messageCount": 0,
        "isActive": True,
        "executionCount": 0,
    }
    same(listed[0], **item)
    shown = await codex.raw("query/getConversation", printed(BY_ID, answer.json()["id"]))
    told = {"id": answer.json()["id"], "title": "My conversation", "summary": "Optional summary"}
    same(shown.json(), **{**item, **told}, messages=[], executions=[])


async def test_executions(codex: Codex, models: Provider) -> None:
    """Examples 5, 6, 9 and 13, and the filters: the sequence as it is printed.

    The agent's model is one that is still at it when the execution is completed, as a real one would be.
    """
    agent = await created(codex)
    place = {"id": agent, "modelEndpoint": models.openai, "modelName": "hang", "providerType": 2}
    assert (await codex.post("command/updateAgent", place)).status_code == 200
    conversation = (await codex.raw("command/createConversation", CREATE_CONVERSATION)).json()["id"]

    started = await codex.raw("command/startAgentExecution", printed(START, agent, conversation))
    assert started.status_code == 200
    same(started.json(), id=GUID)
    execution = started.json()["id"]
    completed = await codex.raw("command/completeAgentExecution", printed(COMPLETE, execution))
    assert (completed.status_code, completed.content) == (200, b""), completed.text

    item = {
        "id": execution,
        "agentId": agent,
        "agentName": "My AI Agent",
        "conversationId": conversation,
        "userPrompt": "Your prompt here",
        "status": 2,
        "startedAt": MOMENT,
        "completedAt": MOMENT,
        "inputTokens": 100,
        "outputTokens": 200,
        "estimatedCost": 0.003,
        "messageCount": 2,
        "errorMessage": None,
    }
    shown = (await codex.raw("query/getAgentExecution", printed(BY_ID, execution))).json()
    same(shown, **item, response="Agent response", input={"prompt": "Your prompt here"})
    for path in ("executions", "executions/status/Completed", f"agents/{agent}/executions"):
        same((await codex.get(path)).json()[0], **item)
    assert execution not in [one["id"] for one in (await codex.get("executions/status/running")).json()]

    (of_agent,) = (await codex.get(f"agents/{agent}/conversations")).json()
    assert (of_agent["id"], of_agent["messageCount"], of_agent["executionCount"]) == (conversation, 2, 1)
    whole = (await codex.raw("query/getConversation", printed(BY_ID, conversation))).json()
    (listed,) = whole["executions"]
    same(listed, **item)
    for index, (role, content) in enumerate((("user", "Your prompt here"), ("assistant", "Agent response"))):
        said = {"role": role, "content": content, "messageIndex": index, "createdAt": MOMENT}
        same(whole["messages"][index], id=GUID, **said, executionId=execution)


async def test_health(codex: Codex) -> None:
    """Example 7, and that of the quick tests."""
    answer = await codex.raw("query/health", "{}")

    assert (answer.status_code, answer.text) == (200, "true")
    assert answer.headers["content-type"] == "application/json"


async def test_the_document_has_every_route(codex: Codex) -> None:
    """The five that the original's had, and the others."""
    swagger = await codex.edge.http.get("/swagger/v1/swagger.json")
    document = await codex.edge.http.get("/openapi/codex.json")

    assert swagger.json() == document.json()
    assert set(document.json()["paths"]) == {
        *(f"/api/command/{name}Agent" for name in ("create", "update", "delete")),
        *("/api/command/createConversation", "/api/command/startAgentExecution"),
        *(f"/api/command/{name}AgentExecution" for name in ("complete", "cancel")),
        "/api/query/health",
        *(f"/api/query/get{name}" for name in ("Agent", "AgentExecution", "Conversation")),
        *("/api/agents", "/api/conversations", "/api/executions", "/api/executions/status/{status}"),
        *("/api/agents/{agent_id}", "/api/agents/{agent_id}/conversations", "/api/agents/{agent_id}/executions"),
    }
