"""Serves an app's ASGI interface in memory, as an ASGI server does: requests, WebSockets, start-up and shutdown.

A client and an app exchange *parts* (`mesh.runner.v1.AppPart`), whoever the client is.  Source: the ASGI specification
3.0, with HTTP and WebSocket 2.3 and its extension "WebSocket Denial Response".
"""

import asyncio
import contextlib
import dataclasses
import json
import sys
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any
from urllib.parse import quote, urlsplit

from mesh.runner.v1 import app_pb2

from agentmesh.errors import describe
from agentmesh.loading import Asgi

# What only the mesh may say to an app: who calls, at which address, and what was noted for the job.
_RESERVED = ("x-kodosumi_user", "x-kodosumi_base", "x-kodosumi-url", "x-kodosumi_extra")
RESPONSE_BYTES_MAX = 8 * 1024 * 1024
"""Of an answer that is wanted as a whole."""
WINDOW_BYTES = 256 * 1024
"""How much may be on its way that the client has not taken."""
SOCKET_BYTES_MAX = 4 * 1024 * 1024
"""Of a message that an app sends through a WebSocket."""
_PIECE_BYTES = 64 * 1024
_SHUTDOWN_S = 1.0
_WITHOUT_BODY = (204, 205, 304)
_NORMAL, _NO_STATUS, _ERROR = 1000, 1005, 1011
"""Of a WebSocket's close (RFC 6455, section 7.4.1)."""

Part = app_pb2.AppPart
Put = Callable[[Part], Awaitable[None]]
"""Sends a part to the client."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """On whose behalf an app is asked."""

    user: str
    """`users/{uuid}`."""
    base_url: str
    """The address at which people reach the mesh."""
    expose: str
    extra_json: str = ""
    """What was noted for jobs: a JSON object, or empty."""
    client: str = ""
    """The address of who asks; empty if it is not known."""

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The headers that tell the app.  Raises `ValueError` if `extra_json` is not JSON."""
        said = [
            (b"x-kodosumi_user", self.user.removeprefix("users/").encode()),
            (b"x-kodosumi_base", f"{self.base_url}/-/{self.expose}".encode()),
            (b"x-kodosumi-url", self.base_url.encode()),
        ]
        if self.extra_json:
            extra = json.dumps(json.loads(self.extra_json))  # escaped: a header holds ASCII
            said.append((b"x-kodosumi_extra", extra.encode()))
        return said


@dataclasses.dataclass(slots=True)
class Response:
    """What an app answered."""

    status: int = 0
    """0 until it has begun to answer."""
    headers: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    """Names in lower case."""
    body: bytes = b""


def scope(
    asker: Asker,
    method: str,
    path: str,
    query: str = "",
    headers: Iterable[app_pb2.Header] = (),
    state: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the ASGI scope of a request; what a caller says in the mesh's own headers is dropped.

    `state` is what the app's start-up has left.  Raises `ValueError` if the asker's `extra_json` is not JSON.
    """
    said = [(h.name.lower().encode("latin-1", "replace"), h.value.encode("latin-1", "replace")) for h in headers]
    address = urlsplit(asker.base_url)
    port = address.port or (443 if address.scheme == "https" else 80)
    found = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": address.scheme or "http",
        "path": path,
        "raw_path": quote(path, safe="/~!$&'()*+,;=:@").encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [pair for pair in said if pair[0].decode("latin-1") not in _RESERVED] + asker.headers,
        "client": (asker.client, 0) if asker.client else None,
        "server": (address.hostname, port) if address.hostname else None,
    }
    return found if state is None else {**found, "state": state.copy()}


def socket_scope(http: dict[str, Any]) -> dict[str, Any]:
    """Return the scope of a WebSocket that is opened with the request of an HTTP scope."""
    asked = [value.decode("latin-1") for name, value in http["headers"] if name == b"sec-websocket-protocol"]
    found = {key: value for key, value in http.items() if key != "method"}
    return {
        **found,
        "type": "websocket",
        "scheme": "wss" if http["scheme"] == "https" else "ws",
        "subprotocols": [name.strip() for line in asked for name in line.split(",") if name.strip()],
        "extensions": {"websocket.http.response": {}},
    }


class Connection:
    """One client, connected to an app.  `hear` takes what it says, `put` gets what the app says."""

    def __init__(self, scope: dict[str, Any], put: Put) -> None:
        self.begun = asyncio.Event()
        """Set when the app has begun to answer, or has ended."""
        self.ended = asyncio.Event()
        """Set when the app has said all, or the client has gone."""
        self.error: BaseException | None = None
        """What the app raised before it had said all."""
        self._scope = scope
        self._put = put
        self._head: app_pb2.AppHead | None = None
        self._untaken_bytes = 0
        self._room = asyncio.Event()
        self._room.set()

    async def run(self, asgi: Asgi) -> None:
        """Run the app until it returns, which may be after it has said all."""
        try:
            await asgi(self._scope, self._receive, self._send)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # an app may even call sys.exit: this request alone fails
            if not isinstance(error, Exception) or not self.ended.is_set() or not _is_hang_up(error):
                traceback.print_exc(file=sys.stderr)
            if not self.ended.is_set():
                self.error = error
                await self._fail(describe(error))
        else:
            if not self.ended.is_set():
                await self._return()

    def hear(self, part: Part) -> None:
        """Take what the client says."""
        match part.WhichOneof("part"):
            case "taken_bytes":
                self._untaken_bytes -= part.taken_bytes
                if self._untaken_bytes < WINDOW_BYTES:
                    self._room.set()
            case "close":
                self._hang_up(part.close)

    def _hang_up(self, close: app_pb2.AppClose) -> None:
        self.ended.set()
        self.begun.set()
        self._room.set()

    async def _receive(self) -> dict[str, Any]:
        raise NotImplementedError

    async def _send(self, message: Any) -> None:
        raise NotImplementedError

    async def _fail(self, error: str) -> None:
        """Say that the app has raised."""
        await self._close(error=error)

    async def _return(self) -> None:
        """Say that the app has returned before it had said all."""
        await self._close(error="the app ended its answer half-way" if self._head else "the app did not answer")

    def _note_head(self, status: int, headers: Iterable[Any]) -> None:
        self._head = app_pb2.AppHead(status=int(status))
        for name, value in headers:
            name = bytes(name).decode("latin-1").lower()
            self._head.headers.add(name=name, value=bytes(value).decode("latin-1"))

    async def _begin(self) -> None:
        if not self.begun.is_set() and self._head is not None:
            await self._put(Part(head=self._head))
            self.begun.set()

    async def _say(self, part: Part, size: int) -> None:
        """Send a piece, when the client has taken enough of those before."""
        await self._room.wait()
        if self.ended.is_set():
            return
        self._untaken_bytes += size
        if self._untaken_bytes >= WINDOW_BYTES:
            self._room.clear()
        await self._put(part)

    async def _body(self, message: Any) -> None:
        """Take an event of an answer's body."""
        await self._begin()
        body = memoryview(message.get("body", b""))
        if self._scope.get("method") != "HEAD" and self._head and self._head.status not in _WITHOUT_BODY:
            for start in range(0, len(body), _PIECE_BYTES):
                piece = bytes(body[start : start + _PIECE_BYTES])
                await self._say(Part(data=piece), len(piece))
        if not message.get("more_body", False):
            await self._close()

    async def _close(self, code: int = 0, reason: str = "", error: str = "") -> None:
        if not self.ended.is_set():
            self.ended.set()
            self.begun.set()
            await self._put(Part(close=app_pb2.AppClose(code=code, reason=reason, error=error)))


class Http(Connection):
    """A request."""

    def __init__(self, scope: dict[str, Any], body: bytes, put: Put) -> None:
        super().__init__(scope, put)
        self._request: bytes | None = body

    async def _receive(self) -> dict[str, Any]:
        if self._request is not None:
            body, self._request = self._request, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self.ended.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        kind = message["type"]
        if self.ended.is_set():  # the client has gone, or was sent all: servers say nothing then
            return
        if self._head is None:
            if kind != "http.response.start":
                raise RuntimeError(f"expected 'http.response.start', got {kind!r}")
            self._note_head(message["status"], message.get("headers", ()))  # sent with the first of the body
        elif kind == "http.response.body":
            await self._body(message)
        else:
            raise RuntimeError(f"expected 'http.response.body', got {kind!r}")


class Socket(Connection):
    """A WebSocket."""

    def __init__(self, scope: dict[str, Any], put: Put) -> None:
        super().__init__(scope, put)
        self._inbox: asyncio.Queue[Part] = asyncio.Queue()
        self._is_announced = False
        self._is_accepted = False

    def hear(self, part: Part) -> None:
        """Take what the client says."""
        if part.WhichOneof("part") in ("data", "text", "close"):
            self._inbox.put_nowait(part)
        super().hear(part)

    async def _receive(self) -> dict[str, Any]:
        if not self._is_announced:
            self._is_announced = True
            return {"type": "websocket.connect"}
        part = await self._inbox.get()
        match part.WhichOneof("part"):
            case "data":
                await self._take(len(part.data))
                return {"type": "websocket.receive", "bytes": part.data}
            case "text":
                await self._take(len(part.text.encode()))
                return {"type": "websocket.receive", "text": part.text}
        self._inbox.put_nowait(part)  # it has gone, and stays so
        return {
            "type": "websocket.disconnect",
            "code": part.close.code or _NO_STATUS,
            "reason": part.close.reason,
        }

    async def _take(self, size: int) -> None:
        if not self.ended.is_set():
            await self._put(Part(taken_bytes=size))

    async def _send(self, message: Any) -> None:
        if self.ended.is_set():
            return
        kind = message["type"]
        if self._is_accepted:
            await self._send_on(kind, message)
        elif self._head is not None:
            if kind != "websocket.http.response.body":
                raise RuntimeError(f"expected 'websocket.http.response.body', got {kind!r}")
            await self._body(message)
        elif kind == "websocket.accept":
            chosen = message.get("subprotocol")
            protocol = [(b"sec-websocket-protocol", chosen.encode())] if chosen else []
            self._note_head(101, [*protocol, *message.get("headers", ())])
            self._is_accepted = True
            await self._begin()
        elif kind == "websocket.close":
            self._note_head(403, ())
            await self._begin()
            await self._close()
        elif kind == "websocket.http.response.start":
            self._note_head(message["status"], message.get("headers", ()))
        else:
            raise RuntimeError(f"expected the WebSocket to be accepted or closed, got {kind!r}")

    async def _send_on(self, kind: str, message: Any) -> None:
        if kind == "websocket.close":
            self._end(message.get("code", _NORMAL), message.get("reason") or "")
            await self._close(message.get("code", _NORMAL), message.get("reason") or "")
            return
        if kind != "websocket.send":
            raise RuntimeError(f"expected 'websocket.send' or 'websocket.close', got {kind!r}")
        data, text = message.get("bytes"), message.get("text")
        part = Part(data=bytes(data)) if data is not None else Part(text=str(text))
        size = len(part.data) or len(part.text.encode())
        if size > SOCKET_BYTES_MAX:
            raise ValueError(f"a message of {size} bytes is too large for a WebSocket: keep it under 4 MiB")
        await self._say(part, size)

    async def _fail(self, error: str) -> None:
        if self._is_accepted:
            self._end(_ERROR, "")
            await self._close(_ERROR, "internal error")
        else:
            await self._close(error=error)

    async def _return(self) -> None:
        if self._is_accepted:
            await self._close(_NORMAL)
        else:
            await super()._return()

    def _end(self, code: int, reason: str) -> None:
        """Have the app's own receive end as well."""
        self._inbox.put_nowait(Part(close=app_pb2.AppClose(code=code, reason=reason)))


def _is_hang_up(error: BaseException) -> bool:
    """Return whether an app says with an exception that its client has gone."""
    return type(error).__name__ in ("ClientDisconnect", "WebSocketDisconnect")


_behind: set[asyncio.Task[None]] = set()
"""Apps that have answered and go on, as with Starlette's background tasks."""


async def request(asgi: Asgi, scope: dict[str, Any], body: bytes) -> Response:
    """Send one request and return the whole answer.

    Raises what the app raises, and `ValueError` for an answer that is too large.
    """
    response = Response()
    received = bytearray()

    async def put(part: Part) -> None:
        match part.WhichOneof("part"):
            case "head":
                response.status = part.head.status
                response.headers = [(header.name, header.value) for header in part.head.headers]
            case "data":
                received.extend(part.data)
                connection.hear(Part(taken_bytes=len(part.data)))
                if len(received) > RESPONSE_BYTES_MAX:
                    raise ValueError(f"the app's answer is larger than {RESPONSE_BYTES_MAX} bytes")

    connection = Http(scope, body, put)
    running = asyncio.create_task(connection.run(asgi), name="app")
    _behind.add(running)
    running.add_done_callback(_behind.discard)
    try:
        await connection.ended.wait()
    except asyncio.CancelledError:
        running.cancel()
        raise
    if connection.error is not None:
        raise connection.error
    response.body = bytes(received)
    return response


@contextlib.asynccontextmanager
async def lifespan(asgi: Asgi) -> AsyncIterator[dict[str, Any] | None]:
    """Run the app's start-up before the block and its shutdown after it; yield the state that its start-up has left.

    That is None if the app knows no start-up.  Raises `RuntimeError` if the app says that its start-up failed.
    """
    incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    outgoing: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    state: dict[str, Any] = {}

    async def run() -> None:
        try:
            scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": state}
            await asgi(scope, incoming.get, outgoing.put)
        except Exception:  # an app without lifespan raises: the protocol says to go on without
            pass
        await outgoing.put({"type": "lifespan.unsupported"})

    task = asyncio.create_task(run(), name="lifespan")
    await incoming.put({"type": "lifespan.startup"})
    started = await outgoing.get()
    if started["type"] == "lifespan.startup.failed":
        raise RuntimeError(f"the app's start-up failed: {started.get('message', '')}")
    try:
        yield state if started["type"] == "lifespan.startup.complete" else None
    finally:
        if started["type"] == "lifespan.startup.complete":
            await incoming.put({"type": "lifespan.shutdown"})
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SHUTDOWN_S):
                    await outgoing.get()
        task.cancel()
