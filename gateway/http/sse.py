"""A job's log as server-sent events in kodosumi's format.

Lines end in CRLF; fields come as id, event, data.  `data` is `{timestamp}:{payload}`, the timestamp as Python prints a
float.  Synthetic events have id 0: `alive` after a silence, `eof` at the end.  Source: the stream printed in the
"Expose and Sumi API Demonstration" notebook.

`encode` makes bytes of a batch of events; `resumed` reads a job's log across restarts of the runner; `stream` puts
them together and keeps the line warm.
"""

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any

import grpc
from mesh.runner.v1 import job_pb2

from gateway.core import render
from gateway.core.states import KODOSUMI, TERMINAL, from_name

CONTENT_TYPE = "text/event-stream; charset=utf-8"
HEADERS = (("cache-control", "no-cache"), ("x-accel-buffering", "no"))

MAIN = frozenset(
    ("meta", "inputs", "agent", "status", "error", "action", "result", "final", "lock", "lease", "payment"),
)
STDIO = frozenset(("error", "stdout", "stderr", "debug", "upload"))
_KINDS = MAIN | STDIO

EOF = b"id: 0\r\nevent: eof\r\ndata: end of stream\r\n\r\n"
SILENCE_S = 3.0
"""How long nothing may be sent before `alive` is."""
FIRST_S = 1.0
"""The same before anything was sent: the client waits for the answer's head, which goes out with the first bytes."""
GIVE_UP_S = 30.0
"""How long the runner may be away in the middle of a stream."""

_BREAK = re.compile(r"\r\n|\n|\r")
_BAD_IN_KIND = re.compile(r"[^a-z_]+")
# Of a runner that restarts, as a stream that was open sees it.
_AWAY = frozenset(
    (
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.INTERNAL,
    )
)

Events = Sequence[job_pb2.Event]


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
            payload = KODOSUMI.of_event(payload)
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


async def resumed(
    watch: Callable[[int], Any],
    is_over: Callable[[], Awaitable[bool]],
    after_seq: int,
    *,
    give_up_s: float = GIVE_UP_S,
) -> AsyncGenerator[Events, None]:
    """Yield a job's events from behind `after_seq`, in batches, until its log is complete.

    An empty batch is a sign of life.  `watch(after_seq)` is a call of WatchJob.  If the runner goes away after the
    first message, the log is taken up where it broke off.  `is_over` is asked when the runner ends the stream without a
    terminal event: that is right if there was nothing left to send.  Raises `grpc.aio.AioRpcError`.
    """
    started = over = False
    pause_s, lost_at = 0.05, 0.0
    while True:
        call = watch(after_seq)
        try:
            while (message := await call.read()) is not grpc.aio.EOF:
                started, pause_s, lost_at = True, 0.05, 0.0
                if message.events:
                    after_seq = message.events[-1].seq
                    over = _ends(message.events[-1])
                yield message.events
            if over or await is_over():
                return
        except grpc.aio.AioRpcError as error:
            if started and error.code() is grpc.StatusCode.NOT_FOUND:  # deleted while we watched
                return
            if not started or error.code() not in _AWAY:
                raise
            lost_at = lost_at or time.monotonic()
            if time.monotonic() - lost_at > give_up_s:
                raise
        finally:
            call.cancel()
        await asyncio.sleep(pause_s)
        pause_s = min(1.0, pause_s * 2)


def _ends(event: job_pb2.Event) -> bool:
    try:
        return event.kind == "status" and from_name(event.payload) in TERMINAL
    except KeyError:
        return False


async def stream(
    batches: AsyncGenerator[Events, None],
    encode_batch: Callable[[Events], bytes],
    *,
    silence_s: float = SILENCE_S,
    first_s: float = FIRST_S,
) -> AsyncGenerator[bytes, None]:
    """Yield `batches` as chunks of bytes, with `alive` in silences and `eof` at the end.

    What `batches` raises comes out here; if that is before the first chunk, nothing was sent yet.  Closes `batches`.
    """
    loop = asyncio.get_running_loop()
    alive_at = loop.time() + min(first_s, silence_s)
    reading: asyncio.Future[Events] | None = None
    sent = False
    try:
        while True:
            if reading is None:
                reading = asyncio.ensure_future(anext(batches))
            # Not wait_for: a read that is cancelled cancels the whole call.
            await asyncio.wait((reading,), timeout=max(0.0, alive_at - loop.time()))
            chunk = b""
            if reading.done():
                done, reading = reading, None
                try:
                    chunk = encode_batch(done.result())
                except StopAsyncIteration:
                    break
            if not chunk and (not sent or loop.time() >= alive_at):
                chunk = alive(time.time())
            if chunk:
                yield chunk
                sent, alive_at = True, loop.time() + silence_s
        yield EOF
    finally:
        if reading is not None:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        await batches.aclose()
