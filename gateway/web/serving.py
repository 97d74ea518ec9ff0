"""The web app's server: uvicorn, for one peer, Envoy."""

import asyncio
import contextlib
import logging
import os
import socket
import ssl
from collections.abc import AsyncIterator
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from gateway.http.session import FRAME_BYTES_MAX
from meshkit.net import endpoints
from meshkit.net.tls import Tls, Wires, names

_SEND_BYTES_MAX = 64 * 1024
"""Of one connection that the kernel holds: what a client does not read waits with us, where it is bounded."""
_BACKLOG = 512


@contextlib.asynccontextmanager
async def serve(app: ASGIApp, address: str, wires: Wires) -> AsyncIterator[int]:
    """Serve `app` at an address (`meshkit.net.endpoints`); yield its port, 0 if it has none.

    Raises `OSError` if `wires` do not allow it, or the address cannot be taken.
    """
    endpoint = endpoints.parse(address)
    tls = wires.over(endpoint)
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
            forwarded_allow_ips="*" if endpoint.private or tls is not None else None,
            **(_https(tls) if tls is not None else {}),
        )
    )
    task = asyncio.create_task(server.serve(sockets=[listener]), name="web")
    try:
        yield 0 if isinstance(endpoint, endpoints.Unix) else listener.getsockname()[1]
    finally:
        server.should_exit = True
        await task


def _https(tls: Tls) -> dict[str, Any]:
    return {
        "ssl_certfile": tls.cert,
        "ssl_keyfile": tls.key,
        "ssl_ca_certs": str(tls.ca),
        "ssl_cert_reqs": ssl.CERT_REQUIRED,
    }


class _Connection(AutoHTTPProtocol):  # type: ignore[misc, valid-type]  # which one it is depends on what is installed
    """A connection of our own user's processes only, where the kernel says whose it is; over TLS, of Envoy only."""

    def connection_made(self, transport: Any) -> None:
        """Let it in, or hang up."""
        super().connection_made(transport)
        connection: socket.socket = transport.get_extra_info("socket")
        stranger = endpoints.peer_uid(connection) not in (None, os.geteuid(), 0)
        if stranger or not _is_edge(transport.get_extra_info("peercert")):
            transport.abort()
            return
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BYTES_MAX)


def _is_edge(certificate: dict[str, Any] | None) -> bool:
    """Return whether a certificate that was verified is Envoy's, or there is no TLS."""
    return certificate is None or "edge" in names(name for _, name in certificate.get("subjectAltName", ()))


class _WithoutFalseAlarms(logging.Filter):
    """uvicorn reports of each WebSocket that is refused in HTTP that it was not answered (its issue 3138)."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.funcName != "run_asgi" or record.exc_info is not None


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: the process has one owner of signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield
