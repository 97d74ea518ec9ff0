"""The auth service on the wire: unpack, call, pack."""

import datetime
from collections.abc import AsyncIterator

from google.protobuf import empty_pb2
from mesh.auth.v1 import auth_pb2 as pb
from mesh.auth.v1 import auth_pb2_grpc as pb_grpc

from meshkit import names, paging
from meshkit.errors import Invalid, Unauthenticated
from meshkit.interceptors import Context
from meshkit.principal import Principal, caller
from services.auth.domain import ApiKey, Revocation, Tier, User, UserChange
from services.auth.revocations import Feed
from services.auth.service import Grant, Sessions, Users
from services.auth.store import AuthStore

_TIERS = {
    Tier.FREE: pb.TIER_FREE,
    Tier.PRO: pb.TIER_PRO,
    Tier.ENTERPRISE: pb.TIER_ENTERPRISE,
    Tier.SANDBOX: pb.TIER_SANDBOX,
}
_TIER_OF = {number: tier for tier, number in _TIERS.items()}
_MUTABLE = ("login", "email", "active", "operator", "tier", "password")
_US = datetime.timedelta(microseconds=1)
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


class AuthServicer(pb_grpc.AuthServiceServicer):
    """Signs users in and out, and tells other services what to trust."""

    def __init__(self, sessions: Sessions, store: AuthStore, feed: Feed, jwks_json: str) -> None:
        self._sessions = sessions
        self._store = store
        self._feed = feed
        self._jwks = pb.Jwks(jwks_json=jwks_json)

    async def Login(self, request: pb.LoginRequest, context: Context) -> pb.Tokens:
        """Exchange a name and password for tokens."""
        return _tokens(await self._sessions.login(request.login, request.password, request.access_ttl_s))

    async def RefreshTokens(self, request: pb.RefreshTokensRequest, context: Context) -> pb.Tokens:
        """Exchange a refresh token for new tokens."""
        return _tokens(await self._sessions.refresh(request.refresh_token))

    async def Logout(self, request: pb.LogoutRequest, context: Context) -> empty_pb2.Empty:
        """Revoke the caller's own access token, with its session."""
        _, me = _user_caller()
        await self._sessions.logout(me.token, me.jti, _moment(me.expires_at))
        return empty_pb2.Empty()

    async def GetJwks(self, request: pb.GetJwksRequest, context: Context) -> pb.Jwks:
        """Return the public keys."""
        return self._jwks

    async def WatchRevocations(
        self, request: pb.WatchRevocationsRequest, context: Context
    ) -> AsyncIterator[pb.WatchRevocationsResponse]:
        """Stream what must fail: all of it first, then as it happens."""
        async for batch in self._feed.follow():
            yield pb.WatchRevocationsResponse(revocations=[_revocation(item) for item in batch])

    async def CreateApiKey(self, request: pb.CreateApiKeyRequest, context: Context) -> pb.CreateApiKeyResponse:
        """Make a long-lived token of the caller."""
        user_id, me = _user_caller()
        key, token = await self._sessions.add_api_key(
            user_id, request.display_name, request.ttl_days, _moment(me.issued_at)
        )
        return pb.CreateApiKeyResponse(api_key=_api_key(key), token=token)

    async def ListApiKeys(self, request: pb.ListApiKeysRequest, context: Context) -> pb.ListApiKeysResponse:
        """List the caller's keys, newest first."""
        user_id, _ = _user_caller()
        size = paging.size(request.page_size)
        last = paging.decode(request.page_token, "apiKeys", user_id)
        keys = await self._store.list_api_keys(user_id, _from_us(last) if last else None, size + 1)
        token = paging.encode(_to_us(keys[size - 1].created_at), "apiKeys", user_id) if len(keys) > size else ""
        return pb.ListApiKeysResponse(api_keys=[_api_key(key) for key in keys[:size]], next_page_token=token)

    async def DeleteApiKey(self, request: pb.DeleteApiKeyRequest, context: Context) -> empty_pb2.Empty:
        """Revoke one of the caller's keys."""
        user_id, _ = _user_caller()
        await self._sessions.delete_api_key(user_id, names.parse(request.name, "apiKeys"))
        return empty_pb2.Empty()


class UserServicer(pb_grpc.UserServiceServicer):
    """Keeps users."""

    def __init__(self, users: Users, store: AuthStore) -> None:
        self._users = users
        self._store = store

    async def CreateUser(self, request: pb.CreateUserRequest, context: Context) -> pb.User:
        """Add an active user."""
        sent = request.user
        user = await self._users.add(
            login=sent.login,
            email=sent.email,
            password=sent.password,
            operator=sent.operator,
            tier=_tier(sent.tier),
        )
        return to_pb(user)

    async def GetSelf(self, request: pb.GetSelfRequest, context: Context) -> pb.User:
        """Return the caller."""
        user_id, _ = _user_caller()
        return to_pb(await self._store.get_user(user_id))

    async def GetUser(self, request: pb.GetUserRequest, context: Context) -> pb.User:
        """Return a user by id or login."""
        return to_pb(await self._users.find(names.parse(request.name, "users")))

    async def ListUsers(self, request: pb.ListUsersRequest, context: Context) -> pb.ListUsersResponse:
        """List users by login."""
        size = paging.size(request.page_size)
        users = await self._store.list_users(paging.decode(request.page_token, "users"), size + 1)
        token = paging.encode(users[size - 1].login, "users") if len(users) > size else ""
        return pb.ListUsersResponse(users=[to_pb(user) for user in users[:size]], next_page_token=token)

    async def UpdateUser(self, request: pb.UpdateUserRequest, context: Context) -> pb.User:
        """Change the fields named by the mask."""
        key = names.parse(request.user.name, "users", "user.name")
        change, password = _change(request)
        return to_pb(await self._users.update(key, change, password))

    async def DeleteUser(self, request: pb.DeleteUserRequest, context: Context) -> empty_pb2.Empty:
        """Delete a user."""
        await self._users.delete(names.parse(request.name, "users"))
        return empty_pb2.Empty()


def to_pb(user: User) -> pb.User:
    """Return the user as others may see them: without the password."""
    message = pb.User(
        name=f"users/{user.user_id}",
        login=user.login,
        email=user.email,
        active=user.active,
        operator=user.operator,
        tier=_TIERS[user.tier],
    )
    message.create_time.FromDatetime(user.created_at)
    return message


def _change(request: pb.UpdateUserRequest) -> tuple[UserChange, str | None]:
    """Return what to change, and the new password if there is one."""
    sent = request.user
    paths = set(request.update_mask.paths) or {name for name in _MUTABLE if getattr(sent, name)}
    if unknown := sorted(paths - set(_MUTABLE)):
        raise Invalid(
            f"update_mask: cannot change {unknown[0][:80]!r}", {"update_mask": [f"may name {', '.join(_MUTABLE)}"]}
        )
    change = UserChange(
        login=sent.login if "login" in paths else None,
        email=sent.email if "email" in paths else None,
        active=sent.active if "active" in paths else None,
        operator=sent.operator if "operator" in paths else None,
        tier=_tier(sent.tier) if "tier" in paths else None,
    )
    return change, sent.password if "password" in paths else None


def _user_caller() -> tuple[str, Principal]:
    me = caller()
    if not me.user:
        raise Unauthenticated("this is about the caller, and a service without a user called: send a user's token")
    return me.user.removeprefix("users/"), me


def _tier(number: int) -> Tier:
    if number == pb.TIER_UNSPECIFIED:
        return Tier.FREE
    try:
        return _TIER_OF[pb.Tier.ValueType(number)]
    except KeyError:
        raise Invalid(f"user.tier: {number} is not a tier", {"user.tier": ["must be a Tier"]}) from None


def _tokens(grant: Grant) -> pb.Tokens:
    message = pb.Tokens(access_token=grant.access_token, refresh_token=grant.refresh_token, user=to_pb(grant.user))
    message.expire_time.FromDatetime(grant.expires_at)
    return message


def _api_key(key: ApiKey) -> pb.ApiKey:
    message = pb.ApiKey(name=f"apiKeys/{key.key_id}", display_name=key.display_name)
    message.create_time.FromDatetime(key.created_at)
    message.expire_time.FromDatetime(key.expires_at)
    return message


def _revocation(revocation: Revocation) -> pb.Revocation:
    message = pb.Revocation()
    if revocation.jti:
        message.jti = revocation.jti
    else:
        message.user = f"users/{revocation.user_id}"
    message.issue_time.FromDatetime(revocation.issued_at)
    message.expire_time.FromDatetime(revocation.expires_at)
    return message


def _moment(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def _to_us(moment: datetime.datetime) -> str:
    return str((moment - _EPOCH) // _US)


def _from_us(text: str) -> datetime.datetime:
    try:
        return _EPOCH + int(text) * _US
    except (ValueError, OverflowError):
        raise Invalid("page_token is not one of ours", {"page_token": ["pass it as it was given"]}) from None
