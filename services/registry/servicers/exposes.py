"""Exposes over gRPC."""

from google.protobuf import empty_pb2
from mesh.registry.v1 import registry_pb2 as pb
from mesh.registry.v1 import registry_pb2_grpc as pb_grpc

from meshkit.interceptors import Context
from services.registry import wire
from services.registry.catalogue.exposes import Exposes


class ExposeServicer(pb_grpc.ExposeServiceServicer):
    """Serves `mesh.registry.v1.ExposeService`."""

    def __init__(self, exposes: Exposes) -> None:
        self._exposes = exposes

    async def SaveExpose(self, request: pb.SaveExposeRequest, context: Context) -> pb.Expose:
        """Add, replace or rename an expose."""
        wanted = wire.definition(request.expose)
        original = wire.original_id(request.original_name)
        return wire.expose_pb(await self._exposes.save(wanted, request.expose.etag, original))

    async def GetExpose(self, request: pb.GetExposeRequest, context: Context) -> pb.Expose:
        """Return one."""
        return wire.expose_pb(await self._exposes.get(wire.expose_id(request.name)))

    async def ListExposes(self, request: pb.ListExposesRequest, context: Context) -> pb.ListExposesResponse:
        """Return a page."""
        items, token = await self._exposes.page(request.page_size, request.page_token)
        return pb.ListExposesResponse(exposes=[wire.expose_pb(item) for item in items], next_page_token=token)

    async def DeleteExpose(self, request: pb.DeleteExposeRequest, context: Context) -> empty_pb2.Empty:
        """Forget one."""
        await self._exposes.delete(wire.expose_id(request.name))
        return empty_pb2.Empty()
