"""Wiring: the only module of the runner that knows every other."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

from mesh.payments.v1 import payments_pb2_grpc
from mesh.runner.v1 import app_pb2_grpc, host_pb2_grpc, job_pb2_grpc, lock_pb2_grpc

from meshkit import client, identity, observability
from meshkit.server import serve, until_signal
from meshkit.service import authenticated, from_environment
from meshkit.sqlite import Database
from meshkit.tasks import background
from services.runner.apps import Apps
from services.runner.billing import Billing
from services.runner.calls import Calls
from services.runner.config import Config
from services.runner.host_servicer import HostServicer
from services.runner.hosts import Hosts
from services.runner.jobs import Jobs
from services.runner.lock_servicer import LockServicer
from services.runner.locks import Locks
from services.runner.placement import LocalPlacement, own_nursery
from services.runner.servicer import AppServicer, JobServicer
from services.runner.sqlite_store import MIGRATIONS, SqliteStore

_REQUESTS_KEPT_S = 86_400.0
SERVICES = (
    "mesh.runner.v1.JobService",
    "mesh.runner.v1.AppService",
    "mesh.runner.v1.HostService",
    "mesh.runner.v1.LockService",
)


async def main() -> None:
    """Serve until SIGTERM."""
    config = from_environment(Config)
    observability.configure("runner", config.log_level)
    stopping = asyncio.Event()
    async with running(config, stopping=stopping):
        await until_signal(stopping)


@contextlib.asynccontextmanager
async def running(
    config: Config, *, stopping: asyncio.Event | None = None, now: Callable[[], float] = time.time
) -> AsyncIterator[int]:
    """Run the runner for the length of the block; yield its port."""
    stopping = stopping or asyncio.Event()
    async with contextlib.AsyncExitStack() as stack:
        database = Database(config.data_dir / "runner.db", MIGRATIONS)
        database.open()
        stack.push_async_callback(database.close)
        store = SqliteStore(database)
        hosts = Hosts()
        jobs = Jobs(store, hosts, cancel_grace_s=config.cancel_grace_s, now=now)
        stack.push_async_callback(jobs.close)
        locks = Locks(store, hosts, timeout_s=config.call_timeout_s, now=now)
        locks.change = jobs.change
        jobs.listeners.append(locks.note)
        jobs.returned.append(locks.tell_again)
        calls = Calls(store, jobs, hosts, timeout_s=config.call_timeout_s, hashes=config.hashes, now=now)
        who = identity.ServiceIdentity(config.secret, "runner")
        channel = await stack.enter_async_context(client.connect(config.payments_address, who))
        billing = Billing(store, jobs, payments_pb2_grpc.PaymentServiceStub(channel), now)
        jobs.listeners.append(lambda job, _: billing.note(job))
        stack.push_async_callback(billing.close)
        apps = Apps(
            store,
            jobs,
            hosts,
            secret=config.secret,
            load_timeout_s=config.load_timeout_s,
            jobs_per_app=config.jobs_per_app,
            lease_s=config.lease_s,
            now=now,
        )
        stack.push_async_callback(apps.close)
        nursery = config.nursery or await stack.enter_async_context(own_nursery())
        placement = apps.placement = LocalPlacement(nursery, apps.host_exited, apps.present)
        auth = await stack.enter_async_context(authenticated(config, "runner"))

        def register(server: object) -> None:
            job_pb2_grpc.add_JobServiceServicer_to_server(JobServicer(store, jobs, calls, stopping), server)
            lock_pb2_grpc.add_LockServiceServicer_to_server(LockServicer(store, locks, stopping), server)
            app_pb2_grpc.add_AppServiceServicer_to_server(AppServicer(apps, calls), server)
            hosted = HostServicer(jobs, hosts, heartbeat_s=config.heartbeat_s, stopping=stopping)
            host_pb2_grpc.add_HostServiceServicer_to_server(hosted, server)

        port = await stack.enter_async_context(
            serve(config.runner_address, SERVICES, register, auth, grace_s=config.grace_s)
        )
        apps.address = f"{config.runner_address.rpartition(':')[0]}:{port}"
        # Streams watch it: set before the server waits for them.
        stack.callback(stopping.set)
        for name, work in (
            ("placement", placement.run()),
            ("leases", apps.expire_leases()),
            ("locks", locks.expire()),
            ("billing", billing.run()),
            ("requests", _forget_requests(store, now)),
        ):
            await stack.enter_async_context(background(work, name, stopping))
        yield port


async def _forget_requests(store: SqliteStore, now: Callable[[], float]) -> None:
    """Keep requests for as long as somebody may repeat them, not for ever; until cancelled."""
    while True:
        await store.forget_requests(now() - _REQUESTS_KEPT_S)
        await asyncio.sleep(_REQUESTS_KEPT_S / 24)
