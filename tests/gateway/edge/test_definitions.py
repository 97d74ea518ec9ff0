"""Agents, crews, task definitions and tools in JSON, under `/mesh/v1`, through the real Envoy."""

from typing import Any

import httpx
import pytest

from tests.gateway.stack import Edge

pytestmark = pytest.mark.asyncio(loop_scope="module")


class User:
    """Somebody at the typed API."""

    def __init__(self, edge: Edge, headers: dict[str, str]) -> None:
        self._edge = edge
        self._headers = headers

    async def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Send a request to a path under /mesh/v1."""
        headers = {**self._headers, **more.pop("headers", {})}
        return await self._edge.http.request(method, f"/mesh/v1/{path}", headers=headers, **more)

    async def ok(self, method: str, path: str, **more: Any) -> Any:
        """Return the JSON of an answer that must be a success."""
        answer = await self.call(method, path, **more)
        assert 200 == answer.status_code, answer.text
        return answer.json()


async def user(edge: Edge, name: str) -> User:
    """Return a new user."""
    return User(edge, await edge.new_user(name))


def fields(answer: httpx.Response) -> list[str]:
    """Return the fields that a refusal names."""
    assert 400 == answer.status_code, answer.text
    details = answer.json()["details"]
    return [each["field"] for detail in details for each in detail.get("fieldViolations", ())]


async def test_an_agent_lives(edge: Edge) -> None:
    """Added, found by slug, changed by what is sent and by a mask in either spelling, archived and brought back."""
    ada = await user(edge, "ada-lives")
    sent = {"displayName": "Atlas", "model": {"provider": "offline", "temperature": 0}, "apiKey": "sk-canary"}
    agent = await ada.ok("POST", "agents", json=sent)
    by_slug = await ada.ok("GET", "agents/atlas")
    sent_only = await ada.ok("PATCH", agent["name"], json={"goal": "g", "role": "r"})
    masked = await ada.ok("PATCH", f"{agent['name']}?updateMask=goal,concurrencyLimit", json={"concurrencyLimit": 2})
    snake = await ada.ok("PATCH", f"{agent['name']}?updateMask=concurrency_limit", json={})
    unknown = await ada.call("PATCH", f"{agent['name']}?updateMask=nothing", json={})
    stale = await ada.call("PATCH", agent["name"], json={"goal": "x", "etag": "1"})
    gone = await ada.ok("DELETE", agent["name"])
    listed = await ada.ok("GET", "agents")
    back = await ada.ok("POST", f"{agent['name']}:undelete", json={})

    assert ("AGENT_STATE_ACTIVE", True, "", 0) == (
        agent["state"],
        agent["hasApiKey"],
        agent.get("apiKey", ""),
        agent["model"]["temperature"],
    )
    assert agent == by_slug
    assert ("g", "r", "Atlas") == (sent_only["goal"], sent_only["role"], sent_only["displayName"])
    assert ("", "r", 2) == (masked["goal"], masked["role"], masked["concurrencyLimit"])
    assert 0 == snake["concurrencyLimit"]
    assert ["update_mask"] == fields(unknown)
    assert (409, 10) == (stale.status_code, stale.json()["code"])
    assert ("AGENT_STATE_ARCHIVED", 0) == (gone["state"], listed["totalSize"])
    assert "AGENT_STATE_PAUSED" == back["state"]


async def test_a_crew_comes_with_all_its_parts(edge: Edge) -> None:
    """In one request, which can be sent twice; its tasks are listed in order and changed one by one."""
    ada = await user(edge, "ada-crew")
    sent = {
        "crew": {"displayName": "Marketing", "process": "PROCESS_HIERARCHICAL"},
        "newAgents": [{"displayName": "Writer", "model": {"provider": "offline"}, "tools": ["tools/calculator"]}],
        "newTaskDefs": [{"description": "Research"}, {"description": "Write", "dependsOn": ["taskDefs/+0"]}],
        "requestId": "once",
    }
    crew = await ada.ok("POST", "crews", json=sent)
    again = await ada.ok("POST", "crews", json=sent)
    first, second = (await ada.ok("GET", f"taskDefs?crew={crew['name']}"))["taskDefs"]
    changed = await ada.ok("PATCH", second["name"], json={"agent": "agents/writer"})
    third = await ada.ok("POST", "taskDefs", json={"crew": crew["name"], "description": "Check"})
    renamed = await ada.ok("PATCH", crew["name"], json={"displayName": "Sales"})
    needed = await ada.call("DELETE", first["name"])
    await ada.ok("DELETE", third["name"])
    gone = await ada.ok("DELETE", crew["name"])

    assert crew == again
    assert ("CREW_STATE_ACTIVE", [first["name"]]) == (crew["state"], second["dependsOn"])
    assert changed["agent"] == crew["agents"][0]
    assert ("Sales", "CREW_STATE_ARCHIVED") == (renamed["displayName"], gone["state"])
    assert (400, 9) == (needed.status_code, needed.json()["code"])


async def test_tools_are_listed_and_added(edge: Edge) -> None:
    """Those of the mesh before those of the caller; an address of this machine is refused with its field."""
    ada = await user(edge, "ada-tools")
    sent = {"displayName": "lookup", "kind": "TOOL_KIND_HTTP", "endpoint": "https://example.com/x"}
    tool = await ada.ok("POST", "tools", json=sent)
    listed = await ada.ok("GET", "tools")
    near = await ada.call("POST", "tools", json={**sent, "endpoint": "http://127.0.0.1:3372/"})
    off = await ada.ok("PATCH", tool["name"], json={"enabled": False})
    builtin = await ada.call("DELETE", "tools/calculator")

    assert ["web_search", "calculator", "file_reader", "lookup"] == [each["displayName"] for each in listed["tools"]]
    assert (True, False) == (tool["enabled"], off["enabled"])
    assert ["tool.endpoint"] == fields(near)
    assert 403 == builtin.status_code


async def test_a_foreign_name_is_404_and_nobody_is_401(edge: Edge) -> None:
    """On every path with a name, as for a name that is nobody's."""
    ada, bob = await user(edge, "ada-owner"), await user(edge, "bob-other")
    agent = await ada.ok("POST", "agents", json={"displayName": "Mine"})
    statuses = [
        (await bob.call("GET", agent["name"])).status_code,
        (await bob.call("PATCH", agent["name"], json={"goal": "x"})).status_code,
        (await bob.call("DELETE", agent["name"])).status_code,
        (await bob.call("POST", f"{agent['name']}:undelete", json={})).status_code,
        (await bob.call("POST", "crews", json={"crew": {"displayName": "c", "agents": [agent["name"]]}})).status_code,
        (await bob.call("GET", "crews/nothing")).status_code,
    ]
    all_owners = await bob.call("GET", "agents?allOwners=true")
    nobody = await User(edge, {}).call("GET", "agents")

    assert [404] * 6 == statuses
    assert (403, 401) == (all_owners.status_code, nobody.status_code)


@pytest.mark.parametrize("path", ["definitions:resolve", "definitions", "secrets"])
async def test_definitions_have_no_path(edge: Edge, path: str) -> None:
    """What services ask for each other is not in REST."""
    assert 404 == (await User(edge, edge.operator).call("POST", path, json={})).status_code


async def test_services_methods_are_refused_to_people_over_grpc_web(edge: Edge) -> None:
    """The same port takes gRPC: an operator is no service, and what cannot be called says no secret."""
    answer = await edge.http.post(
        "/mesh.registry.v1.DefinitionService/ResolveSecrets",
        headers={**edge.operator, "content-type": "application/grpc-web+proto"},
        content=b"\0\0\0\0\0",
    )

    assert "7" == answer.headers.get("grpc-status") or b"grpc-status:7" in answer.content.replace(b" ", b"")
