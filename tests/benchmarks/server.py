"""A small HTTP server whose answers a test decides: what a benchmark's client talks to."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

Answer = Callable[[str, str], tuple[int, Any]]
"""From method and path to status and JSON."""


@contextlib.asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[str]:
    """Serve on a free port for the length of the block; yield the URL."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError), contextlib.closing(writer):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                for line in head.lower().split("\r\n"):
                    if line.startswith("content-length:"):
                        await reader.readexactly(int(line.partition(":")[2]))
                method, path, _ = head.split(" ", 2)
                status, body = answer(method, path)
                data = json.dumps(body).encode()
                writer.write(f"HTTP/1.1 {status} Said\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)
                await writer.drain()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()[:2]
        yield f"http://{host}:{port}"
