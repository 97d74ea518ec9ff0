"""Passages: paths below which HTTP is passed on as it is, to what is not of the mesh but behind it.

What an app serves beside its flows is such: streams, WebSockets, headers of any kind.  No annotation of a contract
could say that, so the edge sends these paths here.  A caller is verified as for an RPC; an open answer ends when the
token does not hold any more.
"""

import asyncio
import dataclasses
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import structlog
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from gateway.edge.limits import BODY_BYTES_MAX
from gateway.http import bodies, encodings
from gateway.http.exchange import BASE_URL_HEADER, PATH_HEADER
from meshkit.errors import MeshError
from meshkit.idempotency import KEY_HEADER
from meshkit.verifier import MESH

log = structlog.get_logger()
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Passing:
    """A request that is passed on, as its client sent it."""

    method: str
    target: str
    """Path and query."""
    lines: Sequence[tuple[str, str]]
    """Headers in order, names in lower case; those of one name are several."""
    headers: Mapping[str, str]
    """Headers by name."""
    body: bytes = b""
    ours: frozenset[str] = frozenset(MESH.cookies)
    """Cookies of the mesh, which are not passed on, neither way."""
    sandboxed: bool = True
    """Whether a page that comes back has an origin of its own."""

    @property
    def path(self) -> str:
        """As it was sent."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """As it was sent, without the `?`."""
        return self.target.partition("?")[2]

    @property
    def base_url(self) -> str:
        """The address the client used."""
        return self.headers.get(BASE_URL_HEADER, "")

    @property
    def client(self) -> str:
        """The address of the client, as the edge saw it."""
        return _last(self.headers)

    @property
    def idempotency_key(self) -> str:
        """The client's `Idempotency-Key`; empty for none."""
        return self.headers.get(KEY_HEADER.lower(), "")


class Passage(Protocol):
    """Who answers below a path.  Both raise `MeshError` for what is to be said in the dialect's shape."""

    async def answer(self, passing: Passing) -> Response:
        """Return the answer to a request."""

    async def converse(self, passing: Passing, websocket: WebSocket) -> None:
        """Serve a WebSocket that was asked for; what is raised before it is accepted is answered in HTTP."""


def passing_of(connection: HTTPConnection, body: bytes, ours: frozenset[str], *, sandboxed: bool) -> Passing:
    """Return what a client has sent; `ours` and `sandboxed` as in `Passing`."""
    sent = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in connection.headers.raw]
    lines = [line for line in sent if line[0] != encodings.HEADER]  # what was encoded has been decoded
    return Passing(
        method=connection.scope.get("method", "GET"),
        target=connection.headers.get(PATH_HEADER) or connection.url.path,
        lines=lines,
        headers=dict(lines),
        body=body,
        ours=ours,
        sandboxed=sandboxed,
    )


def client_of(connection: HTTPConnection) -> str:
    """Return the address of a client, as the edge saw it; empty without an edge."""
    return _last(connection.headers)


def _last(headers: Mapping[str, str]) -> str:
    return headers.get("x-forwarded-for", "").rpartition(",")[2].strip()


async def read(request: Request) -> bytes:
    """Return a request's body, decoded.  Raises `HttpError` 413 if it is too large, and as `encodings.decoded` does."""
    body = await received(request, BODY_BYTES_MAX, bodies.too_large())
    return encodings.decoded(body, request.headers.get(encodings.HEADER, ""))


async def received(request: Request, bytes_max: int, too_large: Exception) -> bytes:
    """Return a request's body as it was sent.  Raises `too_large` if it is longer than that."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > bytes_max:
            raise too_large
    return bytes(body)


class Streamed(Response):
    """An answer whose body comes from `pieces`, which are closed when the client hangs up.

    It breaks off, as an answer that is not whole must, if `pieces` raises a `MeshError`.
    """

    def __init__(self, status: int, headers: Sequence[tuple[str, str]], pieces: AsyncGenerator[bytes, None]) -> None:
        self.status_code = status
        self.raw_headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        self.background = None
        self.pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        sending = asyncio.ensure_future(self._send(send))
        gone = asyncio.ensure_future(_hung_up(receive))
        try:
            await asyncio.wait((sending, gone), return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        finally:
            for task in (sending, gone):
                task.cancel()
            await asyncio.gather(sending, gone, return_exceptions=True)
            await self.pieces.aclose()

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            async for piece in self.pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        except MeshError as error:
            log.info("broken off", error=str(error))
            return  # without the last piece: uvicorn closes the connection
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def until(
    pieces: AsyncGenerator[bytes, None], ending: Callable[[], Awaitable[None]]
) -> AsyncGenerator[bytes, None]:
    """Yield `pieces` until `ending` returns or raises, and raise what it raises."""
    over = asyncio.ensure_future(ending())
    reading: asyncio.Future[bytes] | None = None
    try:
        while True:
            reading = asyncio.ensure_future(anext(pieces))
            await asyncio.wait((reading, over), return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                over.result()
                return
            try:
                piece = reading.result()
            except StopAsyncIteration:
                return
            yield piece
    finally:
        for task in (reading, over):
            if task is not None:
                task.cancel()
        await asyncio.gather(*(task for task in (reading, over) if task is not None), return_exceptions=True)
        await pieces.aclose()
