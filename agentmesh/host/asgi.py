"""Runs an app's ASGI interface in memory: one request at a time, and its start-up and shutdown."""

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

from mesh.runner.v1 import app_pb2

from agentmesh.loading import Asgi

# What only the mesh may say to an app: who calls, at which address, and what was noted for the job.
_RESERVED = ("x-kodosumi_user", "x-kodosumi_base", "x-kodosumi-url", "x-kodosumi_extra")
RESPONSE_BYTES_MAX = 8 * 1024 * 1024
_SHUTDOWN_S = 1.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """On whose behalf an app is asked."""

    user: str
    """`users/{uuid}`."""
    base_url: str
    """The address at which people reach the mesh."""
    expose: str
    extra_json: str = ""
    """What was noted for jobs: a JSON object, or empty."""

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The headers that tell the app.  Raises `ValueError` if `extra_json` is not JSON."""
        said = [
            (b"x-kodosumi_user", self.user.removeprefix("users/").encode()),
            (b"x-kodosumi_base", f"{self.base_url}/-/{self.expose}".encode()),
            (b"x-kodosumi-url", self.base_url.encode()),
        ]
        if self.extra_json:
            extra = json.dumps(json.loads(self.extra_json))  # escaped: a header holds ASCII
            said.append((b"x-kodosumi_extra", extra.encode()))
        return said


@dataclasses.dataclass(slots=True)
class Response:
    """What an app answered."""

    status: int = 0
    """0 until it has begun to answer."""
    headers: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    """Names in lower case."""
    body: bytes = b""


def scope(
    asker: Asker, method: str, path: str, query: str = "", headers: Iterable[app_pb2.Header] = ()
) -> dict[str, Any]:
    """Return the ASGI scope of a request; what a caller says in the mesh's own headers is dropped.

    Raises `ValueError` if the asker's `extra_json` is not JSON.
    """
    said = [(h.name.lower().encode("latin-1", "replace"), h.value.encode("latin-1", "replace")) for h in headers]
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [pair for pair in said if pair[0].decode("latin-1") not in _RESERVED] + asker.headers,
        "client": None,
        "server": None,
    }


async def request(asgi: Asgi, scope: dict[str, Any], body: bytes) -> Response:
    """Send one request and return the answer.

    Raises what the app raises, and `ValueError` for an answer that is too large.
    """
    incoming: list[dict[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]
    never = asyncio.Event()
    response = Response()
    received = bytearray()

    async def receive() -> dict[str, Any]:
        if incoming:
            return incoming.pop()
        await never.wait()  # the caller stays connected until it has its answer
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            response.status = message["status"]
            for name, value in message.get("headers", ()):
                response.headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))
        elif message["type"] == "http.response.body":
            received.extend(message.get("body", b""))
            if len(received) > RESPONSE_BYTES_MAX:
                raise ValueError(f"the app's answer is larger than {RESPONSE_BYTES_MAX} bytes")

    await asgi(scope, receive, send)
    response.body = bytes(received)
    return response


@contextlib.asynccontextmanager
async def lifespan(asgi: Asgi) -> AsyncIterator[None]:
    """Run the app's start-up before the block and its shutdown after it.

    Raises `RuntimeError` if the app says that its start-up failed.
    """
    incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    outgoing: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def run() -> None:
        try:
            scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
            await asgi(scope, incoming.get, outgoing.put)
        except Exception:  # an app without lifespan raises: the protocol says to go on without
            await outgoing.put({"type": "lifespan.unsupported"})

    task = asyncio.create_task(run(), name="lifespan")
    await incoming.put({"type": "lifespan.startup"})
    started = await outgoing.get()
    if started["type"] == "lifespan.startup.failed":
        raise RuntimeError(f"the app's start-up failed: {started.get('message', '')}")
    try:
        yield
    finally:
        if started["type"] == "lifespan.startup.complete":
            await incoming.put({"type": "lifespan.shutdown"})
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SHUTDOWN_S):
                    await outgoing.get()
        task.cancel()
