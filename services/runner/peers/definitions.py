"""The registry's definitions of agents and crews, asked for at a job's birth, and for its secrets at each start."""

from collections.abc import Mapping, Sequence

import grpc
from agentmesh_protos.registry.v1 import definition_pb2, definition_pb2_grpc

from meshkit.errors import from_rpc
from meshkit.principal import on_own_behalf

_ASK_S = 5.0


class RegistryDefinitions:
    """`Definitions` of the registry behind a channel."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = definition_pb2_grpc.DefinitionServiceStub(channel)

    async def resolve(self, target: str, owner: str, *, is_operator: bool) -> definition_pb2.Definition:
        """As `Definitions.resolve`."""
        request = definition_pb2.ResolveTargetRequest(target=target, owner=owner, is_operator=is_operator)
        with on_own_behalf(), from_rpc():
            definition: definition_pb2.Definition = await self._stub.ResolveTarget(request, timeout=_ASK_S)
        return definition

    async def secrets(self, names: Sequence[str]) -> Mapping[str, str]:
        """As `Definitions.secrets`."""
        with on_own_behalf(), from_rpc():
            request = definition_pb2.ResolveSecretsRequest(names=names)
            secrets: definition_pb2.Secrets = await self._stub.ResolveSecrets(request, timeout=_ASK_S)
        return dict(secrets.values)
