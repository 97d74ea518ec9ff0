"""Tools: made, changed and deleted on forms; those that come with the mesh are only seen."""

import json
from typing import Any

from agentmesh_protos.registry.v1 import tool_pb2
from google.protobuf import field_mask_pb2
from starlette.responses import Response

from gateway.core.peers import Peers
from gateway.web.panel import shell
from gateway.web.panel.addresses import naming
from gateway.web.panel.agents import ASK_S, HOME
from gateway.web.panel.definitions import REFUSALS, TOOL_PATHS, faults_of, keeping, tool_of
from gateway.web.panel.visitor import Visitor
from meshkit.errors import MeshError, from_rpc

TOOLS = f"{HOME}#tools"


class Tools:
    """What the caller's agents may use; the registry decides who may change it."""

    def __init__(self, peers: Peers) -> None:
        self._tools = peers.tools

    async def form(self, visitor: Visitor) -> Response:
        """GET /panel/new-tool."""
        blank = tool_pb2.Tool(kind=tool_pb2.TOOL_KIND_HTTP, needs_approval=True, enabled=True)
        return visitor.page("new_tool.html", filled=blank, **faults_of(None))

    async def create(self, visitor: Visitor) -> Response:
        """POST /panel/new-tool."""
        wanted = tool_of(visitor.form)
        try:
            with keeping():
                await self._tools.CreateTool(tool_pb2.CreateToolRequest(tool=wanted), timeout=ASK_S)
        except REFUSALS as error:
            return visitor.page("new_tool.html", status=422, filled=wanted, **faults_of(error))
        return shell.see_other(TOOLS)

    async def show(self, visitor: Visitor) -> Response:
        """GET /panel/tools/{id}."""
        tool = await self._get(visitor)
        return _page(visitor, tool, tool)

    async def save(self, visitor: Visitor) -> Response:
        """POST /panel/tools/{id}."""
        tool = await self._get(visitor)
        wanted = tool_of(visitor.form)
        wanted.name, wanted.etag = tool.name, visitor.form.get("etag", "")
        paths = [*TOOL_PATHS, "auth_token"] if wanted.auth_token else TOOL_PATHS
        request = tool_pb2.UpdateToolRequest(tool=wanted, update_mask=field_mask_pb2.FieldMask(paths=paths))
        try:
            with keeping():
                await self._tools.UpdateTool(request, timeout=ASK_S)
        except REFUSALS as error:
            wanted.has_auth_token = tool.has_auth_token
            return _page(visitor, tool, wanted, error)
        return shell.see_other(TOOLS)

    async def delete(self, visitor: Visitor) -> Response:
        """POST /panel/tools/{id}/delete."""
        request = tool_pb2.DeleteToolRequest(name=(await self._get(visitor)).name)
        with from_rpc():
            await self._tools.DeleteTool(request, timeout=ASK_S)
        return shell.see_other(TOOLS)

    async def _get(self, visitor: Visitor) -> tool_pb2.Tool:
        request = tool_pb2.GetToolRequest(name=f"tools/{visitor.path('id')}")
        with naming("tool"):
            tool: tool_pb2.Tool = await self._tools.GetTool(request, timeout=ASK_S)
        return tool


def _page(visitor: Visitor, tool: tool_pb2.Tool, filled: tool_pb2.Tool, error: MeshError | None = None) -> Response:
    values: dict[str, Any] = {
        "tool": tool,
        "filled": filled,
        "url": f"/panel/{tool.name}",
        "schema": _indented(tool.input_schema_json),
        **faults_of(error),
    }
    return visitor.page("tool.html", status=422 if error else 200, **values)


def _indented(text: str) -> str:
    """Return JSON for people; what is none as it is."""
    try:
        return json.dumps(json.loads(text), ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):
        return text
