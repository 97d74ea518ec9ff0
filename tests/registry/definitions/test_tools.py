"""Tools: those that come with the mesh, those that users add, and where they may be."""

import contextlib
from typing import Any

import grpc
import pytest
from agentmesh_protos.registry.v1 import tool_pb2 as pb
from google.protobuf import field_mask_pb2

from services.registry import app
from tests.registry.conftest import Mesh, Peers
from tests.registry.definitions.conftest import People, people_of, refusal


def update(tool: pb.Tool, *paths: str, **fields: Any) -> pb.UpdateToolRequest:
    """Return the request that changes fields of a tool."""
    mask = field_mask_pb2.FieldMask(paths=paths) if paths else None
    return pb.UpdateToolRequest(tool=pb.Tool(name=tool.name, **fields), update_mask=mask)


async def names(people: People, **fields: Any) -> list[str]:
    """Return the display names of all pages."""
    request = pb.ListToolsRequest(**fields)
    found: list[str] = []
    while True:
        page = await people.ada("ToolService.ListTools", request)
        found += [tool.display_name for tool in page.tools]
        if not page.next_page_token:
            assert page.total_size == len(found)
            return found
        request.page_token = page.next_page_token


@pytest.mark.parametrize("page_size", [1, 2, 3, 4, 0])
async def test_built_in_tools_come_first(people: People, page_size: int) -> None:
    """Three of them for everybody, with a schema each, then the caller's, newest first, however long the pages."""
    for name in ("one", "two"):
        await people.ada.tool(name)
    found = await names(people, page_size=page_size)
    calculator = await people.bob("ToolService.GetTool", pb.GetToolRequest(name="tools/calculator"))

    assert found == ["web_search", "calculator", "file_reader", "two", "one"]
    assert (calculator.category, calculator.kind, calculator.enabled) == ("data", pb.TOOL_KIND_BUILTIN, True)
    assert not calculator.HasField("create_time")
    assert '"expression"' in calculator.input_schema_json


async def test_a_tool_comes_back_without_its_token(people: People) -> None:
    """By id and by name; switched on unless its author says otherwise."""
    schema = '{"type":"object","properties":{"q":{"type":"string"}},"required":["q"]}'
    tool = await people.ada.tool(
        auth=pb.TOOL_AUTH_BEARER,
        auth_token="canary",
        input_schema_json=schema,
        needs_approval=True,
        category="research",
    )
    by_name = await people.ada("ToolService.GetTool", pb.GetToolRequest(name="tools/lookup"))
    off = await people.ada.tool("off", enabled=False)

    assert (tool.has_auth_token, tool.auth_token, tool.enabled) == (True, "", True)
    assert (tool.input_schema_json, tool.needs_approval, tool.category) == (schema, True, "research")
    assert by_name == tool
    assert not off.enabled


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"display_name": ""}, "tool.display_name"),
        ({"display_name": "1a"}, "tool.display_name"),
        ({"display_name": "a b"}, "tool.display_name"),
        ({"display_name": "x" * 65}, "tool.display_name"),
        ({"display_name": "abcdefab-89ab-7cde-8f01-23456789abcd"}, "tool.display_name"),
        ({"description": "x" * 2001}, "tool.description"),
        ({"description": "\0"}, "tool.description"),
        ({"category": "x" * 64}, "tool.category"),
        ({"kind": pb.TOOL_KIND_UNSPECIFIED}, "tool.kind"),
        ({"kind": pb.TOOL_KIND_BUILTIN}, "tool.kind"),
        ({"endpoint": ""}, "tool.endpoint"),
        ({"endpoint": "lookup"}, "tool.endpoint"),
        ({"endpoint": "ftp://example.com"}, "tool.endpoint"),
        ({"endpoint": "http://localhost:8000"}, "tool.endpoint"),
        ({"endpoint": "http://127.1/x"}, "tool.endpoint"),
        ({"endpoint": "http://169.254.169.254/latest"}, "tool.endpoint"),
        ({"endpoint": "http://[::ffff:10.0.0.1]/"}, "tool.endpoint"),
        ({"endpoint": "https://u:p@example.com/"}, "tool.endpoint"),
        ({"auth_token": "t"}, "tool.auth"),
        ({"auth": pb.TOOL_AUTH_BEARER, "auth_token": "a b"}, "tool.auth_token"),
        ({"input_schema_json": "{"}, "tool.input_schema_json"),
        ({"input_schema_json": '{"type":"string"}'}, "tool.input_schema_json"),
        ({"input_schema_json": "[" * 30_000}, "tool.input_schema_json"),
        ({"input_schema_json": " " * 70_000}, "tool.input_schema_json"),
        ({"kind": pb.TOOL_KIND_MCP, "input_schema_json": "{}"}, "tool.input_schema_json"),
    ],
)
async def test_what_cannot_be_kept_is_refused_by_its_field(people: People, fields: dict[str, Any], wrong: str) -> None:
    """On creation and on a change alike; nothing is kept."""
    tool = await people.ada.tool("kept")
    created = await refusal(people.ada.tool(**fields))
    changed = await refusal(people.ada("ToolService.UpdateTool", update(tool, *fields, **fields)))

    for refused in (created, changed):
        assert (refused.code, refused.fields) == ("INVALID_ARGUMENT", (wrong,))
    assert await people.ada("ToolService.GetTool", pb.GetToolRequest(name=tool.name)) == tool


async def test_names_are_taken_per_owner_and_by_the_mesh(people: People) -> None:
    """A built-in's name is nobody else's; another owner's is free, and so is that of an archived one."""
    tool = await people.ada.tool()
    twice = await refusal(people.ada.tool())
    builtin = await refusal(people.ada.tool("calculator"))
    await people.bob.tool()
    await people.ada("ToolService.DeleteTool", pb.DeleteToolRequest(name=tool.name))
    await people.ada.tool()

    assert (twice.code, builtin.code) == ("ALREADY_EXISTS", "ALREADY_EXISTS")


async def test_what_comes_with_the_mesh_stays_as_it_is(people: People) -> None:
    """For users and operators alike."""
    request = pb.UpdateToolRequest(tool=pb.Tool(name="tools/calculator", description="mine"))
    codes = []
    for caller in (people.ada, people.operator):
        codes.append((await refusal(caller("ToolService.UpdateTool", request))).code)
        delete = pb.DeleteToolRequest(name="tools/calculator")
        codes.append((await refusal(caller("ToolService.DeleteTool", delete))).code)

    assert codes == ["PERMISSION_DENIED"] * 4


async def test_a_token_is_kept_until_it_is_taken_away(people: People) -> None:
    """A change of something else and `*` leave it; an empty one, no authorisation and deletion forget it."""
    tool = await people.ada.tool(endpoint="https://e.com", auth=pb.TOOL_AUTH_BEARER, auth_token="t")
    kept = [
        await people.ada("ToolService.UpdateTool", update(tool, description="x")),
        await people.ada(
            "ToolService.UpdateTool",
            update(tool, "*", display_name="b", kind=pb.TOOL_KIND_HTTP, endpoint="https://e.com", auth=1),
        ),
    ]
    emptied = await people.ada("ToolService.UpdateTool", update(tool, "auth_token"))
    await people.ada("ToolService.UpdateTool", update(tool, auth_token="u"))
    stripped = await people.ada("ToolService.UpdateTool", update(tool, "auth"))
    back = await people.ada("ToolService.UpdateTool", update(tool, auth=pb.TOOL_AUTH_BEARER))

    assert [one.has_auth_token for one in kept] == [True, True]
    assert (emptied.has_auth_token, emptied.auth) == (False, pb.TOOL_AUTH_BEARER)
    assert (stripped.has_auth_token, back.has_auth_token) == (False, False)


async def test_a_tool_is_added_once(people: People) -> None:
    """The same request again returns the first answer."""
    tool = pb.Tool(display_name="a", kind=pb.TOOL_KIND_MCP, endpoint="https://mcp.example.com/mcp")
    request = pb.CreateToolRequest(tool=tool, request_id="r")
    first = await people.ada("ToolService.CreateTool", request)
    second = await people.ada("ToolService.CreateTool", request)

    assert first == second


async def test_private_endpoints_can_be_allowed(mesh: Mesh, peers: Peers) -> None:
    """For a mesh whose operator says so."""
    del mesh  # another registry, on the same data, would be in its way
    config = peers.config.model_copy(
        update={"tools_private_endpoints": "allow", "data_dir": peers.config.data_dir / "other"}
    )
    async with contextlib.AsyncExitStack() as stack:
        port = await stack.enter_async_context(app.running(config))
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
        people = people_of(Mesh.over(channel, peers, port), peers, channel)
        tool = await people.ada.tool(endpoint="http://127.0.0.1:9/x")
        refused = await refusal(people.ada.tool("b", endpoint="file:///etc/passwd"))

    assert tool.endpoint == "http://127.0.0.1:9/x"
    assert refused.fields == ("tool.endpoint",)


@pytest.mark.parametrize(
    ("endpoint", "stays"),
    [
        ("https://e.com/other?x=1", True),
        ("https://E.com/", True),
        ("http://e.com/", False),
        ("https://e.com:8443/", False),
        ("https://elsewhere.com/", False),
        ("https://e.com.elsewhere.com/", False),
    ],
)
async def test_a_token_goes_to_no_other_server(people: People, endpoint: str, stays: bool) -> None:
    """Who moves a tool gives it anew: they may never have seen it."""
    tool = await people.ada.tool(endpoint="https://e.com/", auth=pb.TOOL_AUTH_BEARER, auth_token="t")

    moved = await people.ada("ToolService.UpdateTool", update(tool, endpoint=endpoint))
    given = await people.ada("ToolService.UpdateTool", update(tool, endpoint="https://new.com/", auth_token="u"))

    assert stays == moved.has_auth_token
    assert given.has_auth_token
