"""A job's log as server-sent events in kodosumi's format.

Lines end in CRLF; fields come as id, event, data.  `data` is `{timestamp}:{payload}`, the timestamp as Python prints a
float.  Synthetic events have id 0: `alive` after a silence, `eof` at the end.  Source: the stream printed in the
"Expose and Sumi API Demonstration" notebook.
"""

import re
from collections.abc import Callable

from gateway.core import render
from gateway.core.joblog import Events
from gateway.dialects.kodosumi.words import WORDS

MAIN = frozenset(
    ("meta", "inputs", "agent", "status", "error", "action", "result", "final", "lock", "lease", "payment"),
)
STDIO = frozenset(("error", "stdout", "stderr", "debug", "upload"))
_KINDS = MAIN | STDIO

EOF = b"id: 0\r\nevent: eof\r\ndata: end of stream\r\n\r\n"

_BREAK = re.compile(r"\r\n|\n|\r")
_BAD_IN_KIND = re.compile(r"[^a-z_]+")


def encode(
    events: Events,
    kinds: frozenset[str] | None = None,
    *,
    html: bool = False,
    translate: Callable[[str, str], str] | None = None,
) -> bytes:
    """Return events as the bytes of a stream.

    `kinds` leaves out all others; `html` formats payloads for people; `translate` puts a payload of a kind into other
    words.  A status is translated always, an error has its text and never its traceback.
    """
    lines: list[str] = []
    for event in events:
        kind = event.kind
        if kinds is not None and kind not in kinds:
            continue
        payload = event.payload if translate is None else translate(kind, event.payload)
        if kind == "status":
            payload = WORDS.of_event(payload)
        elif html:
            payload = render.from_event(kind, payload)
        if kind not in _KINDS:
            kind = _BAD_IN_KIND.sub("", kind)
        if "\n" in payload or "\r" in payload:
            payload = _BREAK.sub("\r\ndata: ", payload)
        lines.append(f"id: {event.seq}\r\nevent: {kind}\r\ndata: {event.time!r}:{payload}\r\n\r\n")
    return "".join(lines).encode()


def alive(now: float) -> bytes:
    """Return the event that says that nothing happened."""
    return f"id: 0\r\nevent: alive\r\ndata: {now!r}:service alive\r\n\r\n".encode()
