"""Flows over gRPC."""

from collections.abc import AsyncIterator, Iterable, Iterator

from agentmesh_protos.registry.v1 import registry_pb2 as pb
from agentmesh_protos.registry.v1 import registry_pb2_grpc as pb_grpc

from meshkit import names
from meshkit.interceptors import Context
from services.registry import wire
from services.registry.catalogue import flows
from services.registry.catalogue.board import Board
from services.registry.catalogue.flows import Flows
from services.registry.domain.flows import Flow, count_tags

PIECE_BYTES_MAX = 1024 * 1024
"""Of a message of a stream, unless a single flow is longer."""


class FlowServicer(pb_grpc.FlowServiceServicer):
    """Serves `mesh.registry.v1.FlowService`."""

    def __init__(self, known: Flows, board: Board) -> None:
        self._flows = known
        self._board = board

    async def GetFlow(self, request: pb.GetFlowRequest, context: Context) -> pb.Flow:
        """Return one, with its form."""
        names.parse(request.name, "flows")
        return wire.flow_pb(await self._flows.get(request.name), whole=True)

    async def ListFlows(self, request: pb.ListFlowsRequest, context: Context) -> pb.ListFlowsResponse:
        """Return a page."""
        listed = await self._flows.listed()
        items, token = flows.page(listed, request.query, request.page_size, request.page_token)
        return pb.ListFlowsResponse(flows=[wire.flow_pb(flow, whole=False) for flow in items], next_page_token=token)

    async def ListFlowTags(self, request: pb.ListFlowTagsRequest, context: Context) -> pb.ListFlowTagsResponse:
        """Count tags."""
        return pb.ListFlowTagsResponse(counts=count_tags(await self._flows.listed()))

    async def WatchFlows(self, request: pb.WatchFlowsRequest, context: Context) -> AsyncIterator[pb.WatchFlowsResponse]:
        """Send the catalogue, then its changes, until the registry ends."""
        complete = False
        async for changes in self._board.watch():
            for message in pieces(changes.changed):
                yield message
            if not complete:
                yield pb.WatchFlowsResponse(complete=True)
                complete = True
            elif changes.removed or not changes:
                yield pb.WatchFlowsResponse(removed=changes.removed)


def pieces(changed: Iterable[Flow]) -> Iterator[pb.WatchFlowsResponse]:
    """Yield flows in messages of about `PIECE_BYTES_MAX`."""
    message, size = pb.WatchFlowsResponse(), 0
    for flow in changed:
        item = wire.flow_pb(flow, whole=True)
        if message.flows and size + item.ByteSize() > PIECE_BYTES_MAX:
            yield message
            message, size = pb.WatchFlowsResponse(), 0
        message.flows.append(item)
        size += item.ByteSize()
    if message.flows:
        yield message
