"""`with tracer.span(name)`: steps of a flow, in the trace of the request that started its job.

They are events of kind `span`, one for each that has ended.  Nothing is done unless somebody traces the job.
"""

import contextvars
import json
import re
import secrets
import time
import types
from collections.abc import Callable
from typing import Any

SPANS_MAX = 1_000
"""Of one process of a job; what comes behind is not told."""
BYTES_MAX = 1024 * 1024
"""Of all of them."""
_ATTRIBUTES_MAX = 32
_NAME_CHARS_MAX = 200
_TEXT_CHARS_MAX = 1_000
ROOT = "job"
"""The span that the job itself is."""
_PARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-01")
_current: contextvars.ContextVar["Span | None"] = contextvars.ContextVar("agentmesh_span", default=None)


class Span:
    """One step, from the beginning of a `with` block to its end."""

    __slots__ = ("_attributes", "_name", "_parent", "_reset", "_spans", "_start", "id")

    def __init__(self, spans: "Spans", name: str, attributes: dict[str, Any]) -> None:
        self.id = secrets.token_hex(8)
        self._spans = spans
        self._name = str(name)[:_NAME_CHARS_MAX]
        self._attributes = attributes
        self._start = 0.0
        self._parent = ""
        self._reset: contextvars.Token[Span | None] | None = None

    def set(self, **attributes: Any) -> None:
        """Say more of the step: numbers, booleans and short texts."""
        self._attributes.update(attributes)

    def __enter__(self) -> "Span":
        self._start = time.time()
        self._parent = self._spans.inside
        self._reset = _current.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        if self._reset is not None:
            try:
                _current.reset(self._reset)
            except ValueError:  # a generator may be closed from another context
                _current.set(None)
        attributes = dict(list(self._attributes.items())[:_ATTRIBUTES_MAX])
        if error is not None:
            attributes["error"] = f"{type(error).__name__}: {error}"
        said = {
            "id": self.id,
            "parent": self._parent,
            "name": self._name,
            "status": "ok" if error is None else "error",
            "start": self._start,
            "end": time.time(),
            "attributes": {str(name)[:_NAME_CHARS_MAX]: _plain(value) for name, value in attributes.items()},
        }
        self._spans.tell(json.dumps(said))

    @property
    def is_of(self) -> "Spans":
        """Whose it is."""
        return self._spans


class NoSpan(Span):
    """What `tracer.span` returns while nobody traces the job: it does nothing."""

    __slots__ = ()

    def __init__(self) -> None:
        pass

    def set(self, **attributes: Any) -> None:
        """Do nothing."""

    def __enter__(self) -> "Span":
        return self

    def __exit__(self, *_: object) -> None:
        pass


_NOTHING = NoSpan()


class Spans:
    """The spans of one process of a job."""

    def __init__(self, emit: Callable[[str, str], None], traceparent: str = "", parent: str = ROOT) -> None:
        """`traceparent` is the attempt's span, and `parent` the one that its first are in."""
        found = _PARENT.fullmatch(traceparent)
        self._emit = emit
        self._trace, self._attempt = (found[1], found[2]) if found else ("", "")
        self._parent = parent
        self._left, self._bytes_left = SPANS_MAX, BYTES_MAX

    def span(self, name: str, attributes: dict[str, Any]) -> Span:
        """Return a span that begins with its `with`."""
        return Span(self, name, attributes) if self._trace and self._left > 0 else _NOTHING

    @property
    def inside(self) -> str:
        """The id of the span that the caller is in."""
        current = _current.get()
        return current.id if current is not None and current.is_of is self else self._parent

    @property
    def traceparent(self) -> str:
        """The same as a header for others; empty if nobody traces the job."""
        inside = self._attempt if self.inside == ROOT else self.inside
        return f"00-{self._trace}-{inside}-01" if self._trace else ""

    def ticket(self) -> tuple[str, str]:
        """Return what another process of the job needs to go on here."""
        return (f"00-{self._trace}-{self._attempt}-01" if self._trace else "", self.inside)

    def tell(self, payload: str) -> None:
        """Send a span that has ended, unless there were too many."""
        if self._left <= 0:
            return
        self._left -= 1
        self._bytes_left -= len(payload)
        if self._bytes_left < 0:
            self._left = 0
        else:
            self._emit("span", payload)
        if not self._left:
            self._emit("debug", f"more than {SPANS_MAX} spans, or {BYTES_MAX} bytes of them: the others are not told")


def _plain(value: Any) -> bool | int | float | str:
    return value if isinstance(value, bool | int | float) else str(value)[:_TEXT_CHARS_MAX]
