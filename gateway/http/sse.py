"""Server-sent events: how an answer is marked as one, kept alive while there is nothing to say, and broken off."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from typing import TypeVar

from meshkit import clock
from meshkit.errors import MeshError

CONTENT_TYPE = "text/event-stream; charset=utf-8"
HEADERS = (("cache-control", "no-cache"), ("x-accel-buffering", "no"))
SILENCE_S = 3.0
"""How long nothing may be sent before a sign of life is."""
FIRST_S = 1.0
"""The same before anything was sent: the client waits for the answer's head, which goes out with the first bytes."""

Batch = TypeVar("Batch")


def broken(error: MeshError, content_type: str) -> bytes:
    """Return what ends a stream that has begun and cannot go on: an event, or nothing where there are no events."""
    if not content_type.startswith("text/event-stream"):
        return b""
    return f"event: error\ndata: {json.dumps({'code': error.code.name, 'message': str(error)})}\n\n".encode()


async def stream(
    batches: AsyncGenerator[Batch, None],
    encode_batch: Callable[[Batch], bytes],
    *,
    alive: Callable[[float], bytes],
    end: bytes,
    silence_s: float = SILENCE_S,
    first_s: float = FIRST_S,
) -> AsyncGenerator[bytes, None]:
    """Yield `batches` as chunks of bytes, with `alive(now)` in silences and `end` behind the last.

    What `batches` raises comes out here; if that is before the first chunk, nothing was sent yet.  Closes `batches`.
    """
    loop = asyncio.get_running_loop()
    alive_at = loop.time() + min(first_s, silence_s)
    reading: asyncio.Future[Batch] | None = None
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
                chunk = alive(clock.now())
            if chunk:
                yield chunk
                sent, alive_at = True, loop.time() + silence_s
        yield end
    finally:
        if reading is not None:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        await batches.aclose()
