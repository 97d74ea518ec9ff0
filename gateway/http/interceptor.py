"""What happens around a dialect's RPC: its errors leave in the dialect's shape, its successes with the right status.

Stands inside `meshkit.interceptors.Errors`, which it leaves gRPC clients to, and around `meshkit.access.Auth`, whose
refusals it renders.
"""

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import structlog
from google.api import httpbody_pb2

from gateway.edge.limits import BODY_BYTES_MAX
from gateway.http import bodies, encodings
from gateway.http.dialect import Dialect, Dialects
from gateway.http.exchange import BODY_HEADER, CODE_HEADER, TYPE_HEADER, Exchange, current
from gateway.http.repeats import in_our_words
from meshkit.errors import Internal, MeshError
from meshkit.interceptors import with_behavior
from meshkit.rules import rule_of

log = structlog.get_logger()
ERROR_BYTES_MAX = 16 * 1024
"""An error's JSON travels in a header; Envoy takes 60 KiB of headers from a service."""
_MESSAGE_CHARS_MAX = 200
_SLACK_BYTES = 64 * 1024


class DialectCalls(grpc.aio.ServerInterceptor):
    """Gives each dialect call its `Exchange`, and renders what it raises."""

    def __init__(self, dialects: Dialects) -> None:
        self._dialects = dialects
        self._wrapped: dict[str, Any] = {}

    async def intercept_service(
        self,
        continuation: Callable[[Any], Awaitable[Any]],
        handler_call_details: Any,
    ) -> Any:
        """Wrap the handler of one method, once in the life of the server."""
        method: str = handler_call_details.method
        known = self._wrapped.get(method)
        if known is not None:
            return known
        handler = await continuation(handler_call_details)
        dialect = self._dialects.of_method(method)
        if handler is None or dialect is None:  # unimplemented, or health and reflection
            return handler
        self._wrapped[method] = _wrap(method, handler, dialect)
        return self._wrapped[method]


def _wrap(method: str, handler: Any, dialect: Dialect) -> Any:
    success = rule_of(method).success or 200
    if handler.unary_unary:
        call = handler.unary_unary

        async def unary(request: Any, context: Any) -> Any:
            async with _around(method, context, dialect, success) as exchange:
                read(request, exchange)
                response = await call(request, context)
                await exchange.send_head()
                return response

        return with_behavior(handler, unary)
    if handler.unary_stream:
        watch = handler.unary_stream

        async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
            async with (
                _around(method, context, dialect, success) as exchange,
                contextlib.aclosing(watch(request, context)) as responses,
            ):
                read(request, exchange)
                content_type = None
                try:
                    async for response in responses:
                        await exchange.send_head()
                        content_type = response.content_type
                        yield response
                        if exchange.is_head:  # the first one said what the type of the answer is
                            return
                except MeshError as error:
                    if content_type is None or not exchange.is_rest:
                        raise
                    # Its status is on its way: who reads is told in the middle of the answer, which ends here.
                    yield httpbody_pb2.HttpBody(data=dialect.broken(error, content_type))
                await exchange.send_head()

        return with_behavior(handler, stream)
    raise TypeError(f"{method} streams its requests: REST cannot, so a dialect may not")


def read(request: Any, exchange: Exchange) -> None:
    """Decode the body of a request.  Raises `HttpError` 413 if it is too large, and as `encodings.decode` does."""
    if request.ByteSize() > BODY_BYTES_MAX + _SLACK_BYTES:  # a little is allowed for what is not the body
        raise bodies.too_large()
    encodings.decode(request, exchange.headers.get(encodings.HEADER, ""))


@contextlib.asynccontextmanager
async def _around(method: str, context: Any, dialect: Dialect, success: int) -> AsyncIterator[Exchange]:
    exchange = Exchange(context, success)
    reset = current.set(exchange)
    try:
        yield exchange
    except MeshError as error:
        if not exchange.is_rest:
            raise
        await _abort(context, in_our_words(error, exchange.idempotency_key), dialect, exchange)
    except grpc.aio.AbortError:  # somebody inside has already chosen the status
        raise
    except Exception:
        if not exchange.is_rest:
            raise
        log.exception("unhandled", method=method)
        await _abort(context, Internal("internal error"), dialect, exchange)
    finally:
        with contextlib.suppress(ValueError):  # a stream may be closed from another context
            current.reset(reset)


async def _abort(context: Any, error: MeshError, dialect: Dialect, exchange: Exchange) -> None:
    rendered = dialect.render(error, exchange)
    metadata = (
        (CODE_HEADER, str(rendered.status)),
        (BODY_HEADER, bounded_json(rendered.body)),
        (TYPE_HEADER, dialect.error_type),
        *rendered.headers,
    )
    await context.abort(error.code, str(error)[:_MESSAGE_CHARS_MAX], trailing_metadata=metadata)


def bounded_json(body: Any, bytes_max: int = ERROR_BYTES_MAX) -> str:
    """Return `body` as ASCII JSON of at most `bytes_max`, with its longest texts cut until it fits."""
    text = json.dumps(body)
    chars_max = bytes_max // 2
    while len(text) > bytes_max and chars_max > 16:
        text = json.dumps(_clipped(body, chars_max))
        chars_max //= 2
    return text if len(text) <= bytes_max else "{}"


def _clipped(value: Any, chars_max: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= chars_max else f"{value[:chars_max]}…"
    if isinstance(value, dict):
        return {key: _clipped(item, chars_max) for key, item in value.items()}
    if isinstance(value, list):
        return [_clipped(item, chars_max) for item in value[:chars_max]]
    return value
