"""Clients of an app's ASGI interface: one that asks by HTTP, and one that has opened a WebSocket.

A client and an app exchange *parts* (`mesh.runner.v1.AppPart`), whoever the client is and however they get there.
"""

import asyncio
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from agentmesh_protos.runner.v1 import app_pb2

from agentmesh._app.loading import Asgi
from agentmesh.errors import describe

WINDOW_BYTES = 256 * 1024
"""How much may be on its way that the client has not taken."""
SOCKET_BYTES_MAX = 4 * 1024 * 1024
"""Of a message that an app sends through a WebSocket."""
_PIECE_BYTES = 64 * 1024
_WITHOUT_BODY = (204, 205, 304)
_NORMAL, _NO_STATUS, _ERROR = 1000, 1005, 1011
"""Of a WebSocket's close (RFC 6455, section 7.4.1)."""

Part = app_pb2.AppPart
Put = Callable[[Part], Awaitable[None]]
"""Sends a part to the client."""


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
