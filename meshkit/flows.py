"""The registry's catalogue as its followers know it: a map that a stream keeps, so that nobody asks per call.

Runner and gateway follow it.  While the stream is away nothing is known: what an operator has changed meanwhile must
count, so a follower asks the registry then.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import grpc
import structlog
from agentmesh_protos.registry.v1 import registry_pb2, registry_pb2_grpc

from meshkit.tasks import background

log = structlog.get_logger()
_RECONNECT_S = 0.2


class FollowedFlows:
    """Every flow of enabled, booted exposes, as the registry last said."""

    def __init__(self, stub: registry_pb2_grpc.FlowServiceStub) -> None:
        self._stub = stub
        self._flows: dict[str, registry_pb2.Flow] = {}
        self._complete = False

    @classmethod
    @contextlib.asynccontextmanager
    async def following(cls, stub: registry_pb2_grpc.FlowServiceStub) -> AsyncIterator["FollowedFlows"]:
        """Follow the registry for the length of the block."""
        followed = cls(stub)
        async with background(followed._follow(), "follow-flows"):
            yield followed

    def get(self, name: str) -> registry_pb2.Flow | None:
        """Return `flows/{expose}[/{path}]`, or `None` if it is not known now: the registry may know it all the same."""
        return self._flows.get(name) if self._complete else None

    def all(self) -> list[registry_pb2.Flow]:
        """Return every flow that is known now, by name; the registry may know more."""
        return [self._flows[name] for name in sorted(self._flows)] if self._complete else []

    async def _follow(self) -> None:
        while True:
            try:
                await self._hear()
            except grpc.aio.AioRpcError as error:
                log.debug("catalogue interrupted", code=error.code().name)
            self._complete = False
            await asyncio.sleep(_RECONNECT_S)

    async def _hear(self) -> None:
        """Hear one stream to its end; it begins with everything there is."""
        flows: dict[str, registry_pb2.Flow] = {}
        async for message in self._stub.WatchFlows(registry_pb2.WatchFlowsRequest(), wait_for_ready=True):
            for flow in message.flows:
                flows[flow.name] = flow
            for name in message.removed:
                flows.pop(name, None)
            if message.complete:
                self._flows, self._complete = flows, True
