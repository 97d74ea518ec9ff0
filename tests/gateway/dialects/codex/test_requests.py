"""How requests are read and refused: case, types, limits, and what an error looks like."""

import re
from typing import Any

import pytest

from tests.gateway.dialects.codex.calling import OFFLINE, Codex

pytestmark = pytest.mark.asyncio(loop_scope="module")

TRACE = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]")


async def test_case_does_not_matter(codex: Codex) -> None:
    """In paths, names of fields and names of values; nor does a slash at the end."""
    agent = await codex.agent()
    sent = {"AGENTID": agent.upper(), "userprompt": "x", "External": True}

    started = await codex.post("Command/STARTagentExecution/", sent)
    shown = await codex.post("QUERY/getagentexecution", {"ID": started.json()["id"].upper()})

    assert (started.status_code, shown.json()["agentId"]) == (200, agent)
    for path in (
        *("Agents", "EXECUTIONS/", "conversations/", "Executions/Status/PENDING", "executions/STATUS/0"),
        *(f"AGENTS/{agent.upper()}/Executions", f"agents/{agent}/CONVERSATIONS"),
    ):
        assert (await codex.get(path)).status_code == 200, path
    swagger = await codex.edge.http.get("/Swagger/V1/Swagger.JSON")
    assert swagger.json()["info"]["title"] == "Codex API"


async def test_words_and_texts_are_numbers_too(codex: Codex) -> None:
    """Enums by name, numbers as text; unknown fields do not matter."""
    more = {"type": "codeReviewer", "providerType": "0", "temperature": "0.5", "maxTokens": "20", "colour": "blue"}
    agent = await codex.agent(**more)

    shown = (await codex.post("query/getAgent", {"id": agent})).json()

    assert (shown["type"], shown["providerType"], shown["temperature"], shown["maxTokens"]) == (1, 0, 0.5, 20)


async def test_what_is_left_out_has_a_default(codex: Codex) -> None:
    """Null is the same as nothing in a new agent."""
    shown = [
        (await codex.post("query/getAgent", {"id": await codex.agent(**more)})).json()
        for more in ({}, dict.fromkeys(("type", "providerType", "temperature", "apiKey", "conversationWindowSize")))
    ]

    for one in shown:
        values = [one[name] for name in ("type", "providerType", "temperature", "conversationWindowSize", "hasApiKey")]
        assert values == [4, 0, None, 10, False]


async def test_a_change_keeps_what_it_does_not_name(codex: Codex) -> None:
    """And null clears what may be empty."""
    agent = await codex.agent(description="Old", temperature=1, maxTokens=5, apiKey="sk-1", systemPrompt="Be brief")

    assert (await codex.post("command/updateAgent", {"id": agent, "maxTokens": 6})).status_code == 200
    kept = (await codex.post("query/getAgent", {"id": agent})).json()
    nulls = dict.fromkeys(("description", "temperature", "apiKey", "systemPrompt", "modelEndpoint"))
    assert (await codex.post("command/updateAgent", {"id": agent, **nulls})).status_code == 200
    cleared = (await codex.post("query/getAgent", {"id": agent})).json()

    names = ("description", "temperature", "maxTokens", "hasApiKey", "systemPrompt")
    assert [kept[name] for name in names] == ["Old", 1, 6, True, "Be brief"]
    assert [cleared[name] for name in names] == ["", None, 6, False, ""]
    assert (await codex.post("command/updateAgent", {"id": agent})).status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("createAgent", {**OFFLINE, "name": " "}, "name"),
        ("createAgent", {**OFFLINE, "name": "x" * 201}, "name"),
        ("createAgent", {**OFFLINE, "name": "two\nlines"}, "name"),
        ("createAgent", {**OFFLINE, "name": 7}, "name"),
        ("createAgent", {"name": "x", "modelName": "x"}, "modelProvider"),
        ("createAgent", {"name": "x", "modelProvider": "x"}, "modelName"),
        ("createAgent", {**OFFLINE, "type": 5}, "type"),
        ("createAgent", {**OFFLINE, "type": True}, "type"),
        ("createAgent", {**OFFLINE, "providerType": "Cloud"}, "providerType"),
        ("createAgent", {**OFFLINE, "providerType": 1}, "modelEndpoint"),
        ("createAgent", {**OFFLINE, "modelEndpoint": "not a url"}, "modelEndpoint"),
        ("createAgent", {**OFFLINE, "temperature": 2.1}, "temperature"),
        ("createAgent", {**OFFLINE, "temperature": "NaN"}, "temperature"),
        ("createAgent", {**OFFLINE, "temperature": False}, "temperature"),
        ("createAgent", {**OFFLINE, "maxTokens": 0}, "maxTokens"),
        ("createAgent", {**OFFLINE, "maxTokens": 1.5}, "maxTokens"),
        ("createAgent", {**OFFLINE, "conversationWindowSize": 101}, "conversationWindowSize"),
        ("createAgent", {**OFFLINE, "enableMemory": "yes"}, "enableMemory"),
        ("createAgent", {**OFFLINE, "description": "x" * 2001}, "description"),
        ("updateAgent", {"id": "guid"}, "id"),
        ("updateAgent", {"id": "0" * 32}, "id"),
        ("updateAgent", {"id": 7}, "id"),
        ("updateAgent", {"name": "x"}, "id"),
        ("updateAgent", {"id": "01a21573-d01b-7000-ab57-f59d4c9183d6", "name": None}, "name"),
        ("updateAgent", {"id": "01a21573-d01b-7000-ab57-f59d4c9183d6", "type": None}, "type"),
        ("updateAgent", {"id": "01a21573-d01b-7000-ab57-f59d4c9183d6", "status": 2}, "status"),
        ("createConversation", {"title": ""}, "title"),
        ("createConversation", {"title": "x" * 501}, "title"),
        ("createConversation", {}, "title"),
        ("startAgentExecution", {"agentId": "x", "userPrompt": "x"}, "agentId"),
        ("startAgentExecution", {"agentId": "01a21573-d01b-7000-ab57-f59d4c9183d6", "userPrompt": ""}, "userPrompt"),
        ("createAgent", [], "$"),
        ("createAgent", "text", "$"),
    ],
)
async def test_a_bad_field_is_named(codex: Codex, path: str, body: Any, field: str) -> None:
    """In camel case, in problem details."""
    answer = await codex.post(f"command/{path}", body)

    assert answer.status_code == 400, answer.text
    problem = answer.json()
    assert list(problem["errors"]) == [field]
    assert all(isinstance(text, str) and text for text in problem["errors"][field])
    assert (problem["title"], problem["status"]) == ("One or more validation errors occurred.", 400)
    assert TRACE.fullmatch(problem["traceId"])
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("body", ["", "{", "{'a': 1}", "nonsense", "null", '{"a": NaN}', '"\\ud800"', '{"id": // x'])
async def test_what_is_not_json(codex: Codex, body: str) -> None:
    """The whole body is `$`."""
    answer = await codex.raw("query/getAgent", body)

    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["$"])


async def test_a_slash_in_a_text_begins_no_comment(codex: Codex) -> None:
    """Comments are taken, as the text of the API prints them; texts are kept."""
    body = '{ // which?\n"title": "https://example.com // \\" //", // that\n"summary": null }'

    made = await codex.raw("command/createConversation", body)

    shown = (await codex.post("query/getConversation", {"id": made.json()["id"]})).json()
    assert shown["title"] == 'https://example.com // " //'


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "multipart/form-data"])
async def test_what_is_not_said_to_be_json(codex: Codex, kind: str) -> None:
    """It is 415, whatever it is: a page of another site can send nothing else unasked."""
    answer = await codex.raw("command/createConversation", '{"title": "x"}', **{"content-type": kind})

    assert (answer.status_code, answer.json()["title"]) == (415, "Unsupported Media Type")


async def test_a_wrong_method(codex: Codex) -> None:
    """It is 405, with what is allowed."""
    posted = await codex.post("Agents", {})
    got = await codex.get("command/createAgent")

    document = await codex.edge.http.post("/Swagger/v1/swagger.json", json={})

    assert [(one.status_code, one.headers["allow"]) for one in (posted, got)] == [(405, "GET, HEAD"), (405, "POST")]
    assert (document.status_code, document.headers["allow"]) == (405, "GET, HEAD")
    assert posted.json()["status"] == 405


@pytest.mark.parametrize("path", ["/api/command/nope", "/API/Query/nope", "/api/conversations/x/y", "/swagger/v2"])
async def test_what_there_is_not_is_said_in_its_shape(codex: Codex, path: str) -> None:
    """Whatever the case."""
    answer = await codex.edge.http.get(path)

    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert set(answer.json()) == {"type", "title", "status", "detail", "traceId"}


async def test_the_trace_of_a_caller_is_kept(codex: Codex) -> None:
    """As W3C's trace context names it."""
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    answer = await codex.post("query/getAgent", {}, traceparent=trace)

    assert answer.json()["traceId"] == trace


async def test_a_client_may_ask_for_the_id(codex: Codex) -> None:
    """RFC 7240."""
    answer = await codex.post("command/createAgent", OFFLINE, prefer="respond-async, return=representation")

    assert answer.json() == {"id": answer.headers["x-agent-id"]}
    assert answer.headers["preference-applied"] == "return=representation"


async def test_a_body_may_be_too_large(codex: Codex) -> None:
    """It is 413."""
    answer = await codex.post("command/createConversation", {"title": "x", "summary": "x" * 5 * 1024 * 1024})

    assert (answer.status_code, answer.json()["title"]) == (413, "Content Too Large")
