"""The Starlette app, see the package."""

import contextlib
import dataclasses
import importlib.metadata
import importlib.resources
import platform
from collections.abc import AsyncIterator, Mapping

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from gateway.config import Config
from gateway.edge import contract
from gateway.edge.bootstrap import REQUEST_BYTES_MAX
from gateway.http.accept import prefers_html
from gateway.http.dialect import DIALECTS, Dialect, HttpError
from gateway.http.exchange import PATH_HEADER
from gateway.web.health import Health
from meshkit.errors import Internal, MeshError, NotFound, Unauthenticated
from meshkit.verifier import COOKIE

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


@dataclasses.dataclass(frozen=True, slots=True)
class _Asked:
    method: str
    target: str
    headers: Mapping[str, str]

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]


def create(config: Config) -> Starlette:
    """Return the app.  Its lifespan holds the channels that /health asks through."""
    health = Health(config)
    paths = contract.Paths(contract.services(contract.descriptors()))

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with health.connected():
            yield

    async def show_health(_: Request) -> Response:
        states = await health.states()
        serving = all(state == "SERVING" for state in states.values())
        body = {
            "status": "ok" if serving else "degraded",
            "version": importlib.metadata.version("agentmesh"),
            "python_version": platform.python_version(),
            "services": states,
        }
        return JSONResponse(body, status_code=200 if serving else 503)

    async def show_root(request: Request) -> Response:
        if COOKIE in request.cookies:  # a cookie that does not hold any more is deleted there, and leads back here
            return RedirectResponse("/admin/flow", status_code=302)
        if prefers_html(request.headers.get("accept", ""), request.query_params.get("format", "")):
            page = importlib.resources.files("gateway.web").joinpath("login.html").read_text("utf-8")
            return HTMLResponse(
                page, headers={"content-security-policy": "default-src 'self'; style-src 'unsafe-inline'"}
            )
        return refuse(request, Unauthenticated("Login required"))

    async def fall_back(request: Request) -> Response:
        await drain(request)
        return explain(request)

    def explain(request: Request) -> Response:
        allowed = ["GET"] if request.url.path in ("/", "/health") else paths.allowed(request.url.path)
        if not allowed:
            return refuse(request, NotFound("Not Found"))
        response = refuse(request, HttpError(405, f"Method Not Allowed: use {' or '.join(allowed)}"))
        response.headers["allow"] = ", ".join(allowed)
        return response

    async def refuse_method(request: Request, error: Exception) -> Response:
        return explain(request)

    async def fail(request: Request, error: Exception) -> Response:
        return refuse(request, Internal("internal error"))

    return Starlette(
        routes=[
            Route("/health", show_health, methods=["GET"]),
            Route("/", show_root, methods=["GET"]),
            Route("/{path:path}", fall_back, methods=_METHODS),
        ],
        lifespan=lifespan,
        exception_handlers={405: refuse_method, Exception: fail},
    )


async def drain(request: Request) -> None:
    """Read the body and forget it: a client that is cut off while it sends may not see the answer."""
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > REQUEST_BYTES_MAX:
            return


def refuse(request: Request, error: MeshError) -> Response:
    """Render an error as the dialect does whose path was asked for."""
    target = request.headers.get(PATH_HEADER) or request.url.path
    asked = _Asked(request.method, target, request.headers)
    rendered = dialect_of(asked.path).render(error, asked)
    return JSONResponse(dict(rendered.body), status_code=rendered.status, headers=dict(rendered.headers))


def dialect_of(path: str) -> Dialect:
    """Return the dialect with the longest prefix of `path`; the first one, if there is none."""
    matching = [
        (len(prefix), index)
        for index, dialect in enumerate(DIALECTS)
        for prefix in dialect.prefixes
        if path.startswith(prefix)
    ]
    return DIALECTS[max(matching)[1]] if matching else DIALECTS[0]
