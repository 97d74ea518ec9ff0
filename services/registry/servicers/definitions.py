"""Targets over gRPC, for services."""

from agentmesh_protos.registry.v1 import definition_pb2 as pb
from agentmesh_protos.registry.v1 import definition_pb2_grpc as pb_grpc

from meshkit.errors import Invalid
from meshkit.interceptors import Context
from services.registry import definition_wire as wire
from services.registry.catalogue.targets import Targets


class DefinitionServicer(pb_grpc.DefinitionServiceServicer):
    """Serves `mesh.registry.v1.DefinitionService`."""

    def __init__(self, targets: Targets) -> None:
        self._targets = targets

    async def ResolveTarget(self, request: pb.ResolveTargetRequest, context: Context) -> pb.Definition:
        """Return what a target is now."""
        collection = request.target.partition("/")[0]
        lookup = {"agents": self._targets.agent, "crews": self._targets.crew}.get(collection)
        if lookup is None:
            raise Invalid("target must be agents/{id} or crews/{id}", {"target": [f"got {request.target[:80]!r}"]})
        handle = wire.handle(request.target, collection, "target")
        if not request.owner and not request.is_operator:
            raise Invalid("owner says whose job it is", {"owner": ["must not be empty"]})
        return wire.definition_pb(await lookup(handle, request.owner, None if request.is_operator else request.owner))

    async def ResolveSecrets(self, request: pb.ResolveSecretsRequest, context: Context) -> pb.Secrets:
        """Return keys and tokens."""
        return pb.Secrets(values=await self._targets.secrets(request.names))
