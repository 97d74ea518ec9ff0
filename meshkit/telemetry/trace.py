"""Where in a trace we are, and to whom it is told: W3C trace context, and nothing else as long as telemetry is off.

Whether a request is traced is decided once, by Envoy (`AGENTMESH_TRACES_RATIO`) or by who calls it; we follow what
`traceparent` says, and never begin a trace by ourselves.  What tells of it (`meshkit.telemetry.otel`, the extra
`[otel]`) is imported by `start`, and only if there is somebody to tell.
"""

import contextlib
import contextvars
import dataclasses
import importlib
import random
import re
import time
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

HEADER = "traceparent"
"""https://www.w3.org/TR/trace-context/"""
REQUEST_HEADER = "x-request-id"
"""What Envoy calls a request, in its answer, too."""
_REQUEST_CHARS_MAX = 64
_PARENT = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f][13579bdf](-.*)?")
"""A span that is to be told of: neither of its ids is zero, and the last bit of the flags is set."""
SERVER, CLIENT, INTERNAL, CONSUMER = "server", "client", "internal", "consumer"


class Place(NamedTuple):
    """A span that others are in: two numbers in hexadecimal."""

    trace_id: str
    span_id: str

    @property
    def traceparent(self) -> str:
        """What says so to others."""
        return f"00-{self.trace_id}-{self.span_id}-01"

    def inner(self, span_id: str = "") -> "Place":
        """Return a span within this one; a new one unless its id is given."""
        # An id is no secret: to ask the system for each would be a third of what a span costs.
        return Place(self.trace_id, span_id or f"{random.getrandbits(64):016x}")


class Span(NamedTuple):
    """A span that has ended.  Times are nanoseconds since 1970."""

    name: str
    place: Place
    parent: str
    """The span it is in; empty for the first of its trace."""
    start: int
    end: int
    kind: str = INTERNAL
    error: str = ""
    attributes: Mapping[str, Any] = types.MappingProxyType({})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What telemetry is wanted of a process."""

    endpoint: str = ""
    """Where OTLP goes (gRPC): `http://HOST:PORT`, or https; empty for nowhere."""
    headers: str = dataclasses.field(default="", repr=False)
    """Of each export, `name=value,…`: a token, perhaps."""
    metrics: bool = False
    """Whether we count and measure, for who asks."""
    replica: int = 1

    def __bool__(self) -> bool:
        return bool(self.endpoint) or self.metrics


Observe = Callable[[], Sequence[tuple[float, Mapping[str, str]]]]
"""Says what a gauge stands at: values and what each is of."""


class Telemetry(Protocol):
    """Takes what is to be told; never waits, and drops what is too much."""

    traces: bool
    """Whether spans go anywhere."""

    def span(self, span: Span) -> None:
        """Take a span that has ended."""

    def called(self, method: str, code: str, seconds: float) -> None:
        """Take how a call of one of our methods went."""

    def log(self, line: Mapping[str, Any]) -> None:
        """Take a line of the log."""

    def gauge(self, name: str, what: str, observe: Observe, *, total: bool = False) -> None:
        """Ask `observe` whenever somebody wants to know; a `total` only grows."""

    def exposition(self) -> str:
        """Return every metric as Prometheus reads it."""

    def close(self) -> None:
        """Tell what is left, for a second at most."""


_active: Telemetry | None = None
_place: contextvars.ContextVar[Place | None] = contextvars.ContextVar("place", default=None)
_request: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="")


def start(service: str, wanted: Wanted) -> None:
    """Begin to tell of this process, if that is wanted of it.

    Raises `ImportError` if the extra `[otel]` is not installed.
    """
    global _active
    if wanted and _active is None:
        try:
            adapter = importlib.import_module("meshkit.telemetry.otel")
        except ImportError as error:
            raise ImportError(f"telemetry is on, and needs `pip install agentmesh[otel]` ({error.name})") from error
        _active = adapter.opened(service, wanted)


def active() -> Telemetry | None:
    """Return what takes telemetry; `None` while it is off."""
    return _active


def stop() -> None:
    """Tell what is left, for a second at most, and tell nothing more."""
    global _active
    ended, _active = _active, None
    if ended is not None:
        ended.close()


def parse(traceparent: str) -> Place | None:
    """Return the place that a header names, if it is to be told of; what is no such header says nothing."""
    found = _PARENT.fullmatch(traceparent)
    if found is None or (found[1] == "00" and found[4]):  # only later versions say more
        return None
    return Place(found[2], found[3])


def here() -> Place | None:
    """Return the span that we are in; `None` if nobody is told of it."""
    return _place.get()


def request_id() -> str:
    """Return what Envoy calls the request that is being served; empty if it came another way."""
    return _request.get()


def named(metadata: Mapping[str, str]) -> str:
    """Return the request's id among a call's headers."""
    return metadata.get(REQUEST_HEADER, "")[:_REQUEST_CHARS_MAX]


@contextlib.contextmanager
def serving(place: Place | None, request: str) -> Iterator[None]:
    """Be in a span, and serve a request, for the length of the block."""
    resets = _place.set(place), _request.set(request)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # a stream may be closed from another context
            _place.reset(resets[0])
            _request.reset(resets[1])


def nanoseconds(seconds: float) -> int:
    """Return a time as spans have it."""
    return int(seconds * 1e9)


now = time.time_ns
