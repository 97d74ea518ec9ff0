"""Wiring of the payments service: the only module that knows every other."""

import asyncio
import contextlib
import datetime
from collections.abc import AsyncIterator, Callable

from mesh.payments.v1 import payments_pb2_grpc as pb_grpc

from meshkit import observability
from meshkit.server import serve, until_signal
from meshkit.service import authenticated, from_environment
from meshkit.sqlite import Database
from services.payments.config import Config
from services.payments.servicer import PaymentServicer
from services.payments.store import MIGRATIONS, PaymentStore, SqliteStore

SERVICES = ("mesh.payments.v1.PaymentService",)


def utc_now() -> datetime.datetime:
    """Return the time."""
    return datetime.datetime.now(datetime.UTC)


@contextlib.asynccontextmanager
async def running(
    config: Config, *, store: PaymentStore | None = None, now: Callable[[], datetime.datetime] = utc_now
) -> AsyncIterator[int]:
    """Run the payments service for the length of the block; yield its port.  `store` replaces the SQLite file."""
    async with contextlib.AsyncExitStack() as stack:
        if store is None:
            database = Database(config.data_dir / "payments.db", MIGRATIONS)
            database.open()
            stack.push_async_callback(database.close)
            store = SqliteStore(database)
        servicer = PaymentServicer(store, now)
        auth = await stack.enter_async_context(authenticated(config, "payments"))
        yield await stack.enter_async_context(
            serve(
                config.payments_address,
                SERVICES,
                lambda server: pb_grpc.add_PaymentServiceServicer_to_server(servicer, server),
                auth,
                grace_s=config.grace_s,
            )
        )


async def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    config = from_environment(Config)
    observability.configure("payments", config.log_level)
    async with running(config):
        await until_signal(asyncio.Event())
