"""Serves an app's ASGI interface in memory, as an ASGI server does: requests, WebSockets, start-up and shutdown.

Source: the ASGI specification 3.0, with HTTP and WebSocket 2.3 and its extension "WebSocket Denial Response".
"""

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator, Iterable
from typing import Any
from urllib.parse import quote, urlsplit

from agentmesh_protos.runner.v1 import app_pb2

from agentmesh._app.loading import Asgi
from agentmesh.host.app.connections import Http, Part

# What only the mesh may say to an app: who calls, at which address, and what was noted for the job.
_RESERVED = ("x-kodosumi_user", "x-kodosumi_base", "x-kodosumi-url", "x-kodosumi_extra")
RESPONSE_BYTES_MAX = 8 * 1024 * 1024
"""Of an answer that is wanted as a whole."""
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
    client: str = ""
    """The address of who asks; empty if it is not known."""

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
    asker: Asker,
    method: str,
    path: str,
    query: str = "",
    headers: Iterable[app_pb2.Header] = (),
    state: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the ASGI scope of a request; what a caller says in the mesh's own headers is dropped.

    `state` is what the app's start-up has left.  Raises `ValueError` if the asker's `extra_json` is not JSON.
    """
    said = [(h.name.lower().encode("latin-1", "replace"), h.value.encode("latin-1", "replace")) for h in headers]
    address = urlsplit(asker.base_url)
    port = address.port or (443 if address.scheme == "https" else 80)
    found = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": address.scheme or "http",
        "path": path,
        "raw_path": quote(path, safe="/~!$&'()*+,;=:@").encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [pair for pair in said if pair[0].decode("latin-1") not in _RESERVED] + asker.headers,
        "client": (asker.client, 0) if asker.client else None,
        "server": (address.hostname, port) if address.hostname else None,
    }
    return found if state is None else {**found, "state": state.copy()}


def socket_scope(http: dict[str, Any]) -> dict[str, Any]:
    """Return the scope of a WebSocket that is opened with the request of an HTTP scope."""
    asked = [value.decode("latin-1") for name, value in http["headers"] if name == b"sec-websocket-protocol"]
    found = {key: value for key, value in http.items() if key != "method"}
    return {
        **found,
        "type": "websocket",
        "scheme": "wss" if http["scheme"] == "https" else "ws",
        "subprotocols": [name.strip() for line in asked for name in line.split(",") if name.strip()],
        "extensions": {"websocket.http.response": {}},
    }


_behind: set[asyncio.Task[None]] = set()
"""Apps that have answered and go on, as with Starlette's background tasks."""


async def request(asgi: Asgi, scope: dict[str, Any], body: bytes) -> Response:
    """Send one request and return the whole answer.

    Raises what the app raises, and `ValueError` for an answer that is too large.
    """
    response = Response()
    received = bytearray()

    async def put(part: Part) -> None:
        match part.WhichOneof("part"):
            case "head":
                response.status = part.head.status
                response.headers = [(header.name, header.value) for header in part.head.headers]
            case "data":
                received.extend(part.data)
                connection.hear(Part(taken_bytes=len(part.data)))
                if len(received) > RESPONSE_BYTES_MAX:
                    raise ValueError(f"the app's answer is larger than {RESPONSE_BYTES_MAX} bytes")

    connection = Http(scope, body, put)
    running = asyncio.create_task(connection.run(asgi), name="app")
    _behind.add(running)
    running.add_done_callback(_behind.discard)
    try:
        await connection.ended.wait()
    except asyncio.CancelledError:
        running.cancel()
        raise
    if connection.error is not None:
        raise connection.error
    response.body = bytes(received)
    return response


@contextlib.asynccontextmanager
async def lifespan(asgi: Asgi) -> AsyncIterator[dict[str, Any] | None]:
    """Run the app's start-up before the block and its shutdown after it; yield the state that its start-up has left.

    That is None if the app knows no start-up.  Raises `RuntimeError` if the app says that its start-up failed.
    """
    incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    outgoing: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    state: dict[str, Any] = {}

    async def run() -> None:
        try:
            scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": state}
            await asgi(scope, incoming.get, outgoing.put)
        except Exception:  # an app without lifespan raises: the protocol says to go on without
            pass
        await outgoing.put({"type": "lifespan.unsupported"})

    task = asyncio.create_task(run(), name="lifespan")
    await incoming.put({"type": "lifespan.startup"})
    started = await outgoing.get()
    if started["type"] == "lifespan.startup.failed":
        raise RuntimeError(f"the app's start-up failed: {started.get('message', '')}")
    try:
        yield state if started["type"] == "lifespan.startup.complete" else None
    finally:
        if started["type"] == "lifespan.startup.complete":
            await incoming.put({"type": "lifespan.shutdown"})
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SHUTDOWN_S):
                    await outgoing.get()
        task.cancel()
