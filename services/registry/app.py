"""The registry's parts put together."""

import asyncio
import contextlib
import datetime
from collections.abc import AsyncIterator, Callable

import grpc
from mesh.registry.v1 import registry_pb2_grpc as pb_grpc
from mesh.runner.v1 import app_pb2_grpc

from meshkit import client, observability, server
from meshkit.identity import ServiceIdentity
from meshkit.service import authenticated, from_environment
from meshkit.sqlite import Database
from services.registry.apps import Apps
from services.registry.boot import Booter, Limits
from services.registry.catalogue import Catalogue
from services.registry.config import Config
from services.registry.runs import Runs
from services.registry.servicer import BootServicer, ExposeServicer, FlowServicer
from services.registry.store import MIGRATIONS, ExposeStore, SqliteStore

SERVICES = (
    "mesh.registry.v1.ExposeService",
    "mesh.registry.v1.BootService",
    "mesh.registry.v1.FlowService",
)


def utc_now() -> datetime.datetime:
    """Return the time."""
    return datetime.datetime.now(datetime.UTC)


@contextlib.asynccontextmanager
async def running(
    config: Config,
    *,
    store: ExposeStore | None = None,
    now: Callable[[], datetime.datetime] = utc_now,
) -> AsyncIterator[int]:
    """Run the registry for the length of the block; yield its port."""
    async with contextlib.AsyncExitStack() as stack:
        if store is None:
            database = Database(config.data_dir / "registry.db", MIGRATIONS)
            stack.push_async_callback(database.close)
            database.open()
            store = SqliteStore(database)
        who = ServiceIdentity(config.secret, "registry")
        channel = await stack.enter_async_context(client.connect(config.runner_address, who))
        stub = app_pb2_grpc.AppServiceStub(channel)
        apps = Apps(stub, now, fresh_s=config.state_fresh_s, patience_s=config.runner_patience_s)
        stack.push_async_callback(apps.close)
        runs = Runs(now)
        limits = Limits(
            deploy_timeout_s=config.boot_timeout_s,
            deploys_at_once=config.boot_parallel,
            probe_timeout_s=config.probe_timeout_s,
        )
        booter = Booter(store, apps, runs, now, limits)
        catalogue = Catalogue(store, apps, now)
        auth = await stack.enter_async_context(authenticated(config, "registry"))

        def register(to: grpc.aio.Server) -> None:
            pb_grpc.add_ExposeServiceServicer_to_server(ExposeServicer(catalogue), to)
            pb_grpc.add_BootServiceServicer_to_server(BootServicer(booter, runs), to)
            pb_grpc.add_FlowServiceServicer_to_server(FlowServicer(catalogue), to)

        served = server.serve(config.registry_address, SERVICES, register, auth, grace_s=config.grace_s)
        port = await stack.enter_async_context(served)
        stack.push_async_callback(runs.close)  # before the server stops: it waits for streams, they wait for the boot
        yield port


async def main() -> None:
    """Serve until told to stop."""
    config = from_environment(Config)
    observability.configure("registry", config.log_level)
    async with running(config):
        await server.until_signal(asyncio.Event())
