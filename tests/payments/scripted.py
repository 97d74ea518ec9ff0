"""An HTTP server on a free port that answers as a test says, byte for byte, and keeps what it was asked."""

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator, Callable
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """One request."""

    line: str
    headers: dict[str, str]
    body: Any


Answer = bytes | None
"""What to send; `None` says nothing for as long as the caller waits."""


@dataclasses.dataclass(slots=True)
class Script:
    """What to answer, by a function of what is asked."""

    url: str = ""
    answer: Callable[[Asked], Answer] = lambda asked: ok({})
    asked: list[Asked] = dataclasses.field(default_factory=list)
    connections: int = 0


def response(status: int, body: Any, *headers: str) -> bytes:
    """Return an HTTP response."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = [f"HTTP/1.1 {status} Whatever", f"content-length: {len(data)}", "content-type: application/json", *headers]
    return "\r\n".join([*head, "", ""]).encode() + data


def ok(data: Any) -> bytes:
    """Return a success in its envelope."""
    return response(200, {"status": "success", "data": data})


def error(status: int, message: str, *headers: str) -> bytes:
    """Return a failure in its envelope."""
    return response(status, {"status": "error", "error": {"message": message}}, *headers)


async def _answered(script: Script, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Answer one request; return whether the connection stays."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {key.lower(): value for key, _, value in (line.partition(": ") for line in head[1:] if line)}
    raw = await reader.readexactly(int(headers.get("content-length", 0)))
    asked = Asked(head[0], headers, json.loads(raw) if raw else None)
    script.asked.append(asked)
    sent = script.answer(asked)
    if sent is None:
        await asyncio.Event().wait()
    elif sent:
        writer.write(sent)
        await writer.drain()
        return b"connection: close" not in sent
    return False


@contextlib.asynccontextmanager
async def scripted() -> AsyncIterator[Script]:
    """Run the server for the length of the block."""
    script = Script()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        script.connections += 1
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            while await _answered(script, reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the caller has hung up
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    script.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/api/v1"
    try:
        yield script
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
