"""What happens around every RPC: one base that hides gRPC's four handler shapes, and four interceptors.

`meshkit.server.serve` states the order, outermost first: `tracing.Told`, Logging, Errors, `deadlines.Deadlines`,
`meshkit.access.Auth`, `streams.Streams`, `held.Held`, Readable, then Keyed.
"""

import asyncio
import contextlib
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import structlog
from google.protobuf import empty_pb2, message
from grpc_status import rpc_status

from meshkit import idempotency
from meshkit.errors import Invalid, MeshError

Context = Any
"""A `grpc.aio.ServicerContext`; grpc ships no types."""
log = structlog.get_logger()


def is_stream(handler: grpc.RpcMethodHandler) -> bool:
    """Return whether a method streams, in either direction."""
    return bool(handler.request_streaming or handler.response_streaming)


def behavior_of(handler: grpc.RpcMethodHandler) -> Callable[[Any, Context], Any]:
    """Return what a method runs, whatever its shape."""
    behavior: Callable[[Any, Context], Any] = (
        handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    )
    return behavior


def is_awaited(handler: grpc.RpcMethodHandler) -> bool:
    """Return whether a method is awaited.

    Else it yields its responses; one that streams may, as gRPC's own health service does, write them to the context.
    """
    return not handler.response_streaming or inspect.iscoroutinefunction(behavior_of(handler))


def with_behavior(
    handler: grpc.RpcMethodHandler,
    behavior: Callable[[Any, Context], Any],
    request_deserializer: Callable[[bytes], Any] | None = None,
) -> grpc.RpcMethodHandler:
    """Return a method of the same shape that runs something else, and reads its requests so if that is given."""
    if handler.request_streaming:
        shapes = grpc.stream_unary_rpc_method_handler, grpc.stream_stream_rpc_method_handler
    else:
        shapes = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
    return shapes[bool(handler.response_streaming)](
        behavior,
        request_deserializer=request_deserializer or handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )


class AroundInterceptor(grpc.aio.ServerInterceptor):
    """An interceptor is one async context manager, `around`, whatever the shape of the RPC.

    The wrapped handler is kept per method, so a call pays for the wrapping once in the life of the server.
    """

    def __init__(self) -> None:
        self._wrapped: dict[str, grpc.RpcMethodHandler] = {}

    def around(self, method: str, context: Context) -> contextlib.AbstractAsyncContextManager[None]:
        """Run around each call of `method`, such as `/mesh.auth.v1.AuthService/Login`."""
        raise TypeError("an interceptor defines `around`")

    def takes(self, handler: grpc.RpcMethodHandler) -> bool:
        """Return whether it stands around a method at all."""
        return True

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler:
        """Wrap the handler of one method (grpc.aio calls this for every RPC)."""
        method: str = handler_call_details.method
        known = self._wrapped.get(method)
        if known is not None:
            return known
        handler = await continuation(handler_call_details)
        if handler is None:  # unimplemented: gRPC answers
            return None
        self._wrapped[method] = self._wrap(method, handler) if self.takes(handler) else handler
        return self._wrapped[method]

    def _wrap(self, method: str, handler: grpc.RpcMethodHandler) -> grpc.RpcMethodHandler:
        around = self.around
        inner = behavior_of(handler)

        async def awaited(request: Any, context: Context) -> Any:
            async with around(method, context):
                return await inner(request, context)

        async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
            async with around(method, context), contextlib.aclosing(inner(request, context)) as responses:
                async for response in responses:
                    yield response

        return with_behavior(handler, awaited if is_awaited(handler) else stream)


class Logging(AroundInterceptor):
    """Write one canonical line per RPC that fails or streams; successes of unary calls only at debug level."""

    @contextlib.asynccontextmanager
    async def around(self, method: str, context: Context) -> AsyncIterator[None]:
        """Log `rpc` with method, code and duration."""
        started = time.perf_counter()
        code = "OK"
        try:
            yield
        except (asyncio.CancelledError, GeneratorExit):  # the latter of a stream that waits for its reader
            code = "CANCELLED"  # gRPC leaves the code unset: without this a cancelled stream logs as OK
            raise
        except BaseException:
            set_code = context.code()
            code = set_code.name if isinstance(set_code, grpc.StatusCode) else "UNKNOWN"
            raise
        finally:
            duration_ms = round((time.perf_counter() - started) * 1000, 2)
            emit = log.debug if code in ("OK", "CANCELLED") else log.info
            emit("rpc", method=method, code=code, duration_ms=duration_ms)


class Errors(AroundInterceptor):
    """Turn a `MeshError` into a rich status, and hide everything else behind INTERNAL."""

    @contextlib.asynccontextmanager
    async def around(self, method: str, context: Context) -> AsyncIterator[None]:
        """Abort with what the error says."""
        try:
            yield
        except MeshError as error:
            await context.abort_with_status(rpc_status.to_status(error.to_status()))
        except grpc.aio.AbortError:  # somebody inside has already chosen the status
            raise
        except Exception:
            log.exception("unhandled", method=method)
            await context.abort(grpc.StatusCode.INTERNAL, "internal error")


class Readable(grpc.aio.ServerInterceptor):
    """Raise `Invalid` for a request that is no message of its method; gRPC by itself would say UNKNOWN.

    REST can bring one about: a query with bytes that are no UTF-8, or an object where a map has texts.  It stands
    within Auth, so that it is first asked whether the caller may, and a dialect words the refusal.
    """

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler:
        """Wrap the handler of one method; those who stand around keep it."""
        handler = await continuation(handler_call_details)
        if handler is None or handler.request_streaming or handler.request_deserializer is None:
            return handler
        return with_behavior(handler, _readable(handler), _or_unreadable(handler.request_deserializer))


class Keyed(grpc.aio.ServerInterceptor):
    """Let a create that has no `request_id` take its caller's `Idempotency-Key`, as REST and gRPC alike may send it.

    Raises `Invalid` if it has both, and they differ.
    """

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler:
        """Wrap the handler of a method that can be repeated; those who stand around keep it."""
        handler = await continuation(handler_call_details)
        if handler is None or not handler.unary_unary or not idempotency.repeatable(handler_call_details.method):
            return handler
        inner = handler.unary_unary

        async def call(request: Any, context: Context) -> Any:
            metadata = context.invocation_metadata() or ()
            key = next((value for name, value in metadata if name == _KEY and isinstance(value, str)), "")
            idempotency.adopt(request, key)
            return await inner(request, context)

        return with_behavior(handler, call)


_KEY = idempotency.KEY_HEADER.lower()
_UNREADABLE = empty_pb2.Empty()
"""In the place of a request that cannot be read."""


def _or_unreadable(deserialize: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def read(data: bytes) -> Any:
        try:
            return deserialize(data)
        except message.DecodeError:
            return _UNREADABLE

    return read


def _readable(handler: grpc.RpcMethodHandler) -> Callable[[Any, Context], Any]:
    inner = behavior_of(handler)

    def check(request: Any) -> None:
        if request is _UNREADABLE:
            raise Invalid("request cannot be read", {"request": ["send texts as UTF-8, and fields of their types"]})

    if is_awaited(handler):

        async def call(request: Any, context: Context) -> Any:
            check(request)
            return await inner(request, context)

        return call

    async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
        check(request)
        async with contextlib.aclosing(inner(request, context)) as responses:
            async for response in responses:
                yield response

    return stream
