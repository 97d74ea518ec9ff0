"""A client and an app, talking: what the app answers is passed on as it comes, and a WebSocket both ways."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import grpc
from agentmesh_protos.runner.v1 import app_pb2, app_pb2_grpc
from starlette.websockets import WebSocket, WebSocketDisconnect

from meshkit.errors import DeadlineExceeded, Internal, Unavailable, from_rpc

_WINDOW_BYTES = 256 * 1024
"""How much of a client's may be on its way that the app has not taken."""
_NO_STATUS = 1005
_END_S = 1.0

Part = app_pb2.AppPart
_Said = app_pb2.StreamAppRequest | None


class AppTalk:
    """One `StreamApp` whose answer has begun: its `head` is known."""

    def __init__(self, stream: Any, said: "asyncio.Queue[_Said]", head: app_pb2.AppHead) -> None:
        self.head = head
        self._stream = stream
        self._said = said
        self._untaken_bytes = 0
        self._room = asyncio.Event()
        self._room.set()

    @classmethod
    async def begin(
        cls, apps: app_pb2_grpc.AppServiceStub, request: app_pb2.StreamAppRequest, timeout_s: float
    ) -> "AppTalk":
        """Ask, and wait for the beginning of the answer.  Raises `AioRpcError`, and `DeadlineExceeded`."""
        said: asyncio.Queue[_Said] = asyncio.Queue()
        said.put_nowait(request)
        stream: Any = apps.StreamApp(_all_of(said))
        try:
            async with asyncio.timeout(timeout_s):
                heard = await stream.read()
                if heard is grpc.aio.EOF:
                    raise Unavailable("the app went away while it was asked: try again")
        except BaseException as error:
            said.put_nowait(None)  # or grpc would wait for more
            stream.cancel()
            if isinstance(error, TimeoutError):
                raise DeadlineExceeded(f"the app did not answer within {timeout_s:g} s") from None
            raise
        return cls(stream, said, heard.part.head)

    def hang_up(self) -> None:
        """Say that the client has gone."""
        self._said.put_nowait(None)
        self._stream.cancel()

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Yield the body.  Raises `Internal` if the app breaks off, and `Unavailable` if its host does."""
        try:
            while (part := await self._hear()) is not None:
                if part.HasField("close"):
                    if part.close.error:
                        raise Internal(part.close.error)
                    return
                if part.data:
                    yield part.data
                    self._say(Part(taken_bytes=len(part.data)))
            raise Unavailable("the app went away while it answered")
        finally:
            self.hang_up()

    async def connect(self, websocket: WebSocket) -> None:
        """Pass messages on until the client or the app closes.  Raises `WebSocketDisconnect` if the client does."""
        listening = asyncio.ensure_future(self._listen(websocket))
        speaking = asyncio.ensure_future(self._speak(websocket))
        try:
            await asyncio.wait((listening, speaking), return_when=asyncio.FIRST_COMPLETED)
            if not speaking.done():
                await asyncio.wait((speaking,), timeout=_END_S)  # the runner takes note, and ends the stream
                listening.result()
            else:
                speaking.result()
        finally:
            for task in (listening, speaking):
                task.cancel()
            await asyncio.gather(listening, speaking, return_exceptions=True)
            self.hang_up()

    async def _listen(self, websocket: WebSocket) -> None:
        """Pass on what the client says."""
        while (message := await websocket.receive())["type"] == "websocket.receive":
            text, data = message.get("text"), message.get("bytes")
            part = Part(text=text) if text is not None else Part(data=data or b"")
            await self._room.wait()
            self._untaken_bytes += len(part.data) or len(part.text.encode())
            if self._untaken_bytes >= _WINDOW_BYTES:
                self._room.clear()
            self._say(part)
        code, reason = message.get("code") or _NO_STATUS, message.get("reason") or ""
        self._say(Part(close=app_pb2.AppClose(code=code, reason=reason)))
        raise WebSocketDisconnect(code, reason)

    async def _speak(self, websocket: WebSocket) -> None:
        """Pass on what the app says."""
        while (part := await self._hear()) is not None:
            match part.WhichOneof("part"):
                case "text":
                    await websocket.send_text(part.text)
                    self._say(Part(taken_bytes=len(part.text.encode())))
                case "data":
                    await websocket.send_bytes(part.data)
                    self._say(Part(taken_bytes=len(part.data)))
                case "taken_bytes":
                    self._untaken_bytes -= part.taken_bytes
                    if self._untaken_bytes < _WINDOW_BYTES:
                        self._room.set()
                case "close":
                    await websocket.close(part.close.code or 1000, part.close.reason)
                    return

    async def _hear(self) -> Part | None:
        with from_rpc():
            said = await self._stream.read()
        return None if said is grpc.aio.EOF else said.part

    def _say(self, part: Part) -> None:
        self._said.put_nowait(app_pb2.StreamAppRequest(part=part))


async def _all_of(said: "asyncio.Queue[_Said]") -> AsyncGenerator[app_pb2.StreamAppRequest, None]:
    while (request := await said.get()) is not None:
        yield request
