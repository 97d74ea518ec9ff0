"""An address that webhooks are told at: a real HTTP server that keeps what it is sent and answers as a test says."""

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator

import standardwebhooks


@dataclasses.dataclass(frozen=True, slots=True)
class Received:
    """One request."""

    headers: dict[str, str]
    body: str

    @property
    def kind(self) -> str:
        """Of what it tells."""
        return str(json.loads(self.body)["type"])

    def verify(self, secret: str) -> None:
        """Raise unless it is signed with the secret."""
        standardwebhooks.Webhook(secret).verify(self.body, self.headers)


class Receiver:
    """Keeps requests, in the order in which they came."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.answers: list[str] = []
        """Heads and bodies of the next answers; behind them: 200."""
        self.silent = asyncio.Event()
        """While it is not set, nothing is answered."""
        self.silent.set()
        self.url = ""
        self._came = asyncio.Condition()

    async def until(self, count: int, deadline_s: float = 60.0) -> list[Received]:
        """Wait until so many requests have come."""
        async with asyncio.timeout(deadline_s), self._came:
            await self._came.wait_for(lambda: len(self.received) >= count)
        return self.received

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            lines = (line.partition(": ") for line in head[1:] if line)
            headers = {name.lower(): value for name, _, value in lines}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            async with self._came:
                self.received.append(Received(headers, body.decode()))
                self._came.notify_all()
            await self.silent.wait()
            answer = self.answers.pop(0) if self.answers else "200 OK\r\n\r\nthanks"
            writer.write(f"HTTP/1.1 {answer}".encode())
            await writer.drain()


@contextlib.asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """Listen on a free port for the length of the block."""
    receiver = Receiver()
    server = await asyncio.start_server(receiver._serve, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    try:
        yield receiver
    finally:
        receiver.silent.set()
        server.close()
