"""Callers that follow the catalogue."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import grpc
from agentmesh_protos.registry.v1 import registry_pb2 as pb

from tests.registry.conftest import Mesh

SOON_S = 60.0


class Watcher:
    """A caller that keeps the catalogue by what it hears."""

    def __init__(self, call: grpc.aio.UnaryStreamCall[pb.WatchFlowsRequest, pb.WatchFlowsResponse]) -> None:
        self._call = call
        self.flows: dict[str, pb.Flow] = {}
        self.messages: list[pb.WatchFlowsResponse] = []

    async def next(self) -> pb.WatchFlowsResponse | None:
        """Take in the next message; None at the end of the stream."""
        async with asyncio.timeout(SOON_S):
            message = await self._call.read()
        if message is grpc.aio.EOF:
            return None
        assert isinstance(message, pb.WatchFlowsResponse)
        self.messages.append(message)
        self.flows.update({flow.name: flow for flow in message.flows})
        for name in message.removed:
            del self.flows[name]
        return message

    async def whole(self) -> "Watcher":
        """Take in the snapshot."""
        while not (message := await self.next()) or not message.complete:
            assert message is not None
        return self

    async def until(self, name: str, alive: bool | None) -> None:
        """Take in messages until a flow is alive, not alive, or (None) not there."""
        while (self.flows[name].alive if name in self.flows else None) is not alive:
            assert await self.next() is not None


@contextlib.asynccontextmanager
async def watching(mesh: Mesh) -> AsyncIterator[Watcher]:
    """Watch as an ordinary user, from a whole snapshot on."""
    call = mesh.flows.WatchFlows(pb.WatchFlowsRequest(), metadata=mesh.user)
    try:
        yield await Watcher(call).whole()
    finally:
        call.cancel()
