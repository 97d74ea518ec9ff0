"""Unpack, call, pack: no rule of the registry lives here."""

from collections.abc import AsyncIterator

from google.protobuf import empty_pb2
from mesh.registry.v1 import registry_pb2 as pb
from mesh.registry.v1 import registry_pb2_grpc as pb_grpc

from meshkit import names
from meshkit.interceptors import Context
from services.registry import flows, wire
from services.registry.boot import Booter
from services.registry.catalogue import Catalogue
from services.registry.runs import Run, Runs


class ExposeServicer(pb_grpc.ExposeServiceServicer):
    """Serves `mesh.registry.v1.ExposeService`."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    async def SaveExpose(self, request: pb.SaveExposeRequest, context: Context) -> pb.Expose:
        """Add, replace or rename an expose."""
        wanted = wire.definition(request.expose)
        original = wire.original_id(request.original_name)
        return wire.expose_pb(await self._catalogue.save(wanted, request.expose.etag, original))

    async def GetExpose(self, request: pb.GetExposeRequest, context: Context) -> pb.Expose:
        """Return one."""
        return wire.expose_pb(await self._catalogue.get(wire.expose_id(request.name)))

    async def ListExposes(self, request: pb.ListExposesRequest, context: Context) -> pb.ListExposesResponse:
        """Return a page."""
        items, token = await self._catalogue.page(request.page_size, request.page_token)
        return pb.ListExposesResponse(exposes=[wire.expose_pb(item) for item in items], next_page_token=token)

    async def DeleteExpose(self, request: pb.DeleteExposeRequest, context: Context) -> empty_pb2.Empty:
        """Forget one."""
        await self._catalogue.delete(wire.expose_id(request.name))
        return empty_pb2.Empty()


class BootServicer(pb_grpc.BootServiceServicer):
    """Serves `mesh.registry.v1.BootService`.  A caller that hangs up ends its stream, not the boot."""

    def __init__(self, booter: Booter, runs: Runs) -> None:
        self._booter = booter
        self._runs = runs

    async def StartBoot(self, request: pb.StartBootRequest, context: Context) -> AsyncIterator[pb.BootEvent]:
        """Boot, and follow it."""
        run = await self._booter.start_boot(force=request.force)
        async for event in _follow(run):
            yield event

    async def StopApps(self, request: pb.StopAppsRequest, context: Context) -> AsyncIterator[pb.BootEvent]:
        """Stop every app, and follow that."""
        run = await self._booter.start_stop()
        async for event in _follow(run):
            yield event

    async def RefreshExpose(self, request: pb.RefreshExposeRequest, context: Context) -> AsyncIterator[pb.BootEvent]:
        """Restart one app, and follow that."""
        run = await self._booter.start_refresh(wire.expose_id(request.name))
        async for event in _follow(run):
            yield event

    async def GetBoot(self, request: pb.GetBootRequest, context: Context) -> pb.Boot:
        """Return the current or last one."""
        return wire.boot_pb(self._runs.latest)

    async def WatchBoot(self, request: pb.WatchBootRequest, context: Context) -> AsyncIterator[pb.BootEvent]:
        """Follow the one that runs."""
        async for event in _follow(self._runs.current()):
            yield event


async def _follow(run: Run) -> AsyncIterator[pb.BootEvent]:
    async for event in run.follow():
        yield wire.event_pb(event)


class FlowServicer(pb_grpc.FlowServiceServicer):
    """Serves `mesh.registry.v1.FlowService`."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    async def GetFlow(self, request: pb.GetFlowRequest, context: Context) -> pb.Flow:
        """Return one."""
        names.parse(request.name, "flows")
        return wire.flow_pb(await self._catalogue.flow(request.name))

    async def ListFlows(self, request: pb.ListFlowsRequest, context: Context) -> pb.ListFlowsResponse:
        """Return a page."""
        found = await self._catalogue.listed_flows()
        items, token = flows.page(found, request.query, request.page_size, request.page_token)
        return pb.ListFlowsResponse(flows=[wire.flow_pb(flow) for flow in items], next_page_token=token)

    async def ListFlowTags(self, request: pb.ListFlowTagsRequest, context: Context) -> pb.ListFlowTagsResponse:
        """Count tags."""
        return pb.ListFlowTagsResponse(counts=flows.count_tags(await self._catalogue.listed_flows()))
