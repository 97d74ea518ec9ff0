"""Wiring of the ledger: the only module that knows every other."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from agentmesh_protos.payments.v1 import ledger_pb2_grpc as pb_grpc

from meshkit import buses
from meshkit.bus import Bus, MemoryBus
from meshkit.databases import Memory, Place, PostgresDatabase, SqliteFolder
from meshkit.server import serve, until_signal
from meshkit.service import authenticated, from_environment
from meshkit.sqlite import Database
from meshkit.tasks import background
from meshkit.telemetry import observability
from services.ledger.config import Config
from services.ledger.domain.options import Options
from services.ledger.ledger import Ledger
from services.ledger.ports.store import LedgerStore
from services.ledger.servicers.control import ControlServicer
from services.ledger.servicers.ledger import LedgerServicer
from services.ledger.stores.memory import MemoryStore
from services.ledger.stores.sqlite import MIGRATIONS, SqliteStore

SERVICES = ("mesh.payments.v1.LedgerService", "mesh.payments.v1.LedgerControlService")


@contextlib.asynccontextmanager
async def running(config: Config, *, stopping: asyncio.Event | None = None) -> AsyncIterator[int]:
    """Run the ledger service for the length of the block; yield its port.

    If no network is on the ledger it keeps nothing, and answers every call with why.
    """
    async with contextlib.AsyncExitStack() as stack:
        bus = await stack.enter_async_context(buses.opened(config, "ledger", stopping))
        ledger: Ledger | None = None
        if config.serves:
            ledger = await stack.enter_async_context(opened(config.database, config.options, bus, stopping=stopping))

        def register(server: Any) -> None:
            pb_grpc.add_LedgerServiceServicer_to_server(LedgerServicer(ledger), server)
            pb_grpc.add_LedgerControlServiceServicer_to_server(ControlServicer(ledger, config.secret), server)

        auth = await stack.enter_async_context(authenticated(config, "ledger"))
        yield await stack.enter_async_context(
            serve(config.at("ledger"), SERVICES, register, auth, bus=bus, grace_s=config.grace_s, wires=config.wires)
        )


@contextlib.asynccontextmanager
async def opened(
    place: Place, options: Options, bus: Bus | None = None, *, stopping: asyncio.Event | None = None
) -> AsyncIterator[Ledger]:
    """Run the ledger that is kept in a place for the length of the block."""
    async with contextlib.AsyncExitStack() as stack:
        ledger = Ledger(await _store(place, options, stack), options, bus or MemoryBus())
        await ledger.start()
        await stack.enter_async_context(background(ledger.run(), "ledger", stopping))
        yield ledger


async def _store(place: Place, options: Options, stack: contextlib.AsyncExitStack) -> LedgerStore:
    match place:
        case Memory():
            return MemoryStore(options)
        case PostgresDatabase():
            from services.ledger.stores import postgres  # its driver is an extra

            return await stack.enter_async_context(postgres.opened(place, options))
        case SqliteFolder():
            database = Database(place.file("ledger"), MIGRATIONS)
            database.open()
            stack.push_async_callback(database.close)
            return SqliteStore(database, options)


async def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    config = from_environment(Config)
    observability.configure("ledger", config.log_level, config.telemetry)
    stopping = asyncio.Event()
    async with running(config, stopping=stopping):
        await until_signal(stopping)
