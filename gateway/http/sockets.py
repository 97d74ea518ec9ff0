"""What the web app answers for dialects: WebSockets and passages; who may come in, and when they must go.

Envoy passes the upgrade on for the paths that dialects list.  A caller is verified as for an RPC, by the credentials of
the dialect; a token in a cookie counts only on pages of this site, as browsers send it along from everybody's.  The
endpoint runs as that caller until it returns, the client hangs up, the token does not hold any more, or the gateway
stops.

What goes wrong before the WebSocket is accepted is answered in HTTP, in the dialect's shape; afterwards it is closed
with 4000 plus the HTTP status and a short reason.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import structlog
from agentmesh_protos.gateway.v1 import options_pb2
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from gateway.http.cookies import check_page
from gateway.http.dialect import Dialect, Dialects, Socket
from gateway.http.errors import http_status
from gateway.http.passages import METHODS, Passage, Passing, Streamed, client_of, passing_of, read, until
from gateway.http.refusals import refuse
from gateway.http.session import Session
from meshkit.access import check_access, user_of
from meshkit.errors import Internal, MeshError, NotFound, Unavailable
from meshkit.interceptors.held import held
from meshkit.interceptors.streams import Open
from meshkit.principal import Principal, acting
from meshkit.verifier import TokenVerifier

log = structlog.get_logger()
_NORMAL, _GOING_AWAY = 1000, 1001
_REASON_BYTES_MAX = 123
"""Of a close frame (RFC 6455 §5.5)."""
_FAREWELL_S = 2.0
"""How long sessions may take to end when the gateway stops: as long as RPCs, which end at the same time."""

_Endpoint = Callable[[Session], Awaitable[None]]


class Door:
    """Lets callers in, and out."""

    def __init__(
        self, dialects: Dialects, verifier: TokenVerifier, *, sandboxed: bool = True, sockets_max: int = 0
    ) -> None:
        """`sockets_max` is how many one user, or one address without a token, may have open; 0 for any number."""
        self._dialects = dialects
        self._open = Open(sockets_max, "WebSockets", "AGENTMESH_STREAMS_PER_OWNER")
        self._verifier = verifier
        self._stopping = asyncio.Event()
        self._cookies = frozenset(name for dialect in dialects.all for name in dialect.credentials.cookies)
        self._sandboxed = sandboxed
        self._sessions = 0
        self._empty = asyncio.Event()
        """Set while there are no sessions."""
        self._empty.set()
        self._until = 0.0
        """When nobody waits for sessions any more, once we stop (the loop's time)."""

    def stop(self) -> None:
        """End every session; their clients are told to come again."""
        self._until = asyncio.get_running_loop().time() + _FAREWELL_S
        self._stopping.set()

    async def emptied(self) -> None:
        """Wait, for a while after `stop`, until every client was told: a server that ends says 1012 to the others."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(self._until):
                await self._empty.wait()

    def routes(self, peers: Any) -> Sequence[BaseRoute]:
        """Return the routes of all sockets and passages.  `peers` are the mesh's stubs, for their endpoints."""
        known = [
            WebSocketRoute(socket.path, self._serve(dialect, socket, socket.endpoint(peers)))
            for dialect in self._dialects.all
            for socket in dialect.sockets
        ]
        passages: list[BaseRoute] = []
        for dialect in self._dialects.all:
            for through in dialect.passages:
                path, passage = f"{through.prefix}{{path:path}}", through.passage(peers)
                for each in (path, through.prefix.rstrip("/")):  # the edge drops a trailing slash
                    passages.append(Route(each, self._pass(dialect, passage), methods=list(METHODS)))
                passages.append(WebSocketRoute(path, self._pass_socket(dialect, passage)))
        return [*known, *passages, WebSocketRoute("/{path:path}", self._unknown)]

    # -- passages ------------------------------------------------------------------------------------------------

    def _pass(self, dialect: Dialect, passage: Passage) -> Callable[[Request], Awaitable[Response]]:
        async def serve(request: Request) -> Response:
            try:
                token = dialect.credentials.find(request.headers)
                principal = await user_of(token, self._verifier, optional=False)
                check_access(principal, options_pb2.ACCESS_USER)
                with acting(principal), held(self._verifier, principal):
                    answer = await passage.answer(self._passing(request, await read(request)))
            except MeshError as error:
                return refuse(request, error, self._dialects)
            if isinstance(answer, Streamed):
                answer.pieces = until(answer.pieces, lambda: self._barred(principal))
            return answer

        return serve

    def _pass_socket(self, dialect: Dialect, passage: Passage) -> Callable[[WebSocket], Awaitable[None]]:
        async def serve(websocket: WebSocket, principal: Principal) -> None:
            with acting(principal):
                ending = await self._first_of(
                    passage.converse(self._passing(websocket), websocket),
                    self._barred(principal),
                    path=websocket.url.path,
                )
            state = websocket.application_state
            if isinstance(ending, WebSocketDisconnect) or state == WebSocketState.DISCONNECTED:
                return
            if ending is not None and state == WebSocketState.CONNECTING:
                await self._refuse(websocket, ending)
                return
            await _close(websocket, ending, stopping=self._stopping.is_set())

        return self._admitting(dialect, options_pb2.ACCESS_USER, serve)

    def _passing(self, connection: HTTPConnection, body: bytes = b"") -> Passing:
        return passing_of(connection, body, self._cookies, sandboxed=self._sandboxed)

    async def _barred(self, principal: Principal) -> None:
        """Raise `Unauthenticated` when the caller's token does not hold any more, `Unavailable` when we stop."""
        tasks = [asyncio.ensure_future(wait) for wait in (self._verifier.until_barred(principal), self._stopped())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            done.pop().result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # -- sockets -------------------------------------------------------------------------------------------------

    def _serve(self, dialect: Dialect, socket: Socket, endpoint: _Endpoint) -> Callable[[WebSocket], Awaitable[None]]:
        async def serve(websocket: WebSocket, principal: Principal) -> None:
            session = Session(websocket, principal, self._verifier.verify)
            with acting(principal):
                ending = await self._until_ended(session, endpoint)
            if isinstance(ending, WebSocketDisconnect):
                return
            if ending is not None and not session.accepted:
                await self._refuse(websocket, ending)
                return
            await _close(websocket, ending, stopping=self._stopping.is_set())

        return self._admitting(dialect, socket.access, serve)

    def _admitting(
        self, dialect: Dialect, access: int, serve: Callable[[WebSocket, Principal], Awaitable[None]]
    ) -> Callable[[WebSocket], Awaitable[None]]:
        """Return what serves a WebSocket to who may have it, and has not too many already."""

        async def admit(websocket: WebSocket) -> None:
            with contextlib.ExitStack() as place:
                try:
                    principal = await self._principal(websocket, dialect, access)
                    place.enter_context(self._open.of(principal.user or client_of(websocket)))
                except MeshError as error:
                    await self._refuse(websocket, error)
                    return
                place.enter_context(self._inside())
                await serve(websocket, principal)

        return admit

    @contextlib.contextmanager
    def _inside(self) -> Iterator[None]:
        """Be a session for the length of the block, its farewell included."""
        self._sessions += 1
        self._empty.clear()
        try:
            yield
        finally:
            self._sessions -= 1
            if not self._sessions:
                self._empty.set()

    async def _principal(self, websocket: WebSocket, dialect: Dialect, access: int) -> Principal:
        token = dialect.credentials.in_headers(websocket.headers)
        if not token and (token := dialect.credentials.in_cookies(websocket.headers)):
            check_page(websocket.headers)
        principal = await user_of(token, self._verifier, optional=access == options_pb2.ACCESS_PUBLIC)
        check_access(principal, access)
        return principal

    async def _until_ended(self, session: Session, endpoint: _Endpoint) -> MeshError | WebSocketDisconnect | None:
        """Run the endpoint; return why the session ended, None if the endpoint was done."""
        return await self._first_of(
            endpoint(session),
            _hung_up(session),
            self._barred(session.principal),
            self._newcomer_barred(session),
            path=session.path,
        )

    async def _newcomer_barred(self, session: Session) -> None:
        """Raise `Unauthenticated` when the token of who signed in by a frame does not hold any more."""
        await session.signed_in.wait()
        await self._verifier.until_barred(session.principal)

    async def _first_of(self, *waits: Awaitable[None], path: str) -> MeshError | WebSocketDisconnect | None:
        """Wait for the first to end; return why, None if it was done."""
        running = [asyncio.ensure_future(wait) for wait in waits]
        try:
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            await next(task for task in running if task in done)
        except (MeshError, WebSocketDisconnect) as error:
            return error
        except Exception:
            log.exception("unhandled", path=path)
            return Internal("internal error")
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        return None

    async def _stopped(self) -> None:
        await self._stopping.wait()
        raise Unavailable("the gateway stops: connect again")

    async def _unknown(self, websocket: WebSocket) -> None:
        await self._refuse(websocket, NotFound("Not Found"))

    async def _refuse(self, websocket: WebSocket, error: MeshError) -> None:
        await websocket.send_denial_response(refuse(websocket, error, self._dialects))


async def _hung_up(session: Session) -> None:
    await session.read()
    raise WebSocketDisconnect


async def _close(websocket: WebSocket, error: MeshError | None, *, stopping: bool) -> None:
    code = _NORMAL if error is None else _GOING_AWAY if stopping else 4000 + http_status(error)
    reason = "" if error is None else str(error)
    with contextlib.suppress(WebSocketDisconnect):  # it was faster
        await websocket.close(code, reason.encode()[:_REASON_BYTES_MAX].decode(errors="ignore"))
