"""The auth service's users, asked for when something is to be done in the name of one who does not call."""

import grpc
from agentmesh_protos.auth.v1 import auth_pb2, auth_pb2_grpc

from meshkit.errors import NotFound, from_rpc
from meshkit.principal import on_own_behalf
from services.runner.ports.schedules import Owner

_ASK_S = 5.0


class AuthOwners:
    """`Owners` of the auth service behind a channel."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = auth_pb2_grpc.UserServiceStub(channel)

    async def find(self, user: str) -> Owner | None:
        """As `Owners.find`."""
        with on_own_behalf():
            try:
                with from_rpc():
                    found = await self._stub.GetUser(auth_pb2.GetUserRequest(name=user), timeout=_ASK_S)
            except NotFound:
                return None
        if not found.active:
            return None
        tier = auth_pb2.Tier.Name(found.tier).removeprefix("TIER_").lower()
        return Owner(operator=found.operator, tier=tier)
