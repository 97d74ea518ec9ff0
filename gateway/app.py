"""The gateway process: the dialects' servicers, reflection of the whole mesh, and the web app.

It keeps no state; run as many as you like.
"""

import asyncio
import contextlib
import dataclasses
import logging
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Any

import uvicorn
from starlette.applications import Starlette

from gateway import web
from gateway.config import Config
from gateway.core import peers
from gateway.dialects import DIALECTS
from gateway.edge import contract
from gateway.http.dialect import Dialect, Dialects
from gateway.http.interceptor import DialectCalls
from gateway.http.local import callers
from gateway.http.session import FRAME_BYTES_MAX
from gateway.http.sockets import Door
from meshkit import observability
from meshkit.server import serve, until_signal
from meshkit.service import authenticated, from_environment

_SEND_BYTES_MAX = 64 * 1024
"""Of one connection of the web app that the kernel holds: its peer, Envoy, is on this machine or near."""


@dataclasses.dataclass(frozen=True, slots=True)
class Ports:
    """Where the gateway listens."""

    grpc: int
    web: int


async def main() -> None:
    """Run until SIGTERM."""
    config = from_environment(Config)
    observability.configure("gateway", config.log_level)
    stopping = asyncio.Event()
    async with running(config):
        await until_signal(stopping)


@contextlib.asynccontextmanager
async def running(config: Config, dialects: Sequence[Dialect] = DIALECTS) -> AsyncIterator[Ports]:
    """Run the gateway for the length of the block; yield its ports."""
    mesh = contract.services(contract.descriptors())
    speakers = Dialects(dialects, mesh)
    services = [service for dialect in dialects for service in dialect.services]
    async with contextlib.AsyncExitStack() as stack:
        stubs = await stack.enter_async_context(peers.connect(config))
        auth = await stack.enter_async_context(
            authenticated(config, "gateway", speakers.credentials, speakers.finders(stubs, config), callers(config))
        )
        door = Door(speakers, auth.verifier)
        web_app = web.create(config, speakers, mesh, door.routes(stubs))
        web_port = await stack.enter_async_context(_serve_web(web_app, config.web_address))

        def register(server: Any) -> None:
            for service in services:
                service.add(service.servicer(stubs), server)

        # Reflection shows what any service of the mesh answers at the edge.
        contract.import_all(contract.descriptors())
        grpc_port = await stack.enter_async_context(
            serve(
                config.gateway_address,
                [service.name for service in services],
                register,
                auth,
                grace_s=config.grace_s,
                reflect=[service.name for service in mesh],
                interceptors=[DialectCalls(speakers)],
            )
        )
        stack.callback(door.stop)  # the first to happen when the block ends
        yield Ports(grpc=grpc_port, web=web_port)


class _WithoutFalseAlarms(logging.Filter):
    """uvicorn reports of each WebSocket that is refused in HTTP that it was not answered (its issue 3138)."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.funcName != "run_asgi" or record.exc_info is not None


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: the process has one owner of signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield


@contextlib.asynccontextmanager
async def _serve_web(app: Starlette, address: str) -> AsyncIterator[int]:
    host, _, port = address.rpartition(":")
    listener = socket.create_server((host.strip("[]"), int(port)), backlog=512, reuse_port=False)
    # Accepted connections inherit it; what a client does not read waits with us, where it is bounded.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BYTES_MAX)
    logging.getLogger("uvicorn.error").addFilter(_WithoutFalseAlarms())
    server = _Server(
        uvicorn.Config(
            app,
            access_log=False,
            log_level="warning",
            lifespan="on",
            timeout_keep_alive=75,
            ws="websockets-sansio",
            ws_max_size=FRAME_BYTES_MAX,
            ws_per_message_deflate=False,  # it would keep some 300 kB for each, and most frames are short
            timeout_graceful_shutdown=1,
            server_header=False,
        )
    )
    task = asyncio.create_task(server.serve(sockets=[listener]), name="web")
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await task
