"""The Starlette app, see the package."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable, Iterable, Sequence

import grpc
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Match, Route

from gateway.config import Config
from gateway.edge import contract
from gateway.edge.envoy import fetch_jwks
from gateway.edge.filters import JWKS_PATH
from gateway.edge.limits import REQUEST_BYTES_MAX
from gateway.http import bodies
from gateway.http.accept import prefers_html
from gateway.http.cookies import check_redirect
from gateway.http.dialect import Dialects
from gateway.http.errors import HttpError
from gateway.http.refusals import refuse
from gateway.web import panel, reference
from gateway.web.health import Health
from gateway.web.metrics import CONTENT_TYPE, Metrics
from meshkit.errors import Internal, Invalid, MeshError, NotFound, Unauthenticated, Unavailable
from meshkit.verifier import COOKIE, TokenVerifier

_DRAIN_S = 1.0
"""How long a client may go on sending what nobody wants before it is answered."""
_KEYS_S = 4.0
"""How long the auth service may take to say its keys."""
_PAGES = re.compile(rf"/|/health|/metrics|/favicon\.ico|{re.escape(JWKS_PATH)}|{reference.PATHS}")


def create(
    config: Config,
    dialects: Dialects,
    services: Iterable[contract.Service],
    sockets: Sequence[BaseRoute] = (),
    verifier: TokenVerifier | None = None,
    pages: Callable[[Health, Metrics | None], Sequence[BaseRoute]] = lambda *_: (),
) -> Starlette:
    """Return the app.  Its lifespan holds the channels that /health and /metrics ask through.

    `sockets` are its WebSockets and calls, `pages` makes the panel's; without a `verifier` nobody reads metrics.
    """
    health = Health(config)
    metrics = Metrics(config, verifier) if verifier is not None else None
    fallback = Fallback(dialects, services)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with health.connected(), metrics.connected() if metrics is not None else contextlib.nullcontext():
            yield

    async def show_metrics(request: Request) -> Response:
        try:
            if metrics is None:
                raise NotFound("Not Found")
            text = await metrics.read(request.headers.get("authorization", ""))
        except MeshError as error:
            return refuse(request, error, dialects)
        return Response(text, headers={"content-type": CONTENT_TYPE})

    async def show_health(_: Request) -> Response:
        serving, body = await health.report()
        return JSONResponse(body, status_code=200 if serving else 503)

    async def show_keys(request: Request) -> Response:
        try:
            keys = await fetch_jwks(config.peer("auth"), _KEYS_S, wait=False)  # Envoy asks again
        except grpc.aio.AioRpcError:
            return refuse(request, Unavailable("the auth service does not answer: try again in a moment"), dialects)
        return Response(keys, media_type="application/json")

    async def show_root(request: Request) -> Response:
        is_person = prefers_html(request.headers.get("accept", ""), request.query_params.get("format", ""))
        if COOKIE in request.cookies:  # a cookie that does not hold any more is deleted there, and leads back here
            return RedirectResponse(_wanted(request) if is_person else "/admin/flow", status_code=302)
        if is_person:
            return panel.sign_in_page(request, _wanted(request))
        return refuse(request, Unauthenticated("Login required"), dialects)

    return Starlette(
        routes=[
            *sockets,  # first, as the calls among them are many: each route in front is looked at
            Route("/favicon.ico", lambda _: Response(status_code=204), methods=["GET"]),
            Route("/health", show_health, methods=["GET"]),
            Route("/metrics", show_metrics, methods=["GET"]),
            Route("/", show_root, methods=["GET"]),
            Route(JWKS_PATH, show_keys, methods=["GET"]),
            *reference.routes(dialects),
            *pages(health, metrics),
        ],
        lifespan=lifespan,
        exception_handlers={404: fallback.refuse, 405: fallback.refuse, Exception: fallback.fail},
    )


def _wanted(request: Request) -> str:
    """Return where somebody was going who had to sign in first; what is no path of ours counts as nothing."""
    try:
        return check_redirect(request.query_params.get("redirect") or panel.HOME)
    except Invalid:
        return panel.HOME


class Fallback:
    """Answers what nobody else does, and says why."""

    def __init__(self, dialects: Dialects, services: Iterable[contract.Service]) -> None:
        self._dialects = dialects
        services = list(services)
        self._paths = contract.Paths(services)
        self._documents = {path for dialect in dialects.all for path in dialect.document_paths}
        self._sockets = [
            re.compile(contract.pattern(path)) for dialect in dialects.all for path in dialect.socket_paths
        ]

    async def refuse(self, request: Request, error: Exception) -> Response:
        """Read the request to its end if that is near, and say that there is no such page, or no such method of it."""
        await _drain(request)
        return self._explain(request, error)

    async def fail(self, request: Request, error: Exception) -> Response:
        """Say that it is ours to mend; Starlette has logged what."""
        return self._say(request, Internal("internal error"))

    def _say(self, request: Request, error: MeshError) -> Response:
        """Answer a person with a page, a program in the shape of the dialect."""
        if request.method == "GET" and prefers_html(request.headers.get("accept", "")):
            return panel.error_page(request, error)
        return refuse(request, error, self._dialects)

    def _explain(self, request: Request, error: Exception) -> Response:
        path = request.url.path
        is_page = path in self._documents or _PAGES.fullmatch(path) is not None
        allowed = ["GET"] if is_page else self._paths.allowed(path)
        if not allowed and isinstance(error, HTTPException) and error.status_code == 405:
            allowed = sorted(_methods(request) - {"HEAD"})
        if not allowed and any(pattern.fullmatch(path) for pattern in self._sockets):
            return refuse(request, HttpError(426, "Upgrade Required: open a WebSocket here"), self._dialects)
        if not allowed:
            return self._say(request, NotFound("Not Found"))
        if request.method in allowed:  # the edge sends such a one here only if its body is too large (`edge/routes.py`)
            return refuse(request, bodies.too_large(), self._dialects)
        return self._wrong_method(request, allowed)

    def _wrong_method(self, request: Request, allowed: Sequence[str]) -> Response:
        error = HttpError(405, f"Method Not Allowed: use {' or '.join(allowed)}")
        response = self._say(request, error)
        heads = ["HEAD"] if "GET" in allowed else []  # `edge.lua` answers it wherever GET is answered
        response.headers["allow"] = ", ".join(sorted({*allowed, *heads}))
        return response


def _methods(request: Request) -> set[str]:
    """Return the methods of all routes that a request's path has."""
    return {
        method
        for route in request.app.routes
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE
        for method in route.methods or ()
    }


async def _drain(request: Request) -> None:
    """Read the body and forget it, for a moment: a client that is cut off while it sends may not see the answer."""
    size = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_DRAIN_S):
            async for chunk in request.stream():
                size += len(chunk)
                if size > REQUEST_BYTES_MAX:
                    return
