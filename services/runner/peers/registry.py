"""The registry's catalogue, followed by a stream: a launch asks nobody what its flow costs."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import structlog
from mesh.registry.v1 import registry_pb2, registry_pb2_grpc

from meshkit.errors import NotFound, from_rpc
from meshkit.principal import on_own_behalf
from meshkit.tasks import background
from services.runner.ports.catalogue import Offer

log = structlog.get_logger()
_RECONNECT_S = 0.2
_ASK_S = 5.0


class RegistryCatalogue:
    """A `Catalogue` that knows what the registry last said, and asks it for what it has not heard of.

    While the stream is away everything is asked for: what an operator has changed meanwhile must count.
    """

    def __init__(self, flows: registry_pb2_grpc.FlowServiceStub) -> None:
        self._flows = flows
        self._offers: dict[str, Offer] = {}
        self._complete = False

    @classmethod
    @contextlib.asynccontextmanager
    async def following(cls, channel: grpc.aio.Channel) -> AsyncIterator["RegistryCatalogue"]:
        """Follow the registry behind `channel` for the length of the block."""
        catalogue = cls(registry_pb2_grpc.FlowServiceStub(channel))
        async with background(catalogue.follow(), "catalogue"):
            yield catalogue

    async def find(self, flow: str) -> Offer | None:
        """As `Catalogue.find`."""
        if self._complete and (offer := self._offers.get(flow)) is not None:
            return offer
        request = registry_pb2.GetFlowRequest(name=flow)
        with on_own_behalf():
            try:
                with from_rpc():
                    return _offer(await self._flows.GetFlow(request, timeout=_ASK_S), enabled=True)
            except NotFound:
                return None

    async def follow(self) -> None:
        """Hear of every change, until cancelled."""
        while True:
            try:
                await self._hear(self._flows.WatchFlows(registry_pb2.WatchFlowsRequest(), wait_for_ready=True))
            except grpc.aio.AioRpcError as error:
                log.debug("catalogue interrupted", code=error.code().name)
            self._complete = False
            await asyncio.sleep(_RECONNECT_S)

    async def _hear(self, stream: Any) -> None:
        """Hear one stream to its end; it begins with everything there is."""
        offers: dict[str, Offer] = {}
        async for message in stream:
            for flow in message.flows:
                offers[flow.name] = _offer(flow, enabled=flow.enabled)
            for name in message.removed:
                offers.pop(name, None)
            if message.complete:
                self._offers, self._complete = offers, True


def _offer(flow: registry_pb2.Flow, *, enabled: bool) -> Offer:
    return Offer(enabled=enabled, agent_identifier=flow.pricing.agent_identifier, network=flow.pricing.network)
