"""A bare HTTP/1.1 client on asyncio streams.

General clients spend several hundred microseconds of CPU on a request, more than the mesh does on some answers, and
on the same cores.  This one keeps a connection open, and reads a status, a length or chunks; nothing else.
"""

import asyncio
import json
import os
import urllib.parse
from collections.abc import AsyncGenerator
from typing import Any, Self

_TIMEOUT_S = 60.0


class Failed(Exception):
    """The mesh did not answer as it should."""


class Refused(Failed):
    """An answer's status was not one of success."""

    def __init__(self, method: str, path: str, status: int, body: bytes) -> None:
        self.status = status
        self.request = f"{method} {path}"
        super().__init__(f"{self.request} answered {status}: {body[:200]!r}")


class Http:
    """One kept-alive connection that sends an API key, or another header, with everything."""

    def __init__(self, url: str, key: str = "", *, header: tuple[str, str] | None = None) -> None:
        parts = urllib.parse.urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._head = f"Host: {parts.netloc}\r\n" + (f"KODOSUMI_API_KEY: {key}\r\n" if key else "")
        if header is not None:
            self._head += f"{header[0]}: {header[1]}\r\n"

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port, limit=1024 * 1024)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._writer.close()

    async def send(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        """Send a request; return status and body.  Raises `TimeoutError` or `Failed`."""
        async with asyncio.timeout(_TIMEOUT_S):
            headers = await self._start(method, path, body)
            if headers.get("transfer-encoding") == "chunked":
                return int(headers[":status"]), b"".join([chunk async for chunk in self._chunks()])
            return int(headers[":status"]), await self._reader.readexactly(int(headers.get("content-length", 0)))

    async def json(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request; return its JSON answer.  Raises `Refused` unless the status is 200 or 201."""
        status, answer = await self.send(method, path, body)
        if status not in (200, 201):
            raise Refused(method, path, status, answer)
        return json.loads(answer)

    async def stream(self, path: str) -> AsyncGenerator[bytes, None]:
        """Yield the chunks of a streamed answer as they come.  The connection is used up by it."""
        headers = await self._start("GET", path, None)
        if headers[":status"] != "200":
            raise Failed(f"GET {path} answered {headers[':status']}")
        async for chunk in self._chunks():
            yield chunk

    async def _start(self, method: str, path: str, body: Any) -> dict[str, str]:
        data = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\n{self._head}"
        if body is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n"
        self._writer.write(f"{head}\r\n".encode() + data)
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {":status": lines[0].split(" ")[1]}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return headers

    async def _chunks(self) -> AsyncGenerator[bytes, None]:
        while True:
            size = int((await self._reader.readuntil(b"\r\n")).split(b";")[0], 16)
            chunk = await self._reader.readexactly(size + 2)
            if not size:
                return
            yield chunk[:-2]


async def login(url: str) -> str:
    """Return an API key of the admin of a mesh.  Raises `Failed`."""
    async with Http(url) as http:
        password = os.environ.get("AGENTMESH_ADMIN_PASSWORD", "admin")
        answer = await http.json("POST", "/api/login", {"name": "admin", "password": password})
    return str(answer["KODOSUMI_API_KEY"])
