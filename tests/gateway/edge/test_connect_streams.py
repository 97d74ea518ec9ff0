"""Streams of Connect in JSON, as connect-web asks for them by default: messages in envelopes; the last says how."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest
from agentmesh_protos.runner.v1 import job_pb2

from gateway.edge import limits
from tests.gateway import stage as stages
from tests.gateway.edge.test_connect import WATCH_JOB, frames
from tests.gateway.edge.test_connect_calls import short
from tests.gateway.stack import DEADLINE_S
from tests.gateway.stage import Stage
from tests.gateway.watching import event

pytestmark = pytest.mark.asyncio(loop_scope="module")

KIND = "application/connect+json"
CANCEL = "/mesh.runner.v1.JobService/CancelJob"
LONG = "x" * 2_000
"""Worth compressing."""


def enveloped(data: bytes, flags: int = 0, size: int | None = None) -> bytes:
    """Return a message in an envelope; `size` is what that says."""
    return bytes((flags,)) + (len(data) if size is None else size).to_bytes(4, "big") + data


def asking(job_id: str) -> bytes:
    """Return the message of a watch."""
    return json.dumps({"name": f"jobs/{job_id}"}).encode()


async def watch(client: httpx.AsyncClient, content: bytes, headers: Mapping[str, str] = {}) -> list[tuple[int, bytes]]:
    """Watch a job to the end; return the flags and the content of each envelope."""
    answer = await client.post(WATCH_JOB, content=content, headers={"content-type": KIND, **headers})
    assert (200, headers.get("content-type", KIND)) == (answer.status_code, answer.headers["content-type"])
    return frames(answer.content)


def error_in(found: list[tuple[int, bytes]]) -> Any:
    """Return the error of a stream that had no message."""
    ((flags, content),) = found
    assert 2 == flags
    return json.loads(content)["error"]


def done(stage: Stage, *payloads: str) -> str:
    """Return a job of Alice's that has ended, with a log of batches of one event."""
    batches = [[event(seq, "result", payload)] for seq, payload in enumerate(payloads, 1)]
    return stage.runner.add(stages.job(stage.owner, "SUCCEEDED"), *batches)


def waiting(stage: Stage) -> str:
    """Return a job of Alice's whose watch goes on until it is told to."""
    job_id = stage.runner.add(stages.job(stage.owner))
    stage.runner.go_on[job_id] = asyncio.Event()
    stage.runner.hung_up[job_id] = asyncio.Event()
    return job_id


async def test_a_job_is_watched(stage: Stage) -> None:
    """A message for each of the service's, and a last one that says that there was no error."""
    *said, last = await watch(stage.alice, enveloped(asking(done(stage, "a", "b"))))

    assert ["a", "b"] == [json.loads(content)["events"][0]["payload"] for _, content in said]
    assert {0} == {flags for flags, _ in said}
    assert (2, b"{}") == last


async def test_what_comes_is_sent_at_once(stage: Stage) -> None:
    """The first message arrives while the service has not said all."""
    job_id = waiting(stage)
    sent = {"content-type": KIND}
    async with stage.alice.stream("POST", WATCH_JOB, content=enveloped(asking(job_id)), headers=sent) as answer:
        pieces = answer.aiter_raw()
        first = await anext(pieces)
        stage.runner.go_on[job_id].set()
        rest = b"".join([piece async for piece in pieces])

    assert [0, 2] == [flags for flags, _ in frames(first + rest)]
    assert [(0, b'{"events":[]}')] == frames(first)


async def test_who_goes_cancels(stage: Stage) -> None:
    """The service hears of it."""
    job_id = waiting(stage)
    sent = {"content-type": KIND}
    async with stage.alice.stream("POST", WATCH_JOB, content=enveloped(asking(job_id)), headers=sent) as answer:
        await anext(answer.aiter_raw())

    await asyncio.wait_for(stage.runner.hung_up[job_id].wait(), DEADLINE_S)


async def test_a_deadline_ends_a_stream(stage: Stage) -> None:
    """With what has come until then."""
    job_id = waiting(stage)
    *said, (flags, last) = await watch(stage.alice, enveloped(asking(job_id)), {"connect-timeout-ms": "300"})

    assert (2, "deadline_exceeded") == (flags, json.loads(last)["error"]["code"])
    assert len(said) <= 1
    await asyncio.wait_for(stage.runner.hung_up[job_id].wait(), DEADLINE_S)


async def test_an_error_is_the_last_message(stage: Stage) -> None:
    """With its details; the status is 200."""
    error = error_in(await watch(stage.alice, enveloped(asking("none"))))
    foreign = error_in(await watch(stage.bob, enveloped(asking(done(stage, "a")))))

    assert {"not_found"} == {error["code"], foreign["code"]}
    assert "NOT_FOUND" == error["details"][0]["debug"]["reason"]


async def test_a_stranger_is_told_so(stage: Stage) -> None:
    """As by any other way."""
    error = error_in(await watch(stage.nobody, enveloped(asking(done(stage, "a")))))

    assert "unauthenticated" == error["code"]


@pytest.mark.parametrize("kind", [KIND, "application/connect+proto"])
async def test_messages_may_be_compressed(stage: Stage, kind: str) -> None:
    """In both directions, in both codecs; a short one is not."""
    job_id = done(stage, LONG, "short")
    binary = job_pb2.WatchJobRequest(name=f"jobs/{job_id}").SerializeToString()
    content = enveloped(gzip.compress(asking(job_id) if kind == KIND else binary), 1)
    said = {"content-type": kind, "connect-content-encoding": "gzip", "connect-accept-encoding": "gzip"}
    answer = await stage.alice.post(WATCH_JOB, content=content, headers=said)
    (packed, long), (plain, _), (last, _) = frames(answer.content)
    found = gzip.decompress(long)

    assert (1, 0, 2) == (packed, plain, last)
    assert "gzip" == answer.headers["connect-content-encoding"]
    assert LONG.encode() in found
    assert kind == answer.headers["content-type"]


async def test_who_does_not_ask_gets_it_as_it_is(stage: Stage) -> None:
    """A message that is not compressed may be sent where others would be."""
    job_id = done(stage, LONG)
    said = {"connect-content-encoding": "gzip", "connect-accept-encoding": "identity"}
    flags = [flag for flag, _ in await watch(stage.alice, enveloped(asking(job_id)), said)]

    assert [0, 2] == flags


_BOMB = gzip.compress(b" " * limits.REQUEST_BYTES_MAX + b"{}", mtime=0)
_GZIP = {"connect-content-encoding": "gzip"}


@pytest.mark.parametrize(
    ("content", "headers", "code"),
    [
        (b"", {}, "unimplemented"),
        (b"\0", {}, "invalid_argument"),
        (b"\0\0\0\0", {}, "invalid_argument"),
        (enveloped(b"{}", size=3), {}, "invalid_argument"),
        (enveloped(b"{}", size=2**32 - 1), {}, "resource_exhausted"),
        (enveloped(b"{}", size=1), {}, "unimplemented"),
        (enveloped(b"{}") * 2, {}, "unimplemented"),
        (enveloped(b""), {}, "invalid_argument"),
        (enveloped(b"{}", 2), {}, "invalid_argument"),
        (enveloped(b"{}", 0x80), {}, "invalid_argument"),
        (enveloped(b"{}", 1), {}, "internal"),
        (enveloped(b"{}", 1), _GZIP, "invalid_argument"),
        (enveloped(_BOMB, 1), _GZIP, "resource_exhausted"),
        (enveloped(b"{}"), {"connect-content-encoding": "br"}, "unimplemented"),
        (enveloped(b'{"name": "\xff"}'), {}, "invalid_argument"),
        (enveloped(b'{"name": ' + b"[" * 50_000), {}, "invalid_argument"),
        (enveloped(b"{}"), {"connect-timeout-ms": "soon"}, "invalid_argument"),
        (enveloped(b"{}"), {"connect-protocol-version": "2"}, "invalid_argument"),
    ],
    ids=short,
)
async def test_what_cannot_be_read_is_told_so(stage: Stage, content: bytes, headers: dict[str, str], code: str) -> None:
    """In the last message, which is the only one."""
    assert code == error_in(await watch(stage.alice, content, headers))["code"]


async def test_a_message_that_never_ends_is_refused(stage: Stage) -> None:
    """When it is larger than one may be."""

    async def pieces() -> AsyncIterator[bytes]:
        yield enveloped(b"", size=limits.REQUEST_BYTES_MAX)
        for _ in range(9):
            yield b" " * 1024**2

    answer = await stage.alice.post(WATCH_JOB, content=pieces(), headers={"content-type": KIND})

    assert "resource_exhausted" == error_in(frames(answer.content))["code"]


async def test_a_method_without_a_stream_is_not_asked_for_one(stage: Stage) -> None:
    """415; and one with a stream not without."""
    unary = await stage.alice.post(CANCEL, content=enveloped(b"{}"), headers={"content-type": KIND})
    stream = await stage.alice.post(WATCH_JOB, content=b"{}", headers={"content-type": "application/json"})

    assert [415, 415] == [unary.status_code, stream.status_code]
    assert f"{KIND}, application/connect+proto" == stream.headers["accept-post"]


async def test_who_sends_a_stream_speaks_grpc(stage: Stage) -> None:
    """UNIMPLEMENTED."""
    path = "/mesh.runner.v1.AppService/StreamApp"
    answer = await stage.alice.post(path, content=enveloped(b"{}"), headers={"content-type": KIND})

    assert (501, "unimplemented") == (answer.status_code, answer.json()["code"])


async def test_a_page_of_another_site_needs_a_token(stage: Stage) -> None:
    """A cookie does not count there."""
    cookie = {"cookie": f"kodosumi_jwt={stage.alice.headers['KODOSUMI_API_KEY']}", "content-type": KIND}
    content = enveloped(asking(done(stage, "a")))
    ours = await stage.nobody.post(WATCH_JOB, content=content, headers=cookie)
    theirs = await stage.nobody.post(WATCH_JOB, content=content, headers={**cookie, "origin": "https://evil.example"})

    assert [0, 2] == [flags for flags, _ in frames(ours.content)]
    assert (403, "permission_denied") == (theirs.status_code, theirs.json()["code"])
