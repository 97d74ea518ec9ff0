"""Tools over gRPC."""

from collections.abc import Sequence

from agentmesh_protos.registry.v1 import tool_pb2 as pb
from agentmesh_protos.registry.v1 import tool_pb2_grpc as pb_grpc

from meshkit import masks
from meshkit.idempotency import ask
from meshkit.interceptors import Context
from meshkit.secrets import Secret
from services.registry import definition_wire as wire
from services.registry.catalogue import keeping
from services.registry.catalogue.tools import Tools
from services.registry.domain.tools import AUTH_TOKEN, Tool


class ToolServicer(pb_grpc.ToolServiceServicer):
    """Serves `mesh.registry.v1.ToolService`."""

    def __init__(self, tools: Tools, key: bytes) -> None:
        """`key` hides from readers of the table of requests what was in them."""
        self._tools = tools
        self._key = key

    async def CreateTool(self, request: pb.CreateToolRequest, context: Context) -> pb.Tool:
        """Add one."""
        asked = ask(request, self._key)
        draft = wire.tool_draft(request.tool)
        return wire.tool_pb(await self._tools.create(draft, Secret(request.tool.auth_token), asked))

    async def GetTool(self, request: pb.GetToolRequest, context: Context) -> pb.Tool:
        """Return one."""
        return wire.tool_pb(await self._tools.get(wire.handle(request.name, "tools", "name")))

    async def ListTools(self, request: pb.ListToolsRequest, context: Context) -> pb.ListToolsResponse:
        """Return a page."""
        owner = keeping.listed_scope(all_owners=request.all_owners, what="tools")
        standings = keeping.standings(show_deleted=request.show_deleted)

        async def select(after: str, limit: int) -> tuple[Sequence[Tool], bool]:
            return await self._tools.select(owner, standings, after, limit)

        found = await keeping.page(request, select, "tools", owner or "*", *standings)
        return pb.ListToolsResponse(
            tools=[wire.tool_pb(tool) for tool in found.items],
            next_page_token=found.next_token,
            total_size=await self._tools.count(owner, standings),
        )

    async def UpdateTool(self, request: pb.UpdateToolRequest, context: Context) -> pb.Tool:
        """Change one."""
        sent = request.tool
        paths = masks.paths(sent, request.update_mask, wire.TOOL_WRITABLE)
        tool = await self._tools.update(
            wire.handle(sent.name, "tools", "tool.name"),
            lambda stored: wire.tool_update(sent, paths, stored),
            etag=sent.etag,
            token=wire.secret_given(AUTH_TOKEN, sent.auth_token, paths),
        )
        return wire.tool_pb(tool)

    async def DeleteTool(self, request: pb.DeleteToolRequest, context: Context) -> pb.Tool:
        """Archive one."""
        return wire.tool_pb(await self._tools.delete(wire.handle(request.name, "tools", "name")))
