"""Exposes over gRPC."""

from agentmesh_protos.registry.v1 import registry_pb2 as pb
from agentmesh_protos.registry.v1 import registry_pb2_grpc as pb_grpc
from google.protobuf import empty_pb2

from meshkit import paging
from meshkit.idempotency import ask
from meshkit.interceptors import Context
from services.registry import wire
from services.registry.boot.probes import Rounds
from services.registry.catalogue.exposes import Exposes


class ExposeServicer(pb_grpc.ExposeServiceServicer):
    """Serves `mesh.registry.v1.ExposeService`."""

    def __init__(self, exposes: Exposes, rounds: Rounds, key: bytes) -> None:
        """`key` hides from readers of the table of requests what was in them."""
        self._exposes = exposes
        self._rounds = rounds
        self._key = key

    async def SaveExpose(self, request: pb.SaveExposeRequest, context: Context) -> pb.Expose:
        """Add, replace or rename an expose, or say whether that can be done."""
        wanted = wire.definition(request.expose)
        original = wire.original_id(request.original_name)
        if request.validate_only:
            return wire.expose_pb(await self._exposes.check(wanted, request.expose.etag, original))
        asked = ask(request, self._key)
        return wire.expose_pb(await self._exposes.save(wanted, request.expose.etag, original, asked))

    async def GetExpose(self, request: pb.GetExposeRequest, context: Context) -> pb.Expose:
        """Return one."""
        return wire.expose_pb(await self._exposes.get(wire.expose_id(request.name)))

    async def CheckExpose(self, request: pb.CheckExposeRequest, context: Context) -> pb.Expose:
        """Ask the flows of one, and return it."""
        name = wire.expose_id(request.name)
        await self._rounds.check(name)
        return wire.expose_pb(await self._exposes.get(name))

    async def ListExposes(self, request: pb.ListExposesRequest, context: Context) -> pb.ListExposesResponse:
        """Return a page."""
        found = await paging.page(request, self._exposes.list, lambda item: item[0].name)
        exposes = [wire.expose_pb(item) for item in found.items]
        return pb.ListExposesResponse(exposes=exposes, next_page_token=found.next_token)

    async def DeleteExpose(self, request: pb.DeleteExposeRequest, context: Context) -> empty_pb2.Empty:
        """Forget one."""
        await self._exposes.delete(wire.expose_id(request.name))
        return empty_pb2.Empty()
