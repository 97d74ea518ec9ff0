"""The HTTP side of a dialect call: what the client sent before Envoy transcoded it, and how the answer leaves.

Envoy turns REST into gRPC by the annotations in the dialect's proto.  What gets lost on the way it keeps in headers
that no client can set (`edge.lua` removes them): `x-mesh-path`, the path and query as they were sent;
`x-mesh-base-url`, the address the client used; `x-mesh-head`, that only the head is wanted; `x-mesh-foreign`, that a
page of another site wants a WebSocket; `x-envoy-original-method`.  The answer's status, a body that is not the
message, and the type of one that is not `application/json`, travel back in `x-http-code`, `x-http-body` and
`x-http-type`, which `edge.lua` turns into HTTP.

A call that came as gRPC has none of this: it gets a plain gRPC answer.
"""

import contextvars
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Protocol

from meshkit.idempotency import KEY_HEADER

CODE_HEADER = "x-http-code"
BODY_HEADER = "x-http-body"
TYPE_HEADER = "x-http-type"
PATH_HEADER = "x-mesh-path"
BASE_URL_HEADER = "x-mesh-base-url"
HEAD_HEADER = "x-mesh-head"
FOREIGN_HEADER = "x-mesh-foreign"
LENGTH_HEADER = "x-mesh-length"
"""Of an answer to HEAD: the length of a body that is not sent here, which `edge.lua` makes its `content-length`."""
_METHOD_HEADER = "x-envoy-original-method"


class Asked(Protocol):
    """What a client asked for: what a rendered error repeats."""

    @property
    def method(self) -> str:
        """Such as `GET`."""

    @property
    def target(self) -> str:
        """Path and query."""

    @property
    def path(self) -> str:
        """Without the query."""

    @property
    def query(self) -> str:
        """Without the `?`."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Names in lower case."""


class Exchange:
    """One request and its answer.  A servicer changes `status`, `body` and the headers before it returns or yields."""

    def __init__(self, context: Any, success: int = 200) -> None:
        self._context = context
        self._reply: list[tuple[str, str]] = []
        self._sent = False
        self.status = success
        """The HTTP status of a success; starts as the rule says."""
        self.body: str | None = None
        """ASCII text to send instead of the returned message; an empty string sends an empty body."""

    @cached_property
    def headers(self) -> Mapping[str, str]:
        """What the client sent, names in lower case."""
        return {key: value for key, value in self._context.invocation_metadata() or () if isinstance(value, str)}

    @cached_property
    def is_rest(self) -> bool:
        """Whether Envoy transcoded this call."""
        return _METHOD_HEADER in self.headers

    @property
    def method(self) -> str:
        """The HTTP method, such as `GET`; `POST` for a gRPC call."""
        return self.headers.get(_METHOD_HEADER, "POST")

    @property
    def is_head(self) -> bool:
        """Whether the client asked with HEAD, where it shows as GET: the edge sends the body nowhere."""
        return HEAD_HEADER in self.headers

    @property
    def target(self) -> str:
        """Path and query as the client sent them; empty for a gRPC call."""
        return self.headers.get(PATH_HEADER, "") if self.is_rest else ""

    @property
    def path(self) -> str:
        """The path as the client sent it."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """The query as the client sent it, without the `?`."""
        return self.target.partition("?")[2]

    @property
    def base_url(self) -> str:
        """The address the client used, such as `http://127.0.0.1:3370`; empty for a gRPC call that has none."""
        return self.headers.get(BASE_URL_HEADER, "")

    @property
    def idempotency_key(self) -> str:
        """The client's `Idempotency-Key`, by which calls to services are named (`gateway.http.repeats`); or empty."""
        return self.headers.get(KEY_HEADER.lower(), "")

    def add_header(self, name: str, value: str) -> None:
        """Add a header to the answer.  `name` in lower case; both must be ASCII."""
        self._reply.append((name, value))

    async def send_head(self) -> None:
        """Send status and headers, once; the interceptor does it before the first message."""
        if self._sent:
            return
        self._sent = True
        metadata = [*self._reply]
        if self.is_rest:
            if self.status != 200:
                metadata.append((CODE_HEADER, str(self.status)))
            if self.body is not None:
                metadata.append((BODY_HEADER, self.body))
        if metadata:
            await self._context.send_initial_metadata(tuple(metadata))


current: contextvars.ContextVar[Exchange] = contextvars.ContextVar("exchange")


def exchange() -> Exchange:
    """Return the exchange of the current call.  Raises `LookupError` outside of a dialect's servicer."""
    return current.get()
