"""Wiring of the payments service: the only module that knows every other."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import structlog
from mesh.payments.v1 import payments_pb2_grpc as pb_grpc

from meshkit import observability
from meshkit.server import serve, until_signal
from meshkit.service import authenticated, from_environment
from meshkit.sqlite import Database
from meshkit.tasks import background
from services.payments.config import Config, MasumiNetwork
from services.payments.domain import Windows
from services.payments.hub import Hub
from services.payments.ledger import servicer as ledger_servicer
from services.payments.ledger.ledger import Ledger, opened
from services.payments.ledger_provider import LedgerProvider
from services.payments.masumi import MasumiProvider
from services.payments.pace import Pace
from services.payments.payments import Payments
from services.payments.provider import Provider
from services.payments.servicer import PaymentServicer
from services.payments.store import MIGRATIONS, PaymentStore, SqliteStore
from services.payments.tracker import Tracker

log = structlog.get_logger()
SERVICES = ("mesh.payments.v1.PaymentService", *ledger_servicer.SERVICES)
LEDGER_PACE = Pace(poll_s=0.5, idle_poll_s=2.0, retry_s=0.25, retry_max_s=10.0, overlap_ms=0)
"""The ledger is in this process: asking costs a query."""


async def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    config = from_environment(Config)
    observability.configure("payments", config.log_level)
    stopping = asyncio.Event()
    async with running(config, stopping=stopping):
        await until_signal(stopping)


@contextlib.asynccontextmanager
async def running(
    config: Config,
    *,
    store: PaymentStore | None = None,
    providers: Mapping[str, tuple[Provider, Pace]] | None = None,
    stopping: asyncio.Event | None = None,
) -> AsyncIterator[int]:
    """Run the payments service for the length of the block; yield its port.

    `store` replaces the SQLite file, and `providers`, by network, those of the configuration.
    """
    stopping = stopping or asyncio.Event()
    async with contextlib.AsyncExitStack() as stack:
        if store is None:
            database = Database(config.data_dir / "payments.db", MIGRATIONS)
            database.open()
            stack.push_async_callback(database.close)
            store = SqliteStore(database)
        hub = Hub(store)
        ledger: Ledger | None = None
        if providers is None:
            providers, ledger = await _providers(config, stack)
        trackers = {
            network: Tracker(network, provider, store, hub, pace) for network, (provider, pace) in providers.items()
        }
        windows = Windows(pay_ms=config.pay_window_s * 1000, submit_ms=config.submit_window_s * 1000)
        payments = Payments(store, hub, trackers, windows=windows, ask_wait_s=config.ask_wait_s)
        servicer = PaymentServicer(payments, heartbeat_s=config.heartbeat_s, stopping=stopping)
        auth = await stack.enter_async_context(authenticated(config, "payments"))
        for tracker in trackers.values():
            await stack.enter_async_context(background(tracker.run(), f"tracker-{tracker.network}", stopping))
        port = await stack.enter_async_context(
            serve(
                config.payments_address,
                SERVICES,
                lambda server: _register(server, servicer, ledger),
                auth,
                grace_s=config.grace_s,
            )
        )
        stack.callback(stopping.set)  # streams watch it: set before the server waits for them
        yield port


def _register(server: Any, servicer: PaymentServicer, ledger: Ledger | None) -> None:
    pb_grpc.add_PaymentServiceServicer_to_server(servicer, server)
    ledger_servicer.register(server, ledger)


async def _providers(
    config: Config, stack: contextlib.AsyncExitStack
) -> tuple[dict[str, tuple[Provider, Pace]], Ledger | None]:
    """Open the provider of each network; there is one ledger for all networks that are on it."""
    providers: dict[str, tuple[Provider, Pace]] = {}
    ledger: Ledger | None = None
    for network, settings in config.networks.items():
        if isinstance(settings, MasumiNetwork):
            masumi = MasumiProvider(network, settings)
            stack.push_async_callback(masumi.aclose)
            providers[network] = (masumi, Pace(poll_s=settings.poll_s, idle_poll_s=settings.idle_poll_s))
            continue
        if ledger is None:
            ledger = await stack.enter_async_context(opened(config.data_dir / "ledger.db", config.ledger_options))
        providers[network] = (LedgerProvider(network, ledger), LEDGER_PACE)
    return providers, ledger
