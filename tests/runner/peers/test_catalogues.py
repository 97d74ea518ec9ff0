"""Every catalogue keeps the same promise; the registry's is heard over a real gRPC stream."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from agentmesh_protos.registry.v1 import registry_pb2, registry_pb2_grpc

from meshkit.errors import Unavailable
from services.runner.peers.memory import MemoryCatalogue
from services.runner.peers.registry import RegistryCatalogue
from services.runner.ports.catalogue import Catalogue, Offer

PRICING = registry_pb2.Pricing(agent_identifier="agent-1", network="Preprod")
FLOWS = [
    registry_pb2.Flow(name="flows/free", enabled=True),
    registry_pb2.Flow(name="flows/paid/deep", enabled=True, pricing=PRICING),
    registry_pb2.Flow(name="flows/off", enabled=False),
]


class Registry(registry_pb2_grpc.FlowServiceServicer):
    """The catalogue's side of a registry."""

    def __init__(self) -> None:
        self.flows = {flow.name: flow for flow in FLOWS}
        self.changes: asyncio.Queue[registry_pb2.WatchFlowsResponse] = asyncio.Queue()
        self.asked: list[str] = []

    async def WatchFlows(self, request: Any, context: Any) -> AsyncIterator[registry_pb2.WatchFlowsResponse]:
        """Tell everything, then each change."""
        yield registry_pb2.WatchFlowsResponse(flows=self.flows.values(), complete=True)
        while True:
            yield await self.changes.get()

    async def ListFlows(self, request: Any, context: Any) -> registry_pb2.ListFlowsResponse:
        """List nothing: a catalogue does not ask for lists."""
        return registry_pb2.ListFlowsResponse()

    async def ListFlowTags(self, request: Any, context: Any) -> registry_pb2.ListFlowTagsResponse:
        """Count nothing, for the same reason."""
        return registry_pb2.ListFlowTagsResponse()

    async def GetFlow(self, request: registry_pb2.GetFlowRequest, context: Any) -> registry_pb2.Flow:
        """Return an enabled flow."""
        self.asked.append(request.name)
        flow = self.flows.get(request.name)
        if flow is None or not flow.enabled:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such flow")
        assert flow is not None
        return flow


@pytest_asyncio.fixture
async def registry() -> AsyncIterator[tuple[Registry, str]]:
    """Serve a registry; yield it and its address."""
    server, servicer = grpc.aio.server(), Registry()
    registry_pb2_grpc.add_FlowServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield servicer, f"127.0.0.1:{port}"
    await server.stop(None)


@contextlib.asynccontextmanager
async def following(address: str) -> AsyncIterator[RegistryCatalogue]:
    """Follow a registry."""
    async with grpc.aio.insecure_channel(address) as channel, RegistryCatalogue.following(channel) as catalogue:
        yield catalogue


@pytest_asyncio.fixture(params=["memory", "registry"])
async def catalogue(request: pytest.FixtureRequest, registry: tuple[Registry, str]) -> AsyncIterator[Catalogue]:
    """Yield each catalogue, knowing the same flows."""
    if request.param == "registry":
        async with following(registry[1]) as followed:
            yield followed
        return
    memory = MemoryCatalogue()
    memory.offer("flows/free", Offer())
    memory.offer("flows/paid/deep", Offer(agent_identifier="agent-1", network="Preprod"))
    yield memory


async def test_what_is_offered_is_known(catalogue: Catalogue) -> None:
    """With its price, if it has one; what is not offered is None."""
    free = await catalogue.find("flows/free")
    paid = await catalogue.find("flows/paid/deep")

    assert Offer() == free
    assert Offer(agent_identifier="agent-1", network="Preprod") == paid
    assert paid is not None
    assert paid.priced
    assert await catalogue.find("flows/none") is None


async def heard(catalogue: RegistryCatalogue, registry: Registry, flow: str) -> Offer | None:
    """Return what is said of a flow once it is known without asking."""
    while True:
        asked = len(registry.asked)
        offer = await catalogue.find(flow)
        await asyncio.sleep(0)  # the stream gets its turn
        if len(registry.asked) == asked:
            return offer


async def test_what_was_heard_is_not_asked_for(registry: tuple[Registry, str]) -> None:
    """A launch costs no call to the registry, also after a change."""
    servicer, address = registry
    async with following(address) as catalogue:
        assert Offer() == await heard(catalogue, servicer, "flows/free")
        assert Offer(enabled=False) == await heard(catalogue, servicer, "flows/off")
        changed = registry_pb2.Flow(name="flows/free", enabled=True, pricing=PRICING)
        servicer.flows["flows/free"] = changed
        await servicer.changes.put(registry_pb2.WatchFlowsResponse(flows=[changed]))
        offer: Offer | None = None
        async with asyncio.timeout(30):
            while offer is None or not offer.priced:
                offer = await heard(catalogue, servicer, "flows/free")


async def test_a_flow_that_is_new_is_asked_for(registry: tuple[Registry, str]) -> None:
    """It may run the moment after its boot, whether or not the stream has brought it yet."""
    servicer, address = registry
    async with following(address) as catalogue:
        await heard(catalogue, servicer, "flows/free")
        servicer.flows["flows/new"] = registry_pb2.Flow(name="flows/new", enabled=True, pricing=PRICING)

        offer = await catalogue.find("flows/new")

    assert offer is not None
    assert offer.priced


async def test_without_a_registry_nothing_is_told() -> None:
    """A priced flow must not run free of charge because nobody knew."""
    async with following("127.0.0.1:1") as catalogue:
        with pytest.raises(Unavailable):
            await catalogue.find("flows/free")
