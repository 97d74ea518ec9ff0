"""Requests to the web app, served by their names and in their traces as calls are (`meshkit.interceptors.tracing`)."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from meshkit import telemetry
from meshkit.telemetry import SERVER, Place, Span, Telemetry


class Traced:
    """An ASGI app around another."""

    def __init__(self, app: ASGIApp, to: Telemetry | None) -> None:
        self._app = app
        self._to = to

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Note the request and the span that it is in, for as long as it is served."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = _of_interest(scope)
        request = telemetry.named(headers)
        parent = telemetry.parse(headers.get(telemetry.HEADER, "")) if self._to and self._to.traces else None
        if self._to is None or parent is None:
            with telemetry.serving(None, request):
                await self._app(scope, receive, send)
            return
        place, start, begun, status = parent.inner(), telemetry.now(), time.perf_counter(), 0

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            with telemetry.serving(place, request):
                await self._app(scope, receive, noted)
        except asyncio.CancelledError:
            status = status or 499
            raise
        except Exception:
            status = status or 500
            raise
        finally:
            end = start + int((time.perf_counter() - begun) * 1e9)
            self._to.span(_span(scope, place, parent, start, end, status, request))


def _span(scope: Scope, place: Place, parent: Place, start: int, end: int, status: int, request: str) -> Span:
    method = scope.get("method", "WEBSOCKET")
    said: Mapping[str, Any] = {
        "http.request.method": method,
        "http.response.status_code": status,
        "url.path": scope.get("path", ""),
        "agentmesh.request_id": request,
    }
    error = str(status) if status >= 500 else ""
    return Span(
        name=method, place=place, parent=parent.span_id, kind=SERVER, start=start, end=end, error=error, attributes=said
    )


def _of_interest(scope: Scope) -> dict[str, str]:
    wanted = {name.encode(): name for name in (telemetry.HEADER, telemetry.REQUEST_HEADER)}
    return {wanted[name]: value.decode("latin-1") for name, value in scope["headers"] if name in wanted}
