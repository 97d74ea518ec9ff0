"""What telemetry hears of calls: how each that we serve went, and spans of those in a trace and of what they call.

Our own interceptors: those of `opentelemetry-instrumentation-grpc` keep the context of a cancelled call.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc

from meshkit import telemetry
from meshkit.interceptors.around import AroundInterceptor, Context
from meshkit.telemetry import CLIENT, SERVER, Place, Span, Telemetry

_OUR_FAULT = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})
"""What makes a call that we serve an error of ours, and not of its caller (OpenTelemetry's conventions for gRPC)."""


class Told(AroundInterceptor):
    """Serve a request by its name, in its trace if it has one; say how it went.  Outermost: log lines name both."""

    def __init__(self, to: Telemetry | None) -> None:
        super().__init__()
        self._to = to

    @contextlib.asynccontextmanager
    async def around(self, method: str, context: Context) -> AsyncIterator[None]:
        """Note the request and the span that it is in, for the length of the call."""
        parent: Place | None = None
        request = ""
        for name, value in context.invocation_metadata() or ():
            if name == telemetry.REQUEST_HEADER:
                request = telemetry.named({name: value})
            elif name == telemetry.HEADER and self._to is not None and self._to.traces:
                parent = telemetry.parse(value)
        if self._to is None:
            with telemetry.serving(None, request):
                yield
            return
        place = parent and parent.inner()
        start, begun = telemetry.now(), time.perf_counter()
        code = "OK"
        try:
            with telemetry.serving(place, request):
                yield
        except (asyncio.CancelledError, GeneratorExit):
            code = "CANCELLED"
            raise
        except BaseException:
            set_code = context.code()
            code = set_code.name if isinstance(set_code, grpc.StatusCode) else "UNKNOWN"
            raise
        finally:
            seconds = time.perf_counter() - begun
            self._to.called(method, code, seconds)
            if place is not None and parent is not None:
                end = start + int(seconds * 1e9)
                self._to.span(_span(method, place, parent, SERVER, start, end, code, code in _OUR_FAULT, request))


def _span(
    method: str,
    place: Place,
    parent: Place,
    kind: str,
    start: int,
    end: int,
    code: str,
    failed: bool,
    request: str = "",
) -> Span:
    attributes = {"rpc.system.name": "grpc", "rpc.response.status_code": code}
    if request:
        attributes["agentmesh.request_id"] = request
    return Span(
        name=method.lstrip("/"),
        place=place,
        parent=parent.span_id,
        kind=kind,
        start=start,
        end=end,
        error=code if failed else "",
        attributes=attributes,
    )


def headers(place: Place | None) -> list[tuple[str, str]]:
    """Return what an outgoing call says of the request, and of the span, that it is made for."""
    said = [(telemetry.HEADER, place.traceparent)] if place is not None else []
    if request := telemetry.request_id():
        said.append((telemetry.REQUEST_HEADER, request))
    return said


async def told(call: Any, method: Any, place: Place) -> Any:
    """Return a unary call when it is over, and tell of it; `place` is its span, which begins now."""
    parent, to = telemetry.here(), telemetry.active()
    if parent is None or to is None:
        return await call
    start, code = telemetry.now(), "CANCELLED"
    try:
        begun = await call
        try:
            code = (await begun.code()).name
        except asyncio.CancelledError:
            begun.cancel()
            raise
        return begun
    finally:
        name = method.decode() if isinstance(method, bytes) else str(method)
        to.span(_span(name, place, parent, CLIENT, start, telemetry.now(), code, code != "OK"))
