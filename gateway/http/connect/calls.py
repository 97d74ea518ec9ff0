"""The calls: one of gRPC for each of Connect, on a channel to whoever answers.

A client that goes cancels its call, and one that does not read has the service wait: nothing of a stream is taken that
was not sent on.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Mapping
from typing import Any, TypeVar

import grpc
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, NoMatchFound
from starlette.types import Receive, Scope, Send

from gateway.config import Config
from gateway.edge import clusters
from gateway.http.connect import asking, envelopes, methods
from gateway.http.connect.asking import Asked
from gateway.http.connect.errors import CallError, of_rpc, shown
from gateway.http.connect.messages import Binary, Codec, Json
from meshkit import client

_OWN_CONNECTION = ("grpc.use_local_subchannel_pool", 1)
"""Beside those that the gateway asks for itself: what clients do not read does not stand in its way."""
_JSON = "application/json"
_T = TypeVar("_T")


class Calls:
    """Answers them.  `stop` ends the streams."""

    def __init__(self, channels: Mapping[str, grpc.aio.Channel]) -> None:
        """`channels` are by the name of a cluster."""
        self._channels = channels
        self._codecs: Mapping[str, Codec] = {codec.name: codec for codec in (Json(), Binary())}
        self._open: set[Any] = set()
        self._stopping = False

    @classmethod
    @contextlib.asynccontextmanager
    async def connected(cls, config: Config) -> AsyncIterator["Calls"]:
        """Keep a channel to each service, the dialects' own included, for the length of the block."""
        options = [*client.options(), _OWN_CONNECTION]
        async with contextlib.AsyncExitStack() as stack:
            channels = {
                name: await stack.enter_async_context(client.channel(config.peer(name), options))
                for name in (*clusters.PREFIXES.values(), clusters.GATEWAY)
            }
            yield cls(channels)

    def route(self) -> BaseRoute:
        """Return what serves all paths of methods."""
        return _Route(self)

    def stop(self) -> None:
        """Have clients connect again, elsewhere perhaps."""
        self._stopping = True
        for call in [*self._open]:
            call.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one."""
        request = Request(scope, receive, send)
        with contextlib.suppress(ClientDisconnect):
            try:
                asked = asking.asked(request, self._codecs)
            except CallError as error:
                await _refusal(error)(scope, receive, send)
                return
            if asked.by == "stream":
                await self._stream(asked, send)
            else:
                answer = await self._unary(asked)
                await answer(scope, receive, send)

    # -- unary ---------------------------------------------------------------------------------------------------

    async def _unary(self, asked: Asked) -> Response:
        try:
            body = await asked.body()
            data, heads, trailers = await _while_there(asked.request, self._ask(asked, body))
        except CallError as error:
            return _refusal(error)
        packed = await envelopes.deflated(data) if asked.takes_gzip else None
        answer = Response(data if packed is None else packed, headers={"content-type": asked.content_type})
        if packed is not None:
            answer.headers["content-encoding"] = envelopes.GZIP
        answer.headers["vary"] = "accept-encoding"
        for name, value in (*shown(heads), *shown(trailers, "trailer-")):
            answer.headers.append(name, value)
        return answer

    async def _ask(self, asked: Asked, body: bytes) -> tuple[bytes, Any, Any]:
        """Return what a service answers, as the client takes it, and what it says before and behind it."""
        message = await asked.message(body)
        call = (await self._reached(asked)).unary_unary(asked.method.path)(
            message, timeout=asked.timeout_s, metadata=asked.metadata()
        )
        try:
            data = await asked.codec.write(await call, asked.method.response)
        except grpc.aio.AioRpcError as error:
            raise of_rpc(error) from None
        return data, await call.initial_metadata(), await call.trailing_metadata()

    async def _reached(self, asked: Asked) -> grpc.aio.Channel:
        if asked.timeout_s == 0:  # gRPC may be faster
            raise CallError(grpc.StatusCode.DEADLINE_EXCEEDED, "the client does not wait")
        channel = self._channels[asked.method.process]
        await client.reached(channel, asked.timeout_s)
        return channel

    # -- streams -------------------------------------------------------------------------------------------------

    async def _stream(self, asked: Asked, send: Send) -> None:
        answer = _Answer(asked, send)
        error, trailers = None, []
        try:
            body = await asked.body()
            trailers = await _while_there(asked.request, self._follow(asked, body, answer))
        except CallError as failure:
            error, trailers = failure, shown(failure.trailers)
            await answer.begin(failure.heads)
        await answer.end(error, trailers)

    async def _follow(self, asked: Asked, body: bytes, answer: "_Answer") -> list[tuple[str, str]]:
        """Send on what a service says; return what it says last."""
        message = await asked.message(body)
        call = (await self._reached(asked)).unary_stream(asked.method.path)(
            message, timeout=asked.timeout_s, metadata=asked.metadata()
        )
        self._open.add(call)
        try:
            if self._stopping:
                call.cancel()
            while (data := await call.read()) is not grpc.aio.EOF:
                await answer.begin(await call.initial_metadata())
                await answer.say(await asked.codec.write(data, asked.method.response))
            await answer.begin(await call.initial_metadata())
            return shown(await call.trailing_metadata())
        except grpc.aio.AioRpcError as error:
            raise of_rpc(error) from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise CallError(grpc.StatusCode.UNAVAILABLE, "the gateway stops: connect again") from None
        finally:
            self._open.discard(call)
            call.cancel()


class _Answer:
    """A stream on its way to a client."""

    def __init__(self, asked: Asked, send: Send) -> None:
        self._send = send
        self._compress = asked.takes_gzip
        self._heads = [("content-type", asked.content_type)]
        if self._compress:
            self._heads.append(("connect-content-encoding", envelopes.GZIP))
        self._begun = False

    async def begin(self, heads: Any) -> None:
        """Send the head, once; `heads` are what the service said before its first message."""
        if self._begun:
            return
        self._begun = True
        lines = [(name.encode(), value.encode("latin-1", "replace")) for name, value in (*self._heads, *shown(heads))]
        await self._send({"type": "http.response.start", "status": 200, "headers": lines})

    async def say(self, data: bytes) -> None:
        """Send a message, and wait until there is room for more."""
        await self._body(await envelopes.sealed(data, compress=self._compress), more=True)

    async def end(self, error: CallError | None, trailers: list[tuple[str, str]]) -> None:
        """Say how it went."""
        await self._body(envelopes.ending(error, trailers), more=False)

    async def _body(self, data: bytes, *, more: bool) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": more})


class _Route(BaseRoute):
    """All paths of methods, by whatever HTTP method."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return whether it is one, as it was sent: the edge knows none by another spelling, such as `%2F`."""
        is_call = scope["type"] == "http" and methods.PATH.fullmatch(scope["raw_path"].decode("latin-1"))
        return (Match.FULL if is_call else Match.NONE), {}

    def url_path_for(self, name: str, /, **path_params: Any) -> Any:
        """Say that it has no name."""
        raise NoMatchFound(name, path_params)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        await self._calls(scope, receive, send)


def _refusal(error: CallError) -> Response:
    answer = Response(error.text(), error.status, {"content-type": _JSON, **error.headers})
    for name, value in (*shown(error.heads), *shown(error.trailers, "trailer-")):
        answer.headers.append(name, value)
    return answer


async def _while_there(request: Request, work: Awaitable[_T]) -> _T:
    """Return what comes of `work`, which is cancelled when the client goes: then `ClientDisconnect` is raised."""
    working = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_hung_up(request.receive))
    try:
        await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        for task in (working, gone):
            task.cancel()
        await asyncio.gather(working, gone, return_exceptions=True)


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
