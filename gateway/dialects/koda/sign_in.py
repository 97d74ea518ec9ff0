"""The session of an operator, in a cookie that other sites cannot use."""

from typing import Any

import pydantic
from agentmesh_protos.auth.v1 import auth_pb2
from agentmesh_protos.dialects.koda.v1 import sign_in_pb2 as pb
from agentmesh_protos.dialects.koda.v1 import sign_in_pb2_grpc as pb_grpc
from google.api import httpbody_pb2

from gateway.core.peers import Peers
from gateway.dialects.koda.errors import CODE
from gateway.dialects.koda.keys import COOKIE, CREDENTIALS
from gateway.dialects.koda.views import moment
from gateway.http import bodies
from gateway.http.answers import json_answer
from gateway.http.dialect import Service
from gateway.http.exchange import exchange
from meshkit.errors import Unauthenticated, from_rpc
from meshkit.principal import caller

_SESSION_S = 8 * 3600
_FLAGS = "Path=/; SameSite=Strict; HttpOnly"


class LoginBody(pydantic.BaseModel):
    """What somebody signs in with."""

    identifier: str = pydantic.Field(min_length=1, max_length=200)
    password: str = pydantic.Field(min_length=1, max_length=1024, repr=False)


class SignInServicer(pb_grpc.SignInServiceServicer):
    """Unpack, ask the auth service, set the cookie."""

    def __init__(self, peers: Peers) -> None:
        self._auth = peers.auth
        self._users = peers.users

    async def Login(self, request: pb.LoginRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Start a session."""
        body = bodies.parse_model(request.json_body, LoginBody)
        call = exchange()
        asked = auth_pb2.LoginRequest(
            login=body.identifier,
            password=body.password,
            access_ttl_s=_SESSION_S,
            no_refresh=True,
            client=call.headers.get("user-agent", ""),
        )
        try:
            with from_rpc():
                tokens = await self._auth.Login(asked)
        except Unauthenticated:
            raise Unauthenticated("identifier or password is not right", **{CODE: "auth.invalid_credentials"}) from None
        secure = "; Secure" if call.base_url.startswith("https:") else ""
        call.add_header("set-cookie", f"{COOKIE}={tokens.access_token}; {_FLAGS}; Max-Age={_SESSION_S}{secure}")
        auth = {"kind": "session", "cookie": COOKIE, "expires_at": moment(tokens.expire_time)}
        return json_answer(
            {"ok": True, "operator": _operator(tokens.user), "session_token": tokens.access_token, "auth": auth}
        )

    async def Logout(self, request: pb.LogoutRequest, context: Any) -> httpbody_pb2.HttpBody:
        """End the caller's session; who sent one of the operator's secrets has none."""
        if CREDENTIALS.find(exchange().headers) == caller().token:
            with from_rpc():
                await self._auth.Logout(auth_pb2.LogoutRequest())
        exchange().add_header("set-cookie", f"{COOKIE}=; {_FLAGS}; Max-Age=0")
        return json_answer({"ok": True})

    async def GetStatus(self, request: pb.GetStatusRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Return who is signed in."""
        with from_rpc():
            user = await self._users.GetSelf(auth_pb2.GetSelfRequest())
        return json_answer({"authenticated": True, "operator": _operator(user)})


def _operator(user: auth_pb2.User) -> dict[str, Any]:
    return {
        "id": user.name.removeprefix("users/"),
        "username": user.login,
        "email": user.email,
        "role": "operator" if user.operator else "user",
    }


SERVICE = Service(
    name="mesh.dialects.koda.v1.SignInService",
    add=pb_grpc.add_SignInServiceServicer_to_server,
    servicer=SignInServicer,
)
