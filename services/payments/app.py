"""Wiring of the payments service: the only module that knows every other."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping

from agentmesh_protos.payments.v1 import ledger_pb2_grpc
from agentmesh_protos.payments.v1 import payments_pb2_grpc as pb_grpc

from meshkit import buses, client
from meshkit.databases import Memory, PostgresDatabase, SqliteFolder
from meshkit.identity import ServiceIdentity
from meshkit.server import serve, until_signal
from meshkit.service import authenticated, from_environment
from meshkit.sqlite import Database
from meshkit.tasks import background, lasting
from meshkit.telemetry import observability
from meshkit.turns import ALONE, Turns
from services.payments.config import Config, MasumiNetwork
from services.payments.domain import Windows
from services.payments.domain.pace import Pace
from services.payments.payments import Payments
from services.payments.ports.provider import Provider
from services.payments.ports.store import PaymentStore
from services.payments.providers.ledger import LedgerProvider
from services.payments.providers.masumi import MasumiProvider
from services.payments.servicers.payments import PaymentServicer
from services.payments.stores.memory import MemoryStore
from services.payments.stores.sqlite import MIGRATIONS, SqliteStore
from services.payments.tracker import Tracker
from services.payments.watches import Watches

SERVICES = ("mesh.payments.v1.PaymentService",)
LEDGER_PACE = Pace(poll_s=0.5, idle_poll_s=2.0, retry_s=0.25, retry_max_s=10.0, overlap_ms=0)
"""The ledger is a process of this mesh: asking costs a millisecond."""


async def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    config = from_environment(Config)
    observability.configure("payments", config.log_level, config.telemetry)
    stopping = asyncio.Event()
    async with running(config, stopping=stopping):
        await until_signal(stopping)


@contextlib.asynccontextmanager
async def running(
    config: Config,
    *,
    providers: Mapping[str, tuple[Provider, Pace]] | None = None,
    stopping: asyncio.Event | None = None,
) -> AsyncIterator[int]:
    """Run the payments service for the length of the block; yield its port.

    `providers`, by network, replaces those of the configuration.  `stopping` is set if a part of the service is lost.
    """
    async with contextlib.AsyncExitStack() as stack:
        store, turns = await _store(config, stack)
        bus = await stack.enter_async_context(buses.opened(config, "payments", stopping))
        watches = Watches(store, bus)
        if providers is None:
            providers = await _providers(config, stack)
        trackers = {
            network: Tracker(network, provider, store, watches, bus, pace, turns)
            for network, (provider, pace) in providers.items()
        }
        windows = Windows(pay_ms=config.pay_window_s * 1000, submit_ms=config.submit_window_s * 1000)
        payments = Payments(store, watches, trackers, windows=windows, ask_wait_s=config.ask_wait_s)
        servicer = PaymentServicer(payments, watches, heartbeat_s=config.heartbeat_s)
        auth = await stack.enter_async_context(authenticated(config, "payments"))
        for tracker in trackers.values():
            await stack.enter_async_context(background(lasting(tracker.run), f"tracker-{tracker.network}", stopping))
        port = await stack.enter_async_context(
            serve(
                config.at("payments"),
                SERVICES,
                lambda server: pb_grpc.add_PaymentServiceServicer_to_server(servicer, server),
                auth,
                bus=bus,
                grace_s=config.grace_s,
                wires=config.wires,
            )
        )
        stack.callback(bus.close)  # streams end before the server waits for them
        yield port


async def _store(config: Config, stack: contextlib.AsyncExitStack) -> tuple[PaymentStore, Turns]:
    match config.database:
        case Memory():
            return MemoryStore(), ALONE
        case PostgresDatabase() as place:
            from services.payments.stores import postgres  # its driver is an extra

            return await stack.enter_async_context(postgres.opened(place))
        case SqliteFolder() as folder:
            database = Database(folder.file("payments"), MIGRATIONS)
            database.open()
            stack.push_async_callback(database.close)
            return SqliteStore(database), ALONE


async def _providers(config: Config, stack: contextlib.AsyncExitStack) -> dict[str, tuple[Provider, Pace]]:
    """Open the provider of each network; there is one ledger for all networks that are on it."""
    providers: dict[str, tuple[Provider, Pace]] = {}
    ledger: ledger_pb2_grpc.LedgerServiceStub | None = None
    for network, settings in config.networks.items():
        if isinstance(settings, MasumiNetwork):
            masumi = MasumiProvider(network, settings)
            stack.push_async_callback(masumi.aclose)
            providers[network] = (masumi, Pace(poll_s=settings.poll_s, idle_poll_s=settings.idle_poll_s))
            continue
        if ledger is None:
            who = ServiceIdentity(config.secret, "payments")
            channel = await stack.enter_async_context(client.connect(config.peer("ledger"), who))
            ledger = ledger_pb2_grpc.LedgerServiceStub(channel)
        providers[network] = (LedgerProvider(network, ledger), LEDGER_PACE)
    return providers
