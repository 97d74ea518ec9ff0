"""Kasal: signing in by e-mail address and password, refreshing, signing out."""

import math
from typing import Any

import pydantic
from agentmesh_protos.auth.v1 import auth_pb2
from agentmesh_protos.dialects.kasal.v1 import auth_pb2 as pb
from agentmesh_protos.dialects.kasal.v1 import auth_pb2_grpc as pb_grpc
from google.protobuf import empty_pb2

from gateway.core.peers import Peers
from gateway.http import bodies
from gateway.http.dialect import Service
from gateway.http.exchange import Exchange, exchange
from meshkit import clock
from meshkit.errors import Invalid, from_rpc
from meshkit.verifier import Credentials

ACCESS_TTL_S = 86_400
"""What the contract prints as `expires_in`."""
COOKIE = "kasal_refresh_token"
_COOKIES = Credentials(bearer=False, cookies=(COOKIE,))
_FLAGS = {"": False, "false": False, "0": False, "true": True, "1": True}


class SignIn(pydantic.BaseModel):
    """What somebody signs in with."""

    email: str = pydantic.Field(min_length=1, max_length=320)
    password: str = pydantic.Field(min_length=1, max_length=1024, repr=False)


class RefreshToken(pydantic.BaseModel):
    """What new tokens are asked for with."""

    refresh_token: str | None = pydantic.Field(default=None, min_length=1, max_length=1024, repr=False)
    """May be left out where the cookie of the sign-in has it."""


class AuthServicer(pb_grpc.AuthServiceServicer):
    """Unpack, ask the auth service, show its tokens as Kasal does."""

    def __init__(self, peers: Peers) -> None:
        self._auth = peers.auth

    async def Login(self, request: pb.LoginRequest, context: Any) -> pb.SignedIn:
        """Return tokens for an e-mail address (or a login) and a password."""
        sent = bodies.parse_model(request.json_body, SignIn)
        asked = auth_pb2.LoginRequest(
            login=sent.email,
            password=sent.password,
            access_ttl_s=ACCESS_TTL_S,
            client=exchange().headers.get("user-agent", ""),
        )
        with from_rpc():
            tokens = await self._auth.Login(asked)
        _set_cookie(tokens)
        return _signed_in(tokens, ACCESS_TTL_S)

    async def Refresh(self, request: pb.RefreshRequest, context: Any) -> pb.SignedIn:
        """Return new tokens for a refresh token, which works once."""
        token = _sent_token(request)
        with from_rpc():
            tokens = await self._auth.RefreshTokens(auth_pb2.RefreshTokensRequest(refresh_token=token))
        _set_cookie(tokens)
        # A token ends at a whole second, so up to one second later than a day.
        return _signed_in(tokens, min(ACCESS_TTL_S, _seconds_until(tokens.expire_time)))

    async def Logout(self, request: pb.LogoutRequest, context: Any) -> empty_pb2.Empty:
        """End what the sign-in began, or all that the user holds."""
        everything = _FLAGS.get(request.all.lower())
        if everything is None:
            raise Invalid("all is no flag", {"all": ["send true or false"]})
        with from_rpc():
            await self._auth.Logout(auth_pb2.LogoutRequest(all=everything))
        call = exchange()
        call.add_header("set-cookie", f"{COOKIE}=; {_where(call)}; Max-Age=0")
        call.body = ""
        return empty_pb2.Empty()


def _sent_token(request: pb.RefreshRequest) -> str:
    """Return the refresh token of the body or, without one there, of the cookie.  Raises `Invalid`."""
    said = bodies.parse_model(request.json_body, RefreshToken) if request.json_body.data.strip() else RefreshToken()
    if said.refresh_token:
        return said.refresh_token
    token = _COOKIES.in_cookies(exchange().headers)
    if not token:
        raise Invalid("refresh_token is missing", {"refresh_token": ["send it, or the cookie that a sign-in sets"]})
    return token


def _set_cookie(tokens: auth_pb2.Tokens) -> None:
    """Let a browser keep the refresh token where no script reads it, for the base that it calls."""
    call = exchange()
    if call.is_rest:
        life = f"Max-Age={_seconds_until(tokens.refresh_expire_time)}"
        call.add_header("set-cookie", f"{COOKIE}={tokens.refresh_token}; {_where(call)}; {life}")


def _where(call: Exchange) -> str:
    base = "/api/v1" if call.path.startswith("/api/") else "/v1"
    secure = "; Secure" if call.base_url.startswith("https:") else ""
    return f"Path={base}/auth; SameSite=Strict; HttpOnly{secure}"


def _signed_in(tokens: auth_pb2.Tokens, expires_in: int) -> pb.SignedIn:
    return pb.SignedIn(
        access_token=tokens.access_token,
        token_type="bearer",
        expires_in=expires_in,
        refresh_token=tokens.refresh_token,
        refresh_expires_in=_seconds_until(tokens.refresh_expire_time),
    )


def _seconds_until(stamp: Any) -> int:
    return max(0, math.ceil(clock.seconds_of(stamp) - clock.now()))


SERVICE = Service(
    name="mesh.dialects.kasal.v1.AuthService",
    add=pb_grpc.add_AuthServiceServicer_to_server,
    servicer=AuthServicer,
)
