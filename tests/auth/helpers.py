"""A real auth service on a free port, and stubs to talk to it."""

import contextlib
import json
import pathlib
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import grpc
import jwt
import pytest
from agentmesh_protos.auth.v1 import auth_pb2 as pb
from agentmesh_protos.auth.v1 import auth_pb2_grpc as pb_grpc

from meshkit import errors, identity
from meshkit.identity import SERVICE_HEADER
from services.auth import app
from services.auth.config import Config
from services.auth.throttle import Throttle

Metadata = tuple[tuple[str, str], ...]


class AuthMesh:
    """Stubs of a running auth service."""

    def __init__(self, channel: grpc.aio.Channel, port: int, secret: bytes) -> None:
        self.auth = pb_grpc.AuthServiceStub(channel)
        self.users = pb_grpc.UserServiceStub(channel)
        self.port = port
        self.secret = secret
        self.badge: Metadata = ((SERVICE_HEADER, identity.sign(secret, "service:runner", "auth")),)

    async def sign_in(self, login: str = "admin", password: str = "admin", ttl_s: int = 0) -> pb.Tokens:
        """Return tokens."""
        request = pb.LoginRequest(login=login, password=password, access_ttl_s=ttl_s)
        tokens: pb.Tokens = await self.auth.Login(request, timeout=30)
        return tokens

    async def add_user(self, login: str, **fields: Any) -> pb.User:
        """Add a user whose password is `a good one`, as the admin; return them."""
        admin = bearer(await self.sign_in())
        user = pb.User(login=login, email=f"{login}@example.com", password="a good one", **fields)
        added: pb.User = await self.users.CreateUser(pb.CreateUserRequest(user=user), metadata=admin, timeout=30)
        return added

    async def me(self, metadata: Metadata) -> pb.User:
        """Return whose token it is."""
        user: pb.User = await self.users.GetSelf(pb.GetSelfRequest(), metadata=metadata, timeout=30)
        return user


def config(data_dir: pathlib.Path, **settings: Any) -> Config:
    """Return a configuration on a free port."""
    defaults: dict[str, Any] = {"data_dir": data_dir, "auth_address": "127.0.0.1:0", "grace_s": 0.0}
    return Config(**(defaults | settings))


@contextlib.asynccontextmanager
async def auth_mesh(
    data_dir: pathlib.Path, *, memory: bool = True, throttle: Throttle | None = None, **settings: Any
) -> AsyncIterator[AuthMesh]:
    """Run the auth service for the length of the block."""
    settled = config(data_dir, **({"database_url": "memory:"} if memory else {}), **settings)
    async with (
        app.running(settled, throttle=throttle) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        yield AuthMesh(channel, port, settled.secret)


def bearer(tokens: pb.Tokens | str) -> Metadata:
    """Return the metadata of a call with this access token."""
    token = tokens if isinstance(tokens, str) else tokens.access_token
    return (("authorization", f"Bearer {token}"),)


def claims(token: str, jwks_json: str) -> dict[str, Any]:
    """Return the claims of a token, verified with a key set as another program would."""
    keys = jwt.PyJWKSet.from_dict(json.loads(jwks_json))
    kid = jwt.get_unverified_header(token)["kid"]
    found: dict[str, Any] = jwt.decode(token, keys[kid], algorithms=["ES256"], issuer="agentmesh")
    return found


async def refused(kind: type[errors.MeshError], call: Awaitable[Any]) -> errors.MeshError:
    """Return the error that the call fails with; it must be of this kind."""
    with pytest.raises(errors.MeshError) as caught, errors.from_rpc():
        await call

    assert kind is type(caught.value)
    return caught.value
