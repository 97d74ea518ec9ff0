"""Executions as server-sent events: their bytes, their resumption and their signs of life."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable

import grpc
import pytest

from gateway.core import joblog
from gateway.core.renderer import Renderer
from gateway.core.watches import Batch
from gateway.dialects.kodosumi import stream
from gateway.http import sse
from tests.gateway.watching import Call, batch, calls, event, no, yes


def warm(
    batches: AsyncGenerator[joblog.Events, None],
    encode: Callable[[joblog.Events], bytes],
    *,
    silence_s: float = sse.SILENCE_S,
    first_s: float = sse.FIRST_S,
) -> AsyncGenerator[bytes, None]:
    """Stream as the panel does."""
    return sse.stream(batches, encode, alive=stream.alive, end=stream.eof(), silence_s=silence_s, first_s=first_s)


async def shown(events: joblog.Events, kinds: frozenset[str]) -> joblog.Events:
    """Return events as people see them."""

    async def log() -> AsyncGenerator[Batch, None]:
        yield Batch(events)

    async with Renderer.working() as renderer:
        (batch,) = [batch async for batch in stream.shown(log(), kinds, renderer, lambda kind, payload: payload)]
    return batch


@pytest.mark.parametrize("kind", sorted((stream.MAIN | stream.STDIO) - {"status"}))
async def test_no_kind_brings_an_element_into_a_page(kind: str) -> None:
    """Whatever a flow puts into it; what programs read is the same JSON as before."""
    payload = '{"dict":{"a":"<img src=x onerror=alert(1)>&"}}'

    encoded = stream.encode(await shown([event(1, kind, payload, 1.0)], stream.MAIN | stream.STDIO))

    assert b"<img" not in encoded
    if kind in ("agent", "upload", "lock", "lease", "meta", "payment"):
        assert json.loads(payload) == json.loads(encoded.partition(b"data: 1.0:")[2])


def test_the_notebook_s_stream() -> None:
    """The first events of the seed's stream come out byte for byte."""
    events = [
        event(1, "status", "queued"),
        event(2, "inputs", '{"dict":{"start":"0"}}', 1765350224.8006258),
        event(4, "status", "running", 1765350225.193517),
    ]
    assert stream.encode(events) == (
        b"id: 1\r\nevent: status\r\ndata: 1765350222.652195:starting\r\n\r\n"
        b'id: 2\r\nevent: inputs\r\ndata: 1765350224.8006258:{"dict":{"start":"0"}}\r\n\r\n'
        b"id: 4\r\nevent: status\r\ndata: 1765350225.193517:running\r\n\r\n"
    )
    assert stream.alive(1765350228.212321) == (
        b"id: 0\r\nevent: alive\r\ndata: 1765350228.212321:service alive\r\n\r\n"
    )
    assert stream.eof() == b"id: 0\r\nevent: eof\r\ndata: end of stream\r\n\r\n"


@pytest.mark.parametrize(
    ("payload", "word"),
    [("queued", b"starting"), ("succeeded", b"finished"), ("failed", b"error"), ("cancelled", b"error"), ("x", b"x")],
)
def test_statuses_speak_kodosumi(payload: str, word: bytes) -> None:
    """A status event has the panel's word; one of a newer runner passes as it is."""
    assert (
        stream.encode([event(1, "status", payload, 5.0)])
        == b"id: 1\r\nevent: status\r\ndata: 5.0:" + word + b"\r\n\r\n"
    )


def test_lines_cannot_break_out_of_an_event() -> None:
    """Line breaks of each make become data lines, other separators stay, and a kind cannot bring one in."""
    text = "a\nb\r\nc\rd\u2028e\x0bf"
    data = "data: 1.0:a\r\ndata: b\r\ndata: c\r\ndata: d\u2028e\x0bf"
    assert stream.encode([event(7, "stdout", text, 1.0)]) == f"id: 7\r\nevent: stdout\r\n{data}\r\n\r\n".encode()
    assert b"event: evilidx\r\n" in stream.encode([event(7, "evil\r\nid: 9x", "", 1.0)])


async def test_an_error_never_shows_its_traceback() -> None:
    """The detail is for operators and is in no form of the stream."""
    failed = [event(1, "error", "ValueError: no", detail="Traceback: secret")]
    for kinds in (None, stream.MAIN, stream.STDIO):
        for events in (failed, await shown(failed, kinds or stream.MAIN)):
            encoded = stream.encode(events, kinds)
            assert b"ValueError: no" in encoded
            assert b"secret" not in encoded


def test_who_resumes_gets_no_id_that_is_none() -> None:
    """What is left out at the end of a batch counts as seen, and shows as nothing."""
    events = [event(1, "stdout", "a", 1.0), event(2, "debug", "b", 1.0), event(3, "status", "running", 1.0)]

    assert b"event: alive\r\ndata: 1.0:service alive\r\n\r\n" == stream.alive(1.0, resumes=True)
    assert b"event: eof\r\ndata: end of stream\r\n\r\n" == stream.eof(resumes=True)
    assert stream.encode(events, stream.STDIO, marks=True).endswith(b"data: 1.0:b\r\n\r\nid: 3\r\n\r\n")
    assert stream.encode(events, stream.MAIN, marks=True).endswith(b"data: 1.0:running\r\n\r\n")
    assert b"id: 2\r\n\r\n" == stream.encode(events[:2], stream.MAIN, marks=True)
    assert b"" == stream.encode([], stream.MAIN, marks=True)


@pytest.mark.parametrize(
    ("accept", "resumes"),
    [
        ("text/event-stream", True),
        ("application/json, Text/Event-Stream;q=0.5", True),
        ("*/*", False),
        ("", False),
        ("text/html", False),
    ],
)
def test_who_resumes_says_so(accept: str, resumes: bool) -> None:
    """As EventSource does."""
    assert resumes == stream.resumes(accept)


async def test_main_and_stdio_choose_kinds_and_format_them() -> None:
    """Each leaves the other's kinds out, shares the errors, and formats payloads for people."""
    events = [event(1, "stdout", "<a>"), event(2, "result", '{"Markdown":{"body":"*x*"}}'), event(3, "error", "<e>")]
    assert stream.encode(await shown(events, stream.MAIN), stream.MAIN).count(b"event: ") == 2
    assert b"<p><em>x</em></p>\r\n\r\n" in stream.encode(await shown(events, stream.MAIN), stream.MAIN)
    assert b"&lt;a&gt;" in stream.encode(await shown(events, stream.STDIO), stream.STDIO)
    assert b"event: result" not in stream.encode(events, stream.STDIO)
    assert b":<a>" in stream.encode(events, stream.STDIO)
    assert stream.encode([events[0]], stream.MAIN) == b""


@pytest.mark.parametrize("code", [grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNAVAILABLE])
async def test_a_failure_before_the_first_message_comes_out(code: grpc.StatusCode) -> None:
    """What fails at once is the caller's to answer, before anything was sent."""
    watch, _ = calls(Call(end=code))
    chunks = warm(joblog.resumed(watch, no, 0), stream.encode)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await anext(chunks)
    assert caught.value.code() is code


async def test_a_job_that_is_deleted_ends_its_stream() -> None:
    """If the job vanishes under the stream, the stream ends as streams do."""
    watch, _ = calls(Call(batch(event(1, "status", "queued")), end=grpc.StatusCode.NOT_FOUND))
    chunks = [chunk async for chunk in warm(joblog.resumed(watch, no, 0), stream.encode)]
    assert chunks[-1] == stream.eof()


async def test_silence_is_broken_by_alive() -> None:
    """While nothing comes `alive` does, also when all that comes is left out; the end is `eof`."""
    go_on = asyncio.Event()

    async def quiet() -> AsyncGenerator[joblog.Events, None]:
        yield [event(1, "status", "running", 1.0)]
        yield [event(2, "stdout", "left out", 1.0)]
        await go_on.wait()
        yield [event(3, "status", "succeeded", 1.0)]

    chunks = warm(quiet(), lambda events: stream.encode(events, stream.MAIN), silence_s=0.02)
    assert await anext(chunks) == b"id: 1\r\nevent: status\r\ndata: 1.0:running\r\n\r\n"
    for _ in range(2):
        assert b"event: alive\r\n" in await anext(chunks)
    go_on.set()
    while b"event: alive\r\n" in (chunk := await anext(chunks)):
        pass
    assert b":finished\r\n" in chunk
    assert await anext(chunks) == stream.eof()
    with pytest.raises(StopAsyncIteration):
        await anext(chunks)


async def test_a_sign_of_life_from_the_runner_opens_the_stream() -> None:
    """If nothing is new, the first heartbeat of the runner gives the client the head of its answer."""
    watch, _ = calls(Call(batch(), hang=True))
    chunks = warm(joblog.resumed(watch, no, 5), stream.encode, silence_s=60, first_s=60)
    assert b"event: alive\r\n" in await anext(chunks)
    await chunks.aclose()


async def test_a_client_that_hangs_up_cancels_the_call() -> None:
    """When the stream is closed or cancelled while it waits, the call to the runner is cancelled."""
    for hang_up in (True, False):
        waiting = Call(batch(event(1, "debug", "a")), hang=True)
        watch, _ = calls(waiting)
        chunks = warm(joblog.resumed(watch, no, 0), stream.encode, silence_s=60)
        await anext(chunks)
        if hang_up:
            task = asyncio.ensure_future(anext(chunks))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await chunks.aclose()
        assert waiting.cancelled


async def test_it_keeps_up_with_ten_thousand_events_a_second() -> None:
    """Encoding and streaming stay above the rate that one job may reach: in batches, and one by one with headroom."""
    for size, at_least in ((1, 3_000), (100, 10_000)):
        messages = [
            batch(*[event(number + offset, "stdout", "x" * 100) for offset in range(size)])
            for number in range(1, 20_000, size)
        ]
        watch, _ = calls(Call(*messages))
        started = time.process_time()
        length = 0
        async for chunk in warm(joblog.resumed(watch, yes, 0), stream.encode):
            length += len(chunk)
        assert length > 20_000 * 100
        assert 20_000 / (time.process_time() - started) > at_least
