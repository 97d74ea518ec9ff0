"""The gateway process: the dialects' servicers, reflection of the whole mesh, and the web app.

It keeps no state; run as many as you like.
"""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Sequence
from typing import Any

from gateway import web
from gateway.config import Config
from gateway.core import peers
from gateway.dialects import DIALECTS
from gateway.edge import contract
from gateway.http.checks import Checks
from gateway.http.connect import Calls
from gateway.http.dialect import Dialect, Dialects
from gateway.http.interceptor import DialectCalls
from gateway.http.local import callers
from gateway.http.sockets import Door
from gateway.http.traced import Traced
from gateway.web import serving
from gateway.web.health import Health
from gateway.web.panel import Panel
from meshkit import telemetry
from meshkit.server import serve, until_signal
from meshkit.service import authenticated, from_environment
from meshkit.telemetry import observability

_PATIENCE_S = 5.0
"""How long the start waits for the auth service, to hear what time it is before anybody is judged by it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Ports:
    """Where the gateway listens."""

    grpc: int
    web: int


async def main() -> None:
    """Run until SIGTERM."""
    config = from_environment(Config)
    observability.configure("gateway", config.log_level, config.telemetry)
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
            authenticated(
                config,
                "gateway",
                speakers.credentials,
                speakers.finders(stubs, config),
                callers(config),
                patience_s=_PATIENCE_S,
            )
        )
        door = Door(
            speakers,
            auth.verifier,
            sandboxed=config.app_pages == "sandbox",
            sockets_max=config.streams_per_owner,
        )
        calls = await stack.enter_async_context(Calls.connected(config))
        contract.import_all(contract.descriptors())  # for the checks, and for reflection of whatever the edge answers
        checks = Checks(mesh)
        live = config.live_pages_per_owner
        web_app = web.create(
            config,
            speakers,
            mesh,
            [calls.route(), checks.route(), *door.routes(stubs)],
            auth.verifier,
            lambda health, metrics: Panel(stubs, auth.verifier, health, metrics, live_per_owner=live).routes(),
        )
        web_port = await stack.enter_async_context(
            serving.serve(Traced(web_app, telemetry.active()), config.at("web"), config.wires)
        )
        stack.push_async_callback(door.emptied)

        def register(server: Any) -> None:
            for service in services:
                service.add(service.servicer(stubs), server)

        standing = Health(config, mesh)
        await stack.enter_async_context(standing.connected())
        grpc_port = await stack.enter_async_context(
            serve(
                config.at("gateway"),
                [service.name for service in services],
                register,
                auth,
                grace_s=config.grace_s,
                wires=config.wires,
                reflect=[service.name for service in mesh],
                elsewhere=standing,
                interceptors=[DialectCalls(speakers)],
            )
        )
        stack.callback(calls.stop)
        stack.callback(door.stop)  # the first to happen when the block ends
        yield Ports(grpc=grpc_port, web=web_port)
