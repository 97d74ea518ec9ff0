"""Boots over gRPC."""

from collections.abc import AsyncIterator

from agentmesh_protos.registry.v1 import registry_pb2 as pb
from agentmesh_protos.registry.v1 import registry_pb2_grpc as pb_grpc

from meshkit.interceptors import Context
from services.registry import wire
from services.registry.boot.booter import Booter
from services.registry.boot.runs import Run, Runs


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
