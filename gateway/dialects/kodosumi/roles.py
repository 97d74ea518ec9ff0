"""Roles of the kodosumi panel (its `/role` routes): the mesh's users, in the panel's words."""

from typing import Any

import pydantic
from agentmesh_protos.auth.v1 import auth_pb2
from agentmesh_protos.dialects.kodosumi.v1 import auth_pb2 as pb
from agentmesh_protos.dialects.kodosumi.v1 import auth_pb2_grpc as pb_grpc
from google.protobuf import empty_pb2, struct_pb2

from gateway.core import values
from gateway.core.peers import Peers
from gateway.dialects.kodosumi.login import signed_in
from gateway.http import bodies, cookies
from gateway.http.dialect import Service
from gateway.http.exchange import exchange
from meshkit import paging
from meshkit.errors import from_rpc


class NewRole(pydantic.BaseModel):
    """The body of POST /role."""

    model_config = pydantic.ConfigDict(extra="forbid")

    name: str
    email: str
    password: str = pydantic.Field(repr=False)
    operator: bool = pydantic.Field(default=False, strict=True)
    active: bool = pydantic.Field(default=True, strict=True)


class RoleChange(pydantic.BaseModel):
    """The body of PUT /role/{id}: what is absent stays as it is."""

    model_config = pydantic.ConfigDict(extra="forbid")

    name: str = ""
    email: str = ""
    password: str = pydantic.Field(default="", repr=False)
    operator: bool = pydantic.Field(default=False, strict=True)
    active: bool = pydantic.Field(default=True, strict=True)


class PasswordChange(pydantic.BaseModel):
    """The body of POST /role/profile/password."""

    model_config = pydantic.ConfigDict(extra="forbid")

    password: str = pydantic.Field(repr=False)
    """The one that the caller has."""
    new_password: str = pydantic.Field(repr=False)


class RoleServicer(pb_grpc.RoleServiceServicer):
    """Unpack, call, pack."""

    def __init__(self, peers: Peers) -> None:
        self._auth = peers.auth
        self._users = peers.users

    async def CreateRole(self, request: pb.CreateRoleRequest, context: Any) -> pb.Role:
        """POST /role."""
        new = bodies.parse_model(request.json_body, NewRole)
        user = auth_pb2.User(
            login=new.name, email=new.email, password=new.password, operator=new.operator, active=new.active
        )
        with values.fields("user", login="name"), from_rpc():
            return _role(await self._users.CreateUser(auth_pb2.CreateUserRequest(user=user)))

    async def ListRoles(self, request: pb.ListRolesRequest, context: Any) -> struct_pb2.ListValue:
        """GET /role: all of them."""
        asked = auth_pb2.ListUsersRequest(page_size=paging.MAX)
        users: list[auth_pb2.User] = [user async for user in paging.walk(self._users.ListUsers, asked)]
        return values.array(_role(user) for user in sorted(users, key=lambda user: str(user.login)))

    async def GetProfile(self, request: pb.GetProfileRequest, context: Any) -> pb.Role:
        """GET /role/profile."""
        with from_rpc():
            return _role(await self._users.GetSelf(auth_pb2.GetSelfRequest()))

    async def ChangePassword(self, request: pb.ChangePasswordRequest, context: Any) -> pb.SignedIn:
        """POST /role/profile/password."""
        body = bodies.parse_model(request.json_body, PasswordChange)
        change = auth_pb2.ChangePasswordRequest(
            old_password=body.password,
            new_password=body.new_password,
            access_ttl_s=cookies.ACCESS_TTL_S,
            no_refresh=True,
            client=exchange().headers.get("user-agent", ""),
        )
        with values.fields(old_password="password"), from_rpc():
            return signed_in(await self._auth.ChangePassword(change))

    async def GetRole(self, request: pb.GetRoleRequest, context: Any) -> pb.Role:
        """GET /role/{name or id}."""
        with from_rpc():
            return _role(await self._users.GetUser(auth_pb2.GetUserRequest(name=f"users/{request.role}")))

    async def UpdateRole(self, request: pb.UpdateRoleRequest, context: Any) -> pb.Role:
        """PUT /role/{id}."""
        change = bodies.parse_model(request.json_body, RoleChange)
        update = auth_pb2.UpdateUserRequest(
            user=auth_pb2.User(
                name=f"users/{request.role}",
                login=change.name,
                email=change.email,
                password=change.password,
                operator=change.operator,
                active=change.active,
            )
        )
        update.update_mask.paths.extend(
            "login" if field == "name" else field for field in sorted(change.model_fields_set)
        )
        with values.fields("user", login="name"), from_rpc():
            if not update.update_mask.paths:  # an empty mask means every field that is set (AIP-134)
                return _role(await self._users.GetUser(auth_pb2.GetUserRequest(name=update.user.name)))
            return _role(await self._users.UpdateUser(update))

    async def DeleteRole(self, request: pb.DeleteRoleRequest, context: Any) -> empty_pb2.Empty:
        """DELETE /role/{id}."""
        with from_rpc():
            await self._users.DeleteUser(auth_pb2.DeleteUserRequest(name=f"users/{request.role}"))
        return empty_pb2.Empty()


def _role(user: auth_pb2.User) -> pb.Role:
    return pb.Role(id=user.name.removeprefix("users/"), name=user.login, email=user.email, active=user.active)


SERVICE = Service(
    name="mesh.dialects.kodosumi.v1.RoleService",
    add=pb_grpc.add_RoleServiceServicer_to_server,
    servicer=RoleServicer,
)
