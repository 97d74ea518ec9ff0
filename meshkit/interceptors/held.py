"""A stream is held by its caller's token, and ends with it.

`meshkit.access.Auth` lets a call in; what stays open for longer, of whatever service and method, must end when that
token is revoked or expires.  `Held` stands right inside Auth, around every method that streams in either direction, so
that no servicer has to remember.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from types import TracebackType
from typing import Any

import grpc

from meshkit.errors import Unauthenticated
from meshkit.interceptors.around import Context, behavior_of, is_awaited, is_stream, with_behavior
from meshkit.principal import Principal, caller
from meshkit.verifier import TokenVerifier


class Hold:
    """Bounds what one task does by a token, as `asyncio.timeout` does by the clock; to be entered again and again.

    `bar` ends the block that the task is in, with the error that it is given, or else the next one.
    """

    def __init__(self) -> None:
        self._error: Unauthenticated | None = None
        self._task: asyncio.Task[Any] | None = None
        self._cancelling = 0
        self._is_cancelled = False

    def bar(self, error: Unauthenticated) -> None:
        """Let nothing more be done."""
        self._error = error
        if self._task is not None:
            self._is_cancelled = True
            self._task.cancel()

    def __enter__(self) -> None:
        """Raise what it was barred with, or watch over the block."""
        if self._error is not None:
            raise self._error
        self._task = asyncio.current_task()
        self._cancelling = self._task.cancelling() if self._task is not None else 0

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Raise what it was barred with meanwhile, unless somebody else has cancelled the task too."""
        task, self._task = self._task, None
        if task is None or not self._is_cancelled or self._error is None:
            return
        self._is_cancelled = False
        if task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise self._error from value


@contextlib.contextmanager
def held(verifier: TokenVerifier, principal: Principal) -> Iterator[None]:
    """End the block with `Unauthenticated` when the token of a verified caller does not hold any more."""
    hold = Hold()
    with verifier.holding(principal, hold.bar), hold:
        yield


class Held(grpc.aio.ServerInterceptor):
    """Raise `Unauthenticated` within a stream when its caller's token does not hold any more."""

    def __init__(self, verifier: TokenVerifier) -> None:
        self._verifier = verifier

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler:
        """Wrap the handler of a method that streams; those who stand around keep it."""
        handler = await continuation(handler_call_details)
        if handler is None or not is_stream(handler):
            return handler
        inner = behavior_of(handler)
        return with_behavior(handler, self._awaited(inner) if is_awaited(handler) else self._yielded(inner))

    def _awaited(self, inner: Callable[[Any, Context], Awaitable[Any]]) -> Callable[[Any, Context], Awaitable[Any]]:
        async def call(request: Any, context: Context) -> Any:
            with held(self._verifier, caller()):
                return await inner(request, context)

        return call

    def _yielded(
        self, inner: Callable[[Any, Context], AsyncGenerator[Any, None]]
    ) -> Callable[[Any, Context], AsyncIterator[Any]]:
        async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
            hold = Hold()
            async with contextlib.aclosing(inner(request, context)) as responses:
                with self._verifier.holding(caller(), hold.bar):
                    while True:
                        try:
                            with hold:  # not around what gRPC does with a message: it would not say why it ends
                                response = await anext(responses)
                        except StopAsyncIteration:
                            return
                        yield response

        return stream
