"""`AsyncClient.users`, `.keys` and `.sessions`: who may sign in, with what programs do, and who is signed in."""

import dataclasses
import datetime
import uuid
from collections.abc import AsyncGenerator
from typing import Any

from agentmesh_protos.auth.v1 import auth_pb2, auth_pb2_grpc
from google.protobuf import field_mask_pb2

from agentmesh._client.collections import Collection
from agentmesh._client.connection import Connection
from agentmesh._client.errors import InvalidInputs
from agentmesh._client.records import moment, word
from agentmesh._client.requests import full_name

TIERS = tuple(name.removeprefix("TIER_").lower() for name in auth_pb2.Tier.keys()[1:])
"""The words for what decides rate limits."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Somebody who may sign in."""

    name: str
    """`users/{uuid}`."""
    login: str
    email: str
    active: bool
    operator: bool
    """Operators may do everything."""
    tier: str
    """free, pro, enterprise or sandbox: decides rate limits."""
    create_time: datetime.datetime | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """What a program signs in with."""

    name: str
    """`apiKeys/{id}`."""
    display_name: str
    create_time: datetime.datetime | None
    expire_time: datetime.datetime | None
    token: str = dataclasses.field(default="", repr=False)
    """Shown once, by `create`."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What one sign-in started."""

    name: str
    """`sessions/{id}`."""
    user: str
    """`users/{uuid}`."""
    create_time: datetime.datetime | None
    use_time: datetime.datetime | None
    """When it was last seen, to within five minutes."""
    expire_time: datetime.datetime | None
    """When it ends, unless it is refreshed before."""
    client: str
    """What signed in, as it calls itself; empty if that is not known."""
    address: str
    """From where; empty if that is not known."""
    current: bool
    """Whether it is this client's own."""


class Users(Collection):
    """Users, for operators.  One may be named by login, by id, or by `users/{id}`."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._stub = auth_pb2_grpc.UserServiceStub(self._channel)

    async def me(self) -> User:
        """Return the caller."""
        return _to_user(await self._connection.unary(self._stub.GetSelf, auth_pb2.GetSelfRequest()))

    async def create(
        self, login: str, email: str, password: str, *, operator: bool = False, tier: str = "", request_id: str = ""
    ) -> User:
        """Add a user.  Raises `InvalidInputs` whose `fields` say what is wrong; `MeshError` if the login is taken."""
        user = auth_pb2.User(login=login, email=email, password=password, operator=operator, tier=_tier(tier))
        request = auth_pb2.CreateUserRequest(user=user, request_id=request_id or str(uuid.uuid4()))
        return _to_user(await self._connection.unary(self._stub.CreateUser, request))

    async def get(self, name: str) -> User:
        """Return a user."""
        request = auth_pb2.GetUserRequest(name=full_name(name, "users"))
        return _to_user(await self._connection.unary(self._stub.GetUser, request))

    async def list(self) -> AsyncGenerator[User, None]:
        """Yield users, by login."""
        async for message in self._items(self._stub.ListUsers, auth_pb2.ListUsersRequest(), "users"):
            yield _to_user(message)

    async def update(
        self,
        name: str,
        *,
        active: bool | None = None,
        operator: bool | None = None,
        tier: str | None = None,
        password: str | None = None,
    ) -> User:
        """Change what is given.  A new password, or `active=False`, ends all that the user is signed in with."""
        given = {"active": active, "operator": operator, "password": password}
        changes: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
        if tier is not None:
            changes["tier"] = _tier(tier)
        user = auth_pb2.User(name=(await self.get(name)).name, **changes)
        request = auth_pb2.UpdateUserRequest(user=user, update_mask=field_mask_pb2.FieldMask(paths=list(changes)))
        return _to_user(await self._connection.unary(self._stub.UpdateUser, request))

    async def delete(self, name: str) -> None:
        """Delete a user, who is signed out.  Raises `MeshError` for the last active operator."""
        request = auth_pb2.DeleteUserRequest(name=(await self.get(name)).name)
        await self._connection.unary(self._stub.DeleteUser, request)


class Keys(Collection):
    """Your API keys.  One may be named `apiKeys/{id}` or by its id."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._stub = auth_pb2_grpc.AuthServiceStub(self._channel)

    async def create(self, display_name: str, *, days: int = 0, request_id: str = "") -> ApiKey:
        """Make a key, for 365 days unless `days` says how long; its `token` is shown this once."""
        request = auth_pb2.CreateApiKeyRequest(
            display_name=display_name, ttl_days=days, request_id=request_id or str(uuid.uuid4())
        )
        answer = await self._connection.unary(self._stub.CreateApiKey, request)
        return dataclasses.replace(_to_key(answer.api_key), token=answer.token)

    async def list(self) -> AsyncGenerator[ApiKey, None]:
        """Yield your keys, newest first."""
        async for message in self._items(self._stub.ListApiKeys, auth_pb2.ListApiKeysRequest(), "api_keys"):
            yield _to_key(message)

    async def delete(self, name: str) -> None:
        """Revoke a key: it is refused from now on."""
        request = auth_pb2.DeleteApiKeyRequest(name=full_name(name, "apiKeys"))
        await self._connection.unary(self._stub.DeleteApiKey, request)


class Sessions(Collection):
    """What one is signed in with.  One may be named `sessions/{id}` or by its id; a user by login, by id, or by
    `users/{id}`, which is for operators.
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._stub = auth_pb2_grpc.AuthServiceStub(self._channel)
        self._users = Users(connection)

    async def list(self, user: str = "") -> AsyncGenerator[Session, None]:
        """Yield the live sessions of the caller, or of `user`, newest first."""
        request = auth_pb2.ListSessionsRequest(user=await self._whose(user))
        async for message in self._items(self._stub.ListSessions, request, "sessions"):
            yield _to_session(message)

    async def end(self, name: str) -> None:
        """End a session: its tokens are refused from now on.  Operators may end anybody's."""
        request = auth_pb2.DeleteSessionRequest(name=full_name(name, "sessions"))
        await self._connection.unary(self._stub.DeleteSession, request)

    async def end_others(self, user: str = "") -> int:
        """End all sessions of the caller, or of `user`, but the one that calls; return how many.  API keys stay."""
        request = auth_pb2.EndSessionsRequest(user=await self._whose(user))
        return int((await self._connection.unary(self._stub.EndSessions, request)).ended)

    async def _whose(self, user: str) -> str:
        return (await self._users.get(user)).name if user else ""


def _tier(text: str) -> "auth_pb2.Tier.ValueType":
    try:
        return auth_pb2.Tier.Value(f"TIER_{(text or 'unspecified').upper()}")
    except ValueError:
        known = ", ".join(TIERS)
        raise InvalidInputs(f"there is no tier {text!r}: it is one of {known}", code="INVALID_ARGUMENT") from None


def _to_user(message: auth_pb2.User) -> User:
    return User(
        name=message.name,
        login=message.login,
        email=message.email,
        active=message.active,
        operator=message.operator,
        tier=word(auth_pb2.Tier, message.tier, "TIER_"),
        create_time=moment(message, "create_time"),
    )


def _to_session(message: auth_pb2.Session) -> Session:
    return Session(
        name=message.name,
        user=message.user,
        create_time=moment(message, "create_time"),
        use_time=moment(message, "use_time"),
        expire_time=moment(message, "expire_time"),
        client=message.client,
        address=message.address,
        current=message.current,
    )


def _to_key(message: auth_pb2.ApiKey) -> ApiKey:
    return ApiKey(
        name=message.name,
        display_name=message.display_name,
        create_time=moment(message, "create_time"),
        expire_time=moment(message, "expire_time"),
    )
