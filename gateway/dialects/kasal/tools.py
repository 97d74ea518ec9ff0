"""Kasal: tools."""

from typing import Any, Literal

import pydantic
from agentmesh_protos.dialects.kasal.v1 import tool_pb2 as pb
from agentmesh_protos.dialects.kasal.v1 import tool_pb2_grpc as pb_grpc
from agentmesh_protos.registry.v1 import tool_pb2

from gateway.core.peers import Peers
from gateway.dialects.kasal import asking, ids
from gateway.http.dialect import Service

_AUTHS = {
    "none": tool_pb2.TOOL_AUTH_UNSPECIFIED,
    "bearer": tool_pb2.TOOL_AUTH_BEARER,
    "api_key": tool_pb2.TOOL_AUTH_API_KEY,
    "basic": tool_pb2.TOOL_AUTH_BASIC,
}
_CUSTOM = "custom"


class NewTool(pydantic.BaseModel):
    """A tool: an endpoint that takes its arguments as JSON."""

    name: str = pydantic.Field(min_length=1)
    description: str = ""
    endpoint: str = pydantic.Field(min_length=1)
    auth_type: Literal["none", "bearer", "api_key", "basic"] = "none"
    auth_token: str = pydantic.Field(default="", repr=False)
    """Sent to the endpoint: as its bearer token, as `X-API-Key`, or, if it is `user:password`, as basic authentication.
    It is kept encrypted and never shown."""
    category: str = _CUSTOM


class ToolServicer(pb_grpc.ToolServiceServicer):
    """Unpack, ask the registry, show what it says as Kasal does."""

    def __init__(self, peers: Peers) -> None:
        self._tools = peers.tools

    async def ListTools(self, request: pb.ListToolsRequest, context: Any) -> pb.Tools:
        """Return a page of the tools that the caller's agents may use."""
        page = asking.Page.of(request.page, request.limit)
        tools, total = await page.read(self._tools.ListTools, tool_pb2.ListToolsRequest())
        items = [
            pb.ToolItem(
                name=tool.display_name,
                description=tool.description,
                category=tool.category or _CUSTOM,
                id=ids.of_tool(tool.name),
            )
            for tool in tools
        ]
        return pb.Tools(tools=items, total=total, page=page.number)

    async def CreateTool(self, request: pb.CreateToolRequest, context: Any) -> pb.CreatedTool:
        """Register an endpoint as a tool."""
        sent = asking.parsed(request.json_body, NewTool, "tool")
        tool = tool_pb2.Tool(
            display_name=sent.name,
            description=sent.description,
            category=sent.category,
            kind=tool_pb2.TOOL_KIND_HTTP,
            endpoint=sent.endpoint,
            auth=_AUTHS[sent.auth_type],
            auth_token=sent.auth_token,
        )
        with asking.defining("tool"):
            made = await self._tools.CreateTool(tool_pb2.CreateToolRequest(tool=tool))
        return pb.CreatedTool(tool_id=ids.of_tool(made.name), status="registered")


SERVICE = Service(
    name="mesh.dialects.kasal.v1.ToolService",
    add=pb_grpc.add_ToolServiceServicer_to_server,
    servicer=ToolServicer,
)
