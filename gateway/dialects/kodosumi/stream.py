"""A job's log as server-sent events in kodosumi's format.

Lines end in CRLF; fields come as id, event, data.  `data` is `{timestamp}:{payload}`, the timestamp as Python prints a
float.  Synthetic events have id 0: `alive` after a silence, `eof` at the end.  Source: the stream printed in the
"Expose and Sumi API Demonstration" notebook.

A client that asks for `text/event-stream`, as a browser's EventSource does, remembers the last id it saw and comes
back with it by itself, also after the end (WHATWG HTML, "Server-sent events").  So it gets no id with a synthetic
event, and one without an event (`mark`) for what it does not see; back behind the end it is answered 204, which stops
it.
"""

import contextlib
import re
from collections.abc import AsyncGenerator, Callable

from agentmesh_protos.runner.v1 import job_pb2

from gateway.core import render
from gateway.core.joblog import Events
from gateway.core.renderer import Renderer
from gateway.core.watches import Batch
from gateway.dialects.kodosumi.words import WORDS
from meshkit import clock
from meshkit.errors import MeshError

MAIN = frozenset(
    ("meta", "inputs", "agent", "status", "error", "action", "result", "final", "lock", "lease", "payment"),
)
STDIO = frozenset(("error", "stdout", "stderr", "debug", "upload"))
_KINDS = MAIN | STDIO

_SYNTHETIC = "id: 0\r\n"

_BREAK = re.compile(r"\r\n|\n|\r")
_BAD_IN_KIND = re.compile(r"[^a-z_]+")


def encode(
    events: Events,
    kinds: frozenset[str] | None = None,
    *,
    marks: bool = False,
    translate: Callable[[str, str], str] | None = None,
) -> bytes:
    """Return events as the bytes of a stream.

    `kinds` leaves out all others; `translate` puts a payload of a kind into other words.  `marks` adds a mark for those
    left out at the end.  A status is translated always, an error has its text and never its traceback.
    """
    lines: list[str] = []
    shown = 0
    for event in events:
        kind = event.kind
        if kinds is not None and kind not in kinds:
            continue
        payload = event.payload if translate is None else translate(kind, event.payload)
        if kind == "status":
            payload = WORDS.of_event(payload)
        if kind not in _KINDS:
            kind = _BAD_IN_KIND.sub("", kind)
        if "\n" in payload or "\r" in payload:
            payload = _BREAK.sub("\r\ndata: ", payload)
        shown = event.seq
        lines.append(f"id: {event.seq}\r\nevent: {kind}\r\ndata: {event.time!r}:{payload}\r\n\r\n")
    said = "".join(lines).encode()
    return said + mark(events[-1].seq) if marks and events and events[-1].seq != shown else said


async def raw(log: AsyncGenerator[Batch, None]) -> AsyncGenerator[Events, None]:
    """Yield a log's events as they are."""
    async with contextlib.aclosing(log) as batches:
        async for batch in batches:
            yield batch.events


async def shown(
    log: AsyncGenerator[Batch, None],
    kinds: frozenset[str],
    renderer: Renderer,
    translate: Callable[[str, str], str],
) -> AsyncGenerator[Events, None]:
    """Yield a log's events with the payloads of some kinds put into other words, and made HTML, once for all."""

    async def made(batch: Batch) -> Events:
        chosen = [event for event in batch.events if event.kind in kinds and event.kind != "status"]
        texts = [(render.way_of(event.kind), translate(event.kind, event.payload)) for event in chosen]
        fragments = dict(zip((event.seq for event in chosen), await renderer.all(texts), strict=True))
        return [
            job_pb2.Event(seq=event.seq, kind=event.kind, time=event.time, payload=fragments[event.seq])
            if event.seq in fragments
            else event
            for event in batch.events
        ]

    async with contextlib.aclosing(log) as batches:
        async for batch in batches:
            yield await batch.once((shown, kinds), made)


def alive(now: float, *, resumes: bool = False) -> bytes:
    """Return the event that says that nothing happened; for a client that `resumes`, without an id."""
    return f"{'' if resumes else _SYNTHETIC}event: alive\r\ndata: {now!r}:service alive\r\n\r\n".encode()


def eof(*, resumes: bool = False) -> bytes:
    """Return the event behind the last one; for a client that `resumes`, without an id."""
    return f"{'' if resumes else _SYNTHETIC}event: eof\r\ndata: end of stream\r\n\r\n".encode()


def broken(error: MeshError, content_type: str) -> bytes:
    """Return what ends a stream that has begun and cannot go on: an error in its events, or a line of a boot."""
    text = _BREAK.sub(" ", str(error))
    if content_type.startswith("text/plain"):
        return f"[ERROR] {text}\n".encode()
    return f"event: error\r\ndata: {clock.now()!r}:{text}\r\n\r\n".encode()


def mark(seq: int) -> bytes:
    """Return what lets a client that resumes do so behind event `seq`, and shows it nothing."""
    return f"id: {seq}\r\n\r\n".encode()


def resumes(accept: str) -> bool:
    """Return whether a client that sends this `Accept` comes back by itself with the last id it saw."""
    return any(part.partition(";")[0].strip().lower() == "text/event-stream" for part in accept.split(","))
