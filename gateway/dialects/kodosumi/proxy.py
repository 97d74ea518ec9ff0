"""The way through to apps: `/-/…` (panel API document, "Retrieve Inputs Scheme" and "Launch").

The app's status, headers and body are passed on.  What would let the one pose as the other is not: credentials and
`x-kodosumi…` headers of the client, our cookie and control headers of the app.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

from google.api import httpbody_pb2
from mesh.dialects.kodosumi.v1 import flow_pb2 as pb
from mesh.dialects.kodosumi.v1 import flow_pb2_grpc as pb_grpc
from mesh.registry.v1 import registry_pb2
from mesh.runner.v1 import app_pb2

from gateway.core import values
from gateway.core.peers import Peers
from gateway.dialects.kodosumi import flow_urls
from gateway.http import bodies
from gateway.http.dialect import Service
from gateway.http.exchange import IDEMPOTENCY_KEY, Exchange, exchange
from meshkit.errors import Invalid, NotFound, Unavailable, from_rpc
from meshkit.principal import on_own_behalf
from meshkit.verifier import API_KEY_HEADER, COOKIE

TIMEOUT_S = 60.0
_HEADERS_BYTES_MAX = 16 * 1024
_HOP_BY_HOP = frozenset(
    (
        "connection",
        "content-length",
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
_OF_BODY = frozenset(("content-type", "content-encoding"))  # what was encoded has been decoded
_OURS = ("x-kodosumi", "x-mesh-", "x-envoy-", "x-http-", "x-forwarded-", "grpc-", ":")
_NAME = re.compile(r"[0-9a-z_.-]+")
_VALUE = re.compile(r"[ -~]*")


class ProxyServicer(pb_grpc.ProxyServiceServicer):
    """Turns the request back into HTTP, for the runner to give to the app's host."""

    def __init__(self, peers: Peers) -> None:
        self._apps = peers.apps
        self._exposes = peers.exposes

    async def ReadApp(self, request: pb.ReadAppRequest, context: Any) -> httpbody_pb2.HttpBody:
        """GET, HEAD and OPTIONS."""
        return await self._call(request.proxy_path, httpbody_pb2.HttpBody())

    async def WriteApp(self, request: pb.WriteAppRequest, context: Any) -> httpbody_pb2.HttpBody:
        """POST, PUT, PATCH and DELETE."""
        bodies.check_size(request.proxy_body)
        return await self._call(request.proxy_path, request.proxy_body)

    async def _call(self, proxy_path: str, body: httpbody_pb2.HttpBody) -> httpbody_pb2.HttpBody:
        asked = exchange()
        # The path as it was sent: the captured one has lost its trailing slash.
        expose, path = flow_urls.split(asked.path or f"/-/{proxy_path}")
        if not expose:
            raise NotFound(asked.path)
        call = app_pb2.CallAppRequest(
            name=f"apps/{expose}",
            method=asked.method,
            path=path,
            query=asked.query,
            headers=list(_request_headers(asked, body)),
            body=body.data,
            request_id=asked.idempotency_key,
            base_url=asked.base_url,
        )
        response = await self._answer(call)
        if elsewhere := _slash_redirect(path, response):
            call.path = elsewhere
            response = await self._answer(call)
        asked.status = response.status
        kind = ""
        for name, value in _response_headers(response.headers):
            if name == "content-type":
                kind = value
            else:
                asked.add_header(name, value)
        return httpbody_pb2.HttpBody(content_type=kind or "application/octet-stream", data=response.body)

    async def _answer(self, call: app_pb2.CallAppRequest) -> app_pb2.CallAppResponse:
        try:
            with values.fields(request_id=IDEMPOTENCY_KEY), from_rpc():
                response: app_pb2.CallAppResponse = await self._apps.CallApp(call, timeout=TIMEOUT_S)
        except (NotFound, Unavailable) as error:  # not running, or never heard of?
            expose = call.name.removeprefix("apps/")
            if not await self._is_known(expose):
                raise NotFound(exchange().path or call.path) from None  # as the panel words it
            if isinstance(error, Unavailable):
                raise
            raise Unavailable(f"the app of expose '{expose}' does not run: boot it first") from None
        return response

    async def _is_known(self, expose: str) -> bool:
        asked = registry_pb2.GetExposeRequest(name=f"exposes/{expose}")
        with on_own_behalf():  # users may not read exposes
            try:
                with from_rpc():
                    await self._exposes.GetExpose(asked)
            except (NotFound, Invalid):
                return False
        return True


def _request_headers(asked: Exchange, body: httpbody_pb2.HttpBody) -> Iterator[app_pb2.Header]:
    for name, value in asked.headers.items():
        if name in _HOP_BY_HOP or name in _CREDENTIALS or name in _OF_BODY or name.startswith(_OURS):
            continue
        yield app_pb2.Header(name=name, value=value)
    cookies = [part.strip() for part in asked.headers.get("cookie", "").split(";")]
    if others := "; ".join(part for part in cookies if part and part.partition("=")[0].strip() != COOKIE):
        yield app_pb2.Header(name="cookie", value=others)
    if host := urlsplit(asked.base_url).netloc:
        yield app_pb2.Header(name="host", value=host)
    if body.content_type:
        yield app_pb2.Header(name="content-type", value=body.content_type)
    if body.data:
        yield app_pb2.Header(name="content-length", value=str(len(body.data)))


def _response_headers(headers: Iterable[app_pb2.Header]) -> Iterator[tuple[str, str]]:
    size = 0
    for header in headers:
        name, value = header.name.lower(), header.value
        if name in _HOP_BY_HOP or name.startswith(_OURS) or name in ("server", "date", "user-agent"):
            continue
        if name == "set-cookie" and value.partition("=")[0].strip() == COOKIE:
            continue
        if name.endswith("-bin") or not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            continue  # gRPC cannot carry it
        size += len(name) + len(value)
        if size > _HEADERS_BYTES_MAX:
            return
        yield name, value


def _slash_redirect(path: str, response: app_pb2.CallAppResponse) -> str:
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
