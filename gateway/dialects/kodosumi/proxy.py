"""The way through to apps: `/-/…` (panel API document, "Retrieve Inputs Scheme" and "Launch").

The app's status, headers and body are passed on as they come, and WebSockets both ways.  What would let the one pose as
the other is not: credentials and `x-kodosumi…` headers of the client, and of the app what speaks for the whole site
(`gateway.http.untrusted`).
"""

import contextlib
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

from agentmesh_protos.dialects.kodosumi.v1 import flow_pb2 as pb
from agentmesh_protos.dialects.kodosumi.v1 import flow_pb2_grpc as pb_grpc
from agentmesh_protos.registry.v1 import registry_pb2
from agentmesh_protos.runner.v1 import app_pb2
from google.api import httpbody_pb2
from starlette.responses import Response
from starlette.websockets import WebSocket

from gateway.core.apptalk import AppTalk
from gateway.core.catalogue import Catalogue
from gateway.core.launch import Place
from gateway.core.peers import Peers
from gateway.dialects.kodosumi import flow_urls
from gateway.dialects.kodosumi.declared import DeclaredLaunches
from gateway.edge.limits import BODY_BYTES_MAX
from gateway.http import bodies, untrusted
from gateway.http.dialect import Service
from gateway.http.errors import HttpError
from gateway.http.exchange import exchange
from gateway.http.passages import Passing, Streamed
from gateway.http.repeats import in_our_words
from meshkit.errors import Invalid, NotFound, Unavailable, from_rpc
from meshkit.principal import on_own_behalf
from meshkit.verifier import API_KEY_HEADER

TIMEOUT_S = 60.0
_HOP_BY_HOP = frozenset(
    (
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
_CREDENTIALS = frozenset(("authorization", API_KEY_HEADER, "cookie"))
_OURS = ("x-kodosumi", "x-mesh-", "x-envoy-", "x-http-", "x-forwarded-", "grpc-", ":")
_ASCII = re.compile(r"[ -~]*")
_PROTOCOL = "sec-websocket-protocol"


class ProxyServicer(pb_grpc.ProxyServiceServicer):
    """For callers by gRPC: answers as a whole."""

    def __init__(self, peers: Peers) -> None:
        self._apps = Apps(peers)

    async def ReadApp(self, request: pb.ReadAppRequest, context: Any) -> httpbody_pb2.HttpBody:
        """GET, HEAD and OPTIONS."""
        return await self._call(request.proxy_path, httpbody_pb2.HttpBody())

    async def WriteApp(self, request: pb.WriteAppRequest, context: Any) -> httpbody_pb2.HttpBody:
        """POST, PUT, PATCH and DELETE."""
        bodies.check_size(request.proxy_body)
        return await self._call(request.proxy_path, request.proxy_body)

    async def _call(self, proxy_path: str, body: httpbody_pb2.HttpBody) -> httpbody_pb2.HttpBody:
        asked = exchange()
        kind = [("content-type", body.content_type)] if body.content_type else []
        lines = [line for line in asked.headers.items() if line[0] != "content-type"]
        passing = Passing(
            method=asked.method,
            target=asked.target or f"/-/{proxy_path}",
            lines=[*lines, *kind],
            headers=asked.headers,
            body=body.data,
        )
        response = await self._apps.whole(passing)
        asked.status = untrusted.status(response.status)
        content_type = ""
        for name, value in _response_headers(response.headers, passing):
            if name == "content-type":
                content_type = value
            elif name != "content-length" and not name.endswith("-bin") and _ASCII.fullmatch(value):
                asked.add_header(name, value)  # others gRPC cannot carry
        return httpbody_pb2.HttpBody(content_type=content_type or "application/octet-stream", data=response.body)


class Apps:
    """The passage to apps.

    What would only launch a flow that declares its inputs does not go there: the runner starts its job.
    """

    def __init__(self, peers: Peers) -> None:
        self._apps = peers.apps
        self._exposes = peers.exposes
        self._catalogue = Catalogue(peers)
        self._launches = DeclaredLaunches(peers)

    async def answer(self, passing: Passing) -> Response:
        """Return the app's answer as it comes; one that is asked for with an `Idempotency-Key`, as a whole."""
        if (launched := await self._launched(passing)) is not None:
            return _as_response(launched, passing)
        if passing.idempotency_key:
            return _as_response(await self._asked(passing), passing)
        call = _call_of(passing)
        talk = await self._talk(call, passing.path)
        if elsewhere := _slash_redirect(call.path, talk.head):
            talk.hang_up()
            call.path = elsewhere
            talk = await self._talk(call, passing.path)
        try:
            status = untrusted.status(talk.head.status)
            headers = _response_headers(talk.head.headers, passing)
        except HttpError:
            talk.hang_up()
            raise
        return Streamed(status, headers, talk.pieces())

    async def converse(self, passing: Passing, websocket: WebSocket) -> None:
        """Connect a WebSocket with the app, which may refuse it."""
        talk = await self._talk(_call_of(passing), passing.path, socket=True)
        try:
            headers = _response_headers(talk.head.headers, passing)
            opened = talk.head.status == untrusted.SWITCHING
            status = talk.head.status if opened else untrusted.status(talk.head.status)
        except HttpError:
            talk.hang_up()
            raise
        if not opened:
            refusal = Response(await _bounded(talk.pieces()), status)
            refusal.raw_headers = _encoded(headers)
            await websocket.send_denial_response(refusal)
            return
        protocol = next((value for name, value in headers if name == _PROTOCOL), None)
        await websocket.accept(protocol, _encoded(line for line in headers if line[0] != _PROTOCOL))
        await talk.connect(websocket)

    async def whole(self, passing: Passing) -> app_pb2.CallAppResponse:
        """Return the app's whole answer."""
        launched = await self._launched(passing)
        return launched if launched is not None else await self._asked(passing)

    async def _launched(self, passing: Passing) -> app_pb2.CallAppResponse | None:
        """Return the answer to a launch of a flow that declares its inputs; None if this is none."""
        expose, path = flow_urls.split(passing.path)
        if passing.method != "POST" or not expose:
            return None
        flow = await self._catalogue.declared(Place(expose, path).flow)
        if flow is None:
            return None
        body = httpbody_pb2.HttpBody(content_type=passing.headers.get("content-type", ""), data=passing.body)
        try:
            return await self._launches.take(flow, body, passing.base_url, passing.idempotency_key)
        except Invalid as error:
            raise in_our_words(error, passing.idempotency_key) from error

    async def _asked(self, passing: Passing) -> app_pb2.CallAppResponse:
        call = _call_of(passing)
        response = await self._whole(call, passing.path)
        if elsewhere := _slash_redirect(call.path, response):
            call.path = elsewhere
            response = await self._whole(call, passing.path)
        return response

    async def _whole(self, call: app_pb2.CallAppRequest, path: str) -> app_pb2.CallAppResponse:
        async with self._explained(call, path):
            response: app_pb2.CallAppResponse = await self._apps.CallApp(call, timeout=TIMEOUT_S)
        return response

    async def _talk(self, call: app_pb2.CallAppRequest, path: str, *, socket: bool = False) -> AppTalk:
        async with self._explained(call, path):
            return await AppTalk.begin(self._apps, app_pb2.StreamAppRequest(call=call, socket=socket), TIMEOUT_S)

    @contextlib.asynccontextmanager
    async def _explained(self, call: app_pb2.CallAppRequest, path: str) -> AsyncIterator[None]:
        """Around a call for `path`: say whether an app does not run, launched what may not, or was never heard of."""
        try:
            with from_rpc():
                yield
        except Invalid as error:
            raise in_our_words(error, call.request_id) from error
        except (NotFound, Unavailable) as error:  # not running, or never heard of?
            if error.metadata.get("resource", call.name) != call.name:
                raise  # the app runs: a flow that it launched may not
            expose = call.name.removeprefix("apps/")
            if not await self._is_known(expose):
                raise NotFound(path) from None  # as the panel words it
            if isinstance(error, Unavailable):
                raise
            raise Unavailable(f"the app of expose '{expose}' does not run: boot it first") from None

    async def _is_known(self, expose: str) -> bool:
        asked = registry_pb2.GetExposeRequest(name=f"exposes/{expose}")
        with on_own_behalf():  # users may not read exposes
            try:
                with from_rpc():
                    await self._exposes.GetExpose(asked)
            except (NotFound, Invalid):
                return False
        return True


def _call_of(passing: Passing) -> app_pb2.CallAppRequest:
    """Return what is asked of which app.  Raises `NotFound` for a path without one."""
    # The path as it was sent: the one that was routed has lost its trailing slash.
    expose, path = flow_urls.split(passing.path)
    if not expose:
        raise NotFound(passing.path)
    return app_pb2.CallAppRequest(
        name=f"apps/{expose}",
        method=passing.method,
        path=path,
        query=passing.query,
        headers=list(_request_headers(passing)),
        body=passing.body,
        request_id=passing.idempotency_key,
        base_url=passing.base_url,
        client=passing.client,
    )


def _as_response(answer: app_pb2.CallAppResponse, passing: Passing) -> Response:
    response = Response(answer.body, untrusted.status(answer.status))
    response.raw_headers = _encoded(_response_headers(answer.headers, passing))
    return response


async def _bounded(pieces: AsyncGenerator[bytes, None]) -> bytes:
    """Return a body as a whole.  Raises `HttpError` 502 if it is too large to be one."""
    body = bytearray()
    async with contextlib.aclosing(pieces):
        async for piece in pieces:
            body += piece
            if len(body) > BODY_BYTES_MAX:
                raise HttpError(502, f"the app answered with more than {BODY_BYTES_MAX} bytes")
    return bytes(body)


def _encoded(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]


def _request_headers(passing: Passing) -> Iterator[app_pb2.Header]:
    for name, value in passing.lines:
        if name in _HOP_BY_HOP or name in _CREDENTIALS or name in ("host", "content-length") or name.startswith(_OURS):
            continue
        yield app_pb2.Header(name=name, value=value)
    sent = ";".join(value for name, value in passing.lines if name == "cookie")
    cookies = [part.strip() for part in sent.split(";")]
    if others := "; ".join(part for part in cookies if part and part.partition("=")[0].strip() not in passing.ours):
        yield app_pb2.Header(name="cookie", value=others)
    if host := urlsplit(passing.base_url).netloc:
        yield app_pb2.Header(name="host", value=host)
    if passing.body:
        yield app_pb2.Header(name="content-length", value=str(len(passing.body)))


def _response_headers(headers: Iterable[app_pb2.Header], passing: Passing) -> list[tuple[str, str]]:
    """Return what of an app's headers is passed on.  Raises as `untrusted.headers` does."""
    sent = ((header.name, header.value) for header in headers)
    url = f"{passing.base_url}{passing.target}"
    return untrusted.headers(sent, cookies=passing.ours, url=url, sandboxed=passing.sandboxed)


def _slash_redirect(path: str, response: app_pb2.CallAppResponse | app_pb2.AppHead) -> str:
    """Return the path to ask instead, if the app only minds the trailing slash; else an empty string.

    Clients add and drop that slash as they like, and the edge takes no notice: passed on, the redirect could go round.
    """
    if response.status not in (307, 308):
        return ""
    location = next((header.value for header in response.headers if header.name.lower() == "location"), "")
    other = path.rstrip("/") if path.endswith("/") else f"{path}/"
    return other if unquote(urlsplit(location).path) == other else ""


SERVICE = Service(
    name="mesh.dialects.kodosumi.v1.ProxyService",
    add=pb_grpc.add_ProxyServiceServicer_to_server,
    servicer=ProxyServicer,
)
