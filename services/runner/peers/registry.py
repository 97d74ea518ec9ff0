"""The registry's catalogue, followed by a stream: a launch asks nobody what its flow costs."""

import contextlib
from collections.abc import AsyncIterator

import grpc
from agentmesh_protos.registry.v1 import registry_pb2, registry_pb2_grpc

from meshkit.errors import NotFound, from_rpc
from meshkit.flows import FollowedFlows
from meshkit.principal import on_own_behalf
from services.runner.ports.catalogue import Offer

_ASK_S = 5.0


class RegistryCatalogue:
    """A `Catalogue` that knows what the registry last said, and asks it for what it has not heard of."""

    def __init__(self, stub: registry_pb2_grpc.FlowServiceStub, followed: FollowedFlows) -> None:
        self._stub = stub
        self._followed = followed

    @classmethod
    @contextlib.asynccontextmanager
    async def following(cls, channel: grpc.aio.Channel) -> AsyncIterator["RegistryCatalogue"]:
        """Follow the registry behind `channel` for the length of the block."""
        stub = registry_pb2_grpc.FlowServiceStub(channel)
        async with FollowedFlows.following(stub) as followed:
            yield cls(stub, followed)

    async def find(self, flow: str) -> Offer | None:
        """As `Catalogue.find`."""
        if (known := self._followed.get(flow)) is not None:
            return _offer(known, enabled=known.enabled)
        with on_own_behalf():
            try:
                with from_rpc():
                    request = registry_pb2.GetFlowRequest(name=flow)
                    return _offer(await self._stub.GetFlow(request, timeout=_ASK_S), enabled=True)
            except NotFound:
                return None


def _offer(flow: registry_pb2.Flow, *, enabled: bool) -> Offer:
    return Offer(enabled=enabled, agent_identifier=flow.pricing.agent_identifier, network=flow.pricing.network)
