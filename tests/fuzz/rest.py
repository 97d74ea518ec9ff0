"""Nonsense over REST: every route of the contract, and what is hardly HTTP."""

import asyncio
import time
import urllib.parse
from collections.abc import Sequence

import httpx

from tests.conformance.routes import Route, example, routes
from tests.fuzz.garbage import Garbage
from tests.fuzz.seen import Seen

AT_ONCE = 8
PATIENCE_S = 90.0
"""How long a machine may be so busy that what is asked says to try again."""
HANGS, UNSAID = 0, 1
"""In place of a status: nothing came in time; the client does not say that, or was hung up on.  Whether somebody ended
is seen at the end."""
AGAIN = (HANGS, 503, 504)
HEADERS = (
    *("accept", "content-type", "cookie", "authorization", "idempotency-key"),
    *("last-event-id", "origin", "if-none-match", "range", "x-forwarded-for", "x-mesh-tier", "x-http-code", "te"),
    *("content-encoding", "expect", "kodosumi_api_key", "token", "x-runtime-token", "forwarded", "grpc-timeout"),
)
LEFT_OUT = ("Logout", "SubmitLogout", "StartBoot", "StopApps", "RefreshExpose", "Login", "SubmitLogin")
"""Would end the session or the apps, or be taken for guessing."""


async def fuzz(url: str, tokens: Sequence[str], garbage: Garbage, calls: int, seen: Seen) -> None:
    """Send `calls` requests to the mesh at `url`, each as who has one of `tokens`, and note what is wrong."""
    targets = [route for route in routes() if route.method.name.rpartition("/")[2] not in LEFT_OUT]
    todo = iter(range(calls))
    async with httpx.AsyncClient(base_url=url, timeout=seen.deadline_s) as http:

        async def work() -> None:
            for _ in todo:
                route = garbage.random.choice(targets)
                await _send(http, route, garbage.random.choice(tokens), garbage, seen)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(AT_ONCE):
                tasks.create_task(work())


async def _send(http: httpx.AsyncClient, route: Route, token: str, garbage: Garbage, seen: Seen) -> None:
    segments = "".join(
        urllib.parse.quote(garbage.text() or "x", safe="", errors="replace") if is_open else piece
        for piece, is_open in route.pieces()
    )
    query = garbage.random.choice(
        ("", "", urllib.parse.urlencode({garbage.text(): garbage.text()}, errors="replace"), garbage.raw(20).hex())
    )
    headers = {"content-type": "application/json", "accept": "application/json"}
    if token:
        headers["authorization"] = f"Bearer {token}"
    if garbage.random.random() < 0.3:
        value = garbage.random.choice((garbage.text(), garbage.raw(40).decode("latin-1")))
        headers[garbage.random.choice(HEADERS)] = "".join(c for c in value if c.isprintable() and ord(c) < 256)[:2_000]
    body = garbage.body(example(route)) if route.verb in ("POST", "PUT", "PATCH", "DELETE") else b""
    what = f"{route.verb} {segments}?{query} {headers} {body[:200]!r}"
    try:
        request = http.build_request(route.verb, f"{segments}?{query}", headers=_bytes(headers), content=body)
    except (httpx.InvalidURL, ValueError):
        return  # the client does not say that: `wire` does
    status, said = await _answer(http, request)
    until = time.monotonic() + PATIENCE_S
    while status in AGAIN and time.monotonic() < until:
        status, said = await _answer(http, request)
    if status == UNSAID:
        return
    if status == HANGS:
        seen.wrong("hangs", what)
        return
    seen.answered(str(status))
    if status >= 500:
        seen.wrong(f"answers {status}", f"{what} -> {said[:300]!r}")
    if b"Traceback (most recent call last)" in said:
        seen.wrong("shows a stack trace", what)


async def _answer(http: httpx.AsyncClient, request: httpx.Request) -> tuple[int, bytes]:
    """Return the status of an answer, and what comes of it within a moment."""
    try:
        answer = await http.send(request, stream=True)
    except httpx.TimeoutException:
        return HANGS, b""
    except httpx.TransportError:
        return UNSAID, b""
    said = b""
    try:
        async with asyncio.timeout(0.5):
            async for chunk in answer.aiter_bytes():
                said += chunk
                if len(said) > 100_000:
                    break
    except (TimeoutError, httpx.HTTPError):
        pass  # a stream that lives, or ends
    finally:
        await answer.aclose()
    return answer.status_code, said


def _bytes(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]


async def wire(url: str, garbage: Garbage, calls: int, seen: Seen) -> None:
    """Send what is hardly HTTP, and see that each connection is answered or ended."""
    parts = urllib.parse.urlsplit(url)
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(sent: bytes) -> None:
        async with gate:
            try:
                async with asyncio.timeout(seen.deadline_s):
                    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
                    writer.write(sent)
                    writer.write_eof()
                    said = await reader.read(65_536)
                    writer.close()
            except TimeoutError:
                seen.wrong("hangs", repr(sent[:200]))
                return
            except OSError:
                return
            seen.answered("wire")
            if said.startswith(b"HTTP/1.1 5") and not said.startswith((b"HTTP/1.1 501", b"HTTP/1.1 505")):
                seen.wrong("answers 5xx", f"{sent[:200]!r} -> {said[:200]!r}")

    await asyncio.gather(*(one(_nonsense(garbage)) for _ in range(calls)))


def _nonsense(garbage: Garbage) -> bytes:
    head = b"GET /flow HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n"
    match garbage.random.randrange(5):
        case 0:
            return garbage.raw(2_000)
        case 1:
            return b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + garbage.raw(500)
        case 2:
            chunked = b"POST /flow HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
            return chunked + garbage.raw(50).hex().encode() + b"\r\n" + garbage.raw(50)
        case 3:
            return b"GET " + garbage.text().encode(errors="replace") + b" HTTP/1.1\r\nHost: a\r\n\r\n"
        case _:
            return garbage.mutated(head)
