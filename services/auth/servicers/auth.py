"""`mesh.auth.v1.AuthService`: sign-in, sessions, API keys, and what other services trust."""

import datetime
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from agentmesh_protos.auth.v1 import auth_pb2 as pb
from agentmesh_protos.auth.v1 import auth_pb2_grpc as pb_grpc
from google.protobuf import empty_pb2

from meshkit import clock, names, paging
from meshkit.idempotency import ask
from meshkit.interceptors import Context
from meshkit.net.whence import CLIENT_HEADER
from meshkit.principal import caller, check_owner
from services.auth import wire
from services.auth.domain import ApiKey, Session
from services.auth.keys import Keys
from services.auth.live_sessions import LiveSessions
from services.auth.revocations import Feed
from services.auth.servicers.me import check_not_a_key, user_caller
from services.auth.sessions import Sessions


class AuthServicer(pb_grpc.AuthServiceServicer):
    """Signs users in and out, and tells other services what to trust."""

    def __init__(
        self, sessions: Sessions, live: LiveSessions, keys: Keys, feed: Feed, jwks: Callable[[], Awaitable[str]]
    ) -> None:
        self._sessions = sessions
        self._live = live
        self._keys = keys
        self._feed = feed
        self._jwks = jwks

    async def Login(self, request: pb.LoginRequest, context: Context) -> pb.Tokens:
        """Exchange a name and password for tokens."""
        return wire.tokens_pb(
            await self._sessions.login(
                request.login,
                request.password,
                request.access_ttl_s,
                caller().address,
                refresh=not request.no_refresh,
                client=_client(request, context),
            )
        )

    async def ChangePassword(self, request: pb.ChangePasswordRequest, context: Context) -> pb.Tokens:
        """Give the caller another password."""
        user_id, me = user_caller()
        check_not_a_key("change a password")
        return wire.tokens_pb(
            await self._sessions.change_password(
                user_id,
                request.old_password,
                request.new_password,
                request.access_ttl_s,
                me.address,
                refresh=not request.no_refresh,
                client=_client(request, context),
            )
        )

    async def VouchForUser(self, request: pb.VouchForUserRequest, context: Context) -> pb.Tokens:
        """Return tokens of a user, for a service that knows who calls."""
        return wire.tokens_pb(await self._sessions.vouch(request.login, caller().service, request.access_ttl_s))

    async def RefreshTokens(self, request: pb.RefreshTokensRequest, context: Context) -> pb.Tokens:
        """Exchange a refresh token for new tokens."""
        return wire.tokens_pb(await self._sessions.refresh(request.refresh_token))

    async def Logout(self, request: pb.LogoutRequest, context: Context) -> empty_pb2.Empty:
        """Revoke the caller's own access token, with its session, or all that they hold."""
        user_id, me = user_caller()
        if request.all:
            await self._sessions.logout_everywhere(user_id)
        else:
            await self._sessions.logout(me.session, me.jti, clock.moment_at(me.expires_at))
        return empty_pb2.Empty()

    async def GetJwks(self, request: pb.GetJwksRequest, context: Context) -> pb.Jwks:
        """Return the public keys, and the time, if it is not only this machine's."""
        jwks_json = await self._jwks()
        return pb.Jwks(jwks_json=jwks_json, time=clock.stamp(clock.now()) if clock.now.has_heard else None)

    async def WatchRevocations(
        self, request: pb.WatchRevocationsRequest, context: Context
    ) -> AsyncIterator[pb.WatchRevocationsResponse]:
        """Stream what must fail: all of it first, then as it happens."""
        async for batch in self._feed.follow():
            yield pb.WatchRevocationsResponse(revocations=[wire.revocation_pb(item) for item in batch])

    async def CreateApiKey(self, request: pb.CreateApiKeyRequest, context: Context) -> pb.CreateApiKeyResponse:
        """Make a long-lived token of the caller."""
        user_id, me = user_caller()
        check_not_a_key("make another")
        key, token = await self._keys.add(
            user_id, request.display_name, request.ttl_days, clock.moment_at(me.issued_at), ask(request)
        )
        return pb.CreateApiKeyResponse(api_key=wire.api_key_pb(key), token=token)

    async def ListApiKeys(self, request: pb.ListApiKeysRequest, context: Context) -> pb.ListApiKeysResponse:
        """List the caller's keys, newest first."""
        user_id, _ = user_caller()

        async def fetch(last: str, limit: int) -> Sequence[ApiKey]:
            before = _moment(last) if last else None
            return await self._keys.list(user_id, before, limit)

        found = await paging.page(request, fetch, lambda key: str(clock.micros(key.created_at)), "apiKeys", user_id)
        return pb.ListApiKeysResponse(
            api_keys=[wire.api_key_pb(key) for key in found.items], next_page_token=found.next_token
        )

    async def DeleteApiKey(self, request: pb.DeleteApiKeyRequest, context: Context) -> empty_pb2.Empty:
        """Revoke one of the caller's keys."""
        user_id, _ = user_caller()
        await self._keys.delete(user_id, names.parse(request.name, "apiKeys"))
        return empty_pb2.Empty()

    async def ListSessions(self, request: pb.ListSessionsRequest, context: Context) -> pb.ListSessionsResponse:
        """List what somebody is signed in with, newest first."""
        user_id = _whose(request.user)

        async def fetch(last: str, limit: int) -> Sequence[Session]:
            micros, _, session_id = last.partition(" ")
            before = (_moment(micros), session_id) if last else None
            return await self._live.list(user_id, before, limit)

        def place(session: Session) -> str:
            return f"{clock.micros(session.created_at)} {session.session_id}"

        found = await paging.page(request, fetch, place, "sessions", user_id)
        own = caller().session
        return pb.ListSessionsResponse(
            sessions=[wire.session_pb(each, own) for each in found.items], next_page_token=found.next_token
        )

    async def DeleteSession(self, request: pb.DeleteSessionRequest, context: Context) -> empty_pb2.Empty:
        """End a session."""
        user_id, me = user_caller()
        check_not_a_key("end sessions")
        await self._live.end(names.parse(request.name, "sessions"), "" if me.operator else user_id)
        return empty_pb2.Empty()

    async def EndSessions(self, request: pb.EndSessionsRequest, context: Context) -> pb.EndSessionsResponse:
        """End somebody's sessions but the one that calls."""
        check_not_a_key("end sessions")
        return pb.EndSessionsResponse(ended=await self._live.end_all(_whose(request.user), caller().session))


def _whose(user: str) -> str:
    """Return the id of the user that a request is about, the caller if it names none.  Raises `NotFound`."""
    own, _ = user_caller()
    if not user:
        return own
    check_owner(user, user)
    return names.parse(user, "users", "user")


def _moment(micros: str) -> datetime.datetime:
    """Return when what a page token names was made; raise `Invalid` for a token that we have not made."""
    try:
        return clock.from_micros(paging.number(micros))
    except OverflowError:
        raise paging.bad_token() from None


def _client(request: pb.LoginRequest | pb.ChangePasswordRequest, context: Context) -> str:
    """Return what signs in, as it calls itself; a service does not call in its own name."""
    if request.client or caller().service:
        return request.client
    metadata = dict(context.invocation_metadata())
    return str(metadata.get(CLIENT_HEADER) or metadata.get("user-agent", ""))
