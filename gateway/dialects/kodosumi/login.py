"""Sign-in and sign-out of the kodosumi panel (panel API document, "Authentication")."""

from typing import Any
from urllib.parse import urlencode

import pydantic
from agentmesh_protos.auth.v1 import auth_pb2
from agentmesh_protos.dialects.kodosumi.v1 import auth_pb2 as pb
from agentmesh_protos.dialects.kodosumi.v1 import auth_pb2_grpc as pb_grpc
from google.protobuf import empty_pb2

from gateway.core.peers import Peers
from gateway.http import answers, bodies, cookies
from gateway.http.accept import prefers_html
from gateway.http.dialect import Service
from gateway.http.exchange import exchange
from meshkit.errors import Unauthenticated, from_rpc

_FAILED = "#failed"
"""Where the sign-in page says that it was not right."""


class Credentials(pydantic.BaseModel):
    """What somebody signs in with."""

    name: str = pydantic.Field(min_length=1, max_length=200)
    password: str = pydantic.Field(min_length=1, max_length=1024, repr=False)
    redirect: str = ""


class SignInServicer(pb_grpc.SignInServiceServicer):
    """Three ways in, one way out."""

    def __init__(self, peers: Peers) -> None:
        self._auth = peers.auth

    async def SubmitLogin(self, request: pb.SubmitLoginRequest, context: Any) -> pb.SignedIn:
        """POST /login, a form.  A browser whose user has mistyped is back at the form, which says so."""
        given = bodies.validate(bodies.parse_form(request.form_body), Credentials)
        try:
            return await self._sign_in(given)
        except Unauthenticated:
            if not prefers_html(exchange().headers.get("accept", "")):
                raise
            going = f"?{urlencode({'redirect': given.redirect})}" if given.redirect else ""
            answers.redirect(f"/{going}{_FAILED}")
            return pb.SignedIn()

    async def QueryLogin(self, request: pb.QueryLoginRequest, context: Any) -> pb.SignedIn:
        """GET /login, a query; no redirect."""
        given = {"name": request.name, "password": request.password}
        return await self._sign_in(bodies.validate({k: v for k, v in given.items() if v}, Credentials))

    async def PostLogin(self, request: pb.PostLoginRequest, context: Any) -> pb.SignedIn:
        """POST /api/login, JSON."""
        return await self._sign_in(bodies.parse_model(request.json_body, Credentials))

    async def _sign_in(self, credentials: Credentials) -> pb.SignedIn:
        if credentials.redirect:
            cookies.check_redirect(credentials.redirect)
        login = auth_pb2.LoginRequest(
            login=credentials.name,
            password=credentials.password,
            access_ttl_s=cookies.ACCESS_TTL_S,
            no_refresh=True,
            client=exchange().headers.get("user-agent", ""),
        )
        with from_rpc():
            tokens = await self._auth.Login(login)
        if credentials.redirect:
            answers.redirect(credentials.redirect)
        return signed_in(tokens)

    async def Logout(self, request: pb.LogoutRequest, context: Any) -> empty_pb2.Empty:
        """GET /logout: the token fails from now on, unlike the panel's."""
        return await self._sign_out(request.redirect)

    async def SubmitLogout(self, request: pb.SubmitLogoutRequest, context: Any) -> empty_pb2.Empty:
        """POST /logout."""
        form = bodies.parse_form(request.form_body) if request.form_body.data else {}
        return await self._sign_out(request.redirect or form.get("redirect", ""))

    async def _sign_out(self, redirect: str) -> empty_pb2.Empty:
        asked = exchange()
        if redirect:
            cookies.check_redirect(redirect)
        with from_rpc():
            await self._auth.Logout(auth_pb2.LogoutRequest())
        asked.add_header("set-cookie", cookies.DELETED)
        asked.body = ""
        if redirect:
            answers.redirect(redirect)
        return empty_pb2.Empty()


def signed_in(tokens: auth_pb2.Tokens) -> pb.SignedIn:
    """Return who signed in, and sign their browser in."""
    asked = exchange()
    asked.add_header("set-cookie", cookies.signed_in(tokens.access_token, asked.base_url))
    return pb.SignedIn(
        name=tokens.user.login,
        id=tokens.user.name.removeprefix("users/"),
        KODOSUMI_API_KEY=tokens.access_token,
    )


SERVICE = Service(
    name="mesh.dialects.kodosumi.v1.SignInService",
    add=pb_grpc.add_SignInServiceServicer_to_server,
    servicer=SignInServicer,
)
