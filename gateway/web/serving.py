"""The web app's server: uvicorn, for one peer, Envoy."""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator
from typing import Any

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from gateway.http.session import FRAME_BYTES_MAX
from meshkit import endpoints

_SEND_BYTES_MAX = 64 * 1024
"""Of one connection that the kernel holds: what a client does not read waits with us, where it is bounded."""
_BACKLOG = 512


@contextlib.asynccontextmanager
async def serve(app: Starlette, address: str) -> AsyncIterator[int]:
    """Serve `app` at an address (`meshkit.endpoints`); yield its port, 0 if it has none."""
    endpoint = endpoints.parse(address)
    listener = endpoints.listen(endpoint, _BACKLOG)
    logging.getLogger("uvicorn.error").addFilter(_WithoutFalseAlarms())
    server = _Server(
        uvicorn.Config(
            app,
            http=_Connection,
            access_log=False,
            log_level="warning",
            lifespan="on",
            timeout_keep_alive=75,
            ws="websockets-sansio",
            ws_max_size=FRAME_BYTES_MAX,
            ws_per_message_deflate=False,  # it would keep some 300 kB for each, and most frames are short
            timeout_graceful_shutdown=1,
            server_header=False,
            # What Envoy says of its client; over TCP uvicorn takes it from this machine only.
            forwarded_allow_ips="*" if isinstance(endpoint, endpoints.Unix) else None,
        )
    )
    task = asyncio.create_task(server.serve(sockets=[listener]), name="web")
    try:
        yield 0 if isinstance(endpoint, endpoints.Unix) else listener.getsockname()[1]
    finally:
        server.should_exit = True
        await task


class _Connection(AutoHTTPProtocol):  # type: ignore[misc, valid-type]  # which one it is depends on what is installed
    """A connection of our own user's processes only, where the kernel says whose it is."""

    def connection_made(self, transport: Any) -> None:
        """Let it in, or hang up."""
        super().connection_made(transport)
        connection: socket.socket = transport.get_extra_info("socket")
        if endpoints.peer_uid(connection) not in (None, os.geteuid(), 0):
            transport.abort()
            return
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BYTES_MAX)


class _WithoutFalseAlarms(logging.Filter):
    """uvicorn reports of each WebSocket that is refused in HTTP that it was not answered (its issue 3138)."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.funcName != "run_asgi" or record.exc_info is not None


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: the process has one owner of signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield
