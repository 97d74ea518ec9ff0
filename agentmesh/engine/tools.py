"""What agents may call: the tools that come with the mesh, HTTP endpoints, and the tools of MCP servers."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

import httpx2
from agentmesh_protos.registry.v1 import tool_pb2

from agentmesh.engine import calculator, guard, mcp_tools
from agentmesh.engine.usable import BYTES_MAX, SHOWN_CHARS, ToolError, Usable, credentials
from agentmesh.engine.work import Work

TIMEOUT_S = 30.0
"""Of a call of an HTTP tool, redirects included."""
_REDIRECTS_MAX = 5


def _text(name: str, description: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: {"type": "string", "description": description}},
        "required": [name],
        "additionalProperties": False,
    }


_BUILTIN_SCHEMAS = {
    "calculator": _text("expression", "Arithmetic, such as (2 + 3) * 4 or sqrt(2)"),
    "file_reader": _text("name", "The name of one of the job's files"),
    "web_search": _text("query", "What to look for"),
}


@contextlib.asynccontextmanager
async def opened(tools: Iterable[tool_pb2.Tool], work: Work) -> AsyncIterator[list[Usable]]:
    """Yield what a model may call, for the length of the block; servers that cannot be reached have no tools."""
    found: list[Usable] = []
    async with contextlib.AsyncExitStack() as stack:
        for tool in tools:
            if not tool.enabled:
                continue
            if tool.kind == tool_pb2.TOOL_KIND_MCP:
                found += await mcp_tools.of(tool, work, stack)
            elif tool.kind == tool_pb2.TOOL_KIND_HTTP:
                found.append(_http_tool(tool, work))
            elif tool.display_name in _BUILTIN_SCHEMAS or tool.name.removeprefix("tools/") in _BUILTIN_SCHEMAS:
                found.append(_builtin(tool, work))
        yield list({one.name: one for one in found}.values())


def _builtin(tool: tool_pb2.Tool, work: Work) -> Usable:
    name = tool.display_name if tool.display_name in _BUILTIN_SCHEMAS else tool.name.removeprefix("tools/")

    async def reckon(arguments: dict[str, Any]) -> str:
        try:
            return calculator.reckon(str(arguments.get("expression", "")))
        except calculator.CannotReckon as error:
            raise ToolError(str(error)) from None

    async def read(arguments: dict[str, Any]) -> str:
        return read_file(work.inputs.get("files"), str(arguments.get("name", "")))

    async def search(arguments: dict[str, Any]) -> str:
        raise ToolError("web_search is not configured on this mesh: no search backend is set up")

    calls = {"calculator": reckon, "file_reader": read, "web_search": search}
    return Usable(
        name=name,
        description=tool.description,
        schema=_BUILTIN_SCHEMAS[name],
        needs_approval=tool.needs_approval,
        call=calls[name],
        definition=tool.name,
    )


def read_file(files: Any, name: str) -> str:
    """Return one of the files that came with the job, its input `files`: names and texts.  No disk is looked at."""
    known = {str(key): text for key, text in files.items() if isinstance(text, str)} if isinstance(files, dict) else {}
    if name in known:
        return known[name]
    there = ", ".join(sorted(known)[:50]) or "none"
    raise ToolError(f"the job has no file {name[:200]!r}; its files are: {there}")


def _http_tool(tool: tool_pb2.Tool, work: Work) -> Usable:
    token = work.run.secrets.get(tool.name, "")

    async def call(arguments: dict[str, Any]) -> str:
        private = work.run.private_tools
        options = {
            # Of the headers that authorise only `Authorization` stays behind where a redirect leads to another server.
            "follow_redirects": tool.auth != tool_pb2.TOOL_AUTH_API_KEY,
            "max_redirects": _REDIRECTS_MAX,
            "headers": credentials(tool, token),
        }
        try:
            async with (
                guard.client(private=private, timeout_s=TIMEOUT_S, **options) as http,
                asyncio.timeout(TIMEOUT_S),
                http.stream("POST", tool.endpoint, json=arguments) as response,
            ):
                body = await _bounded(response)
        except guard.Refused as error:
            raise ToolError(str(error)) from None
        except TimeoutError:
            raise ToolError(f"it did not answer within {TIMEOUT_S:g} s") from None
        except httpx2.HTTPError as error:
            raise ToolError(f"it cannot be reached: {type(error).__name__}") from None
        if response.status_code >= 300:
            raise ToolError(f"it answered with status {response.status_code}: {body[:SHOWN_CHARS]}")
        return body

    return Usable(
        name=tool.display_name,
        description=tool.description,
        schema=_schema(tool),
        needs_approval=tool.needs_approval,
        call=call,
        definition=tool.name,
    )


async def _bounded(response: httpx2.Response) -> str:
    body = b""
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > BYTES_MAX:
            raise ToolError(f"it answered with more than {BYTES_MAX} bytes")
    return body.decode(response.encoding or "utf-8", "replace")


def _schema(tool: tool_pb2.Tool) -> dict[str, Any]:
    try:
        schema = json.loads(tool.input_schema_json or "{}")
    except ValueError:
        schema = {}
    return (
        schema if isinstance(schema, dict) and schema.get("type") == "object" else {"type": "object", "properties": {}}
    )
