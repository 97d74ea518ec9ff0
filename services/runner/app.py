"""Wiring: the only module of the runner that knows every other."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from agentmesh_protos.payments.v1 import payments_pb2_grpc
from agentmesh_protos.runner.v1 import (
    app_pb2_grpc,
    conversation_pb2_grpc,
    file_pb2_grpc,
    host_pb2_grpc,
    job_pb2_grpc,
    lock_pb2_grpc,
    memory_pb2_grpc,
    replica_pb2_grpc,
    retention_pb2_grpc,
    schedule_pb2_grpc,
    trace_pb2_grpc,
    webhook_pb2_grpc,
)

from meshkit import buses, client, clock, identity
from meshkit.access import Auth
from meshkit.net import endpoints
from meshkit.net.tls import Wires
from meshkit.server import serve, until_signal
from meshkit.service import authenticated, from_environment
from meshkit.tasks import Tasks, background, lasting
from meshkit.telemetry import observability
from services.runner.apps.apps import Apps
from services.runner.apps.scaling import Scaler
from services.runner.births import engine
from services.runner.callers.pace import Pace
from services.runner.config import Config
from services.runner.jobs.billing import Billing
from services.runner.jobs.deadlines import Deadlines
from services.runner.jobs.locks import Locks
from services.runner.kept import opened, opened_files
from services.runner.parts import Near, Parts
from services.runner.peers.definitions import RegistryDefinitions
from services.runner.peers.owners import AuthOwners
from services.runner.peers.registry import RegistryCatalogue
from services.runner.placements.local import LocalPlacement, own_nursery
from services.runner.placements.ray import MODULE, RayPlacement
from services.runner.ports.catalogue import Catalogue
from services.runner.ports.definitions import Definitions
from services.runner.ports.placement import Placement
from services.runner.replicas.beside import Beside
from services.runner.servicers.apps import AppServicer
from services.runner.servicers.conversations import ConversationServicer
from services.runner.servicers.files import FileServicer
from services.runner.servicers.hosts import HostServicer
from services.runner.servicers.jobs import JobServicer
from services.runner.servicers.locks import LockServicer
from services.runner.servicers.memories import MemoryServicer
from services.runner.servicers.replicas import ReplicaServicer
from services.runner.servicers.retention import RetentionServicer
from services.runner.servicers.schedules import ScheduleServicer
from services.runner.servicers.traces import TraceServicer
from services.runner.servicers.webhooks import WebhookServicer
from services.runner.webhooks.sending import Sender

HOSTS = "mesh.runner.v1.HostService"
SERVICES = (
    "mesh.runner.v1.JobService",
    "mesh.runner.v1.AppService",
    HOSTS,
    "mesh.runner.v1.LockService",
    "mesh.runner.v1.ConversationService",
    "mesh.runner.v1.MemoryService",
    "mesh.runner.v1.ScheduleService",
    "mesh.runner.v1.WebhookService",
    "mesh.runner.v1.RetentionService",
    "mesh.runner.v1.TraceService",
    "mesh.runner.v1.FileService",
    "mesh.runner.v1.ReplicaService",
)


async def main() -> None:
    """Serve until SIGTERM."""
    config = from_environment(Config)
    observability.configure("runner", config.log_level, config.telemetry)
    stopping = asyncio.Event()
    async with running(config, stopping=stopping):
        await until_signal(stopping)


@contextlib.asynccontextmanager
async def running(
    config: Config,
    *,
    catalogue: Catalogue | None = None,
    definitions: Definitions | None = None,
    stopping: asyncio.Event | None = None,
    now: Callable[[], float] = clock.now,
) -> AsyncIterator[int]:
    """Run the runner for the length of the block; yield its port.

    Without a `catalogue` the registry's is followed, and without `definitions` it is asked for those.
    """
    stopping = stopping or asyncio.Event()
    async with contextlib.AsyncExitStack() as stack:
        near = await _near(config, stack, stopping, catalogue, definitions)
        parts = Parts(config, near, now)
        counters = await stack.enter_async_context(buses.counters(config))
        pace = Pace(config.events_per_owner, link=counters)
        on = (parts.jobs, near.beside.hosts, parts.badges, pace, near.beside.roll)
        hosted = HostServicer(*on, filing=parts.filing, heartbeat_s=config.heartbeat_s, stopping=stopping)

        def register(server: object) -> None:
            host_pb2_grpc.add_HostServiceServicer_to_server(hosted, server)
            _register_jobs(server, config, near, parts)
            _register_records(server, near, parts)

        door = await stack.enter_async_context(_door(config, hosted, near.auth))
        at, wires = config.at("runner"), config.wires
        port = await stack.enter_async_context(
            serve(at, SERVICES, register, near.auth, bus=near.bus, grace_s=config.grace_s, wires=wires)
        )
        # Streams look at these two: told before the server waits for them.
        stack.callback(near.bus.close)
        stack.callback(stopping.set)
        works = {"pace": pace.share(), **_works(config, near, parts, (port, door))}
        for name, work in works.items():
            await stack.enter_async_context(background(work, name, stopping))
        yield port


async def _near(
    config: Config,
    stack: contextlib.AsyncExitStack,
    stopping: asyncio.Event,
    catalogue: Catalogue | None,
    definitions: Definitions | None,
) -> Near:
    """Open what the parts stand on, for as long as the stack stands."""
    kept = await stack.enter_async_context(opened(config, stopping))
    bus = await stack.enter_async_context(buses.opened(config, "runner", stopping))
    tasks = Tasks()
    stack.push_async_callback(tasks.close)
    who = identity.ServiceIdentity(config.secret, "runner")
    beside = await stack.enter_async_context(Beside.opened(config, kept.replicas, bus, tasks, who))
    payments = await stack.enter_async_context(client.connect(config.peer("payments"), who))
    catalogue, definitions = await _registry(config, stack, who, catalogue, definitions)
    placement = await _placement(config, stack)
    auth = await stack.enter_async_context(authenticated(config, "runner"))
    owners = AuthOwners(await stack.enter_async_context(client.connect(config.peer("auth"), who)))
    http = await stack.enter_async_context(Sender.client(private=config.webhooks_private_endpoints == "allow"))
    return Near(
        store=kept.store,
        files=await opened_files(config),
        replicas=kept.replicas,
        bus=bus,
        tasks=tasks,
        beside=beside,
        payments=payments_pb2_grpc.PaymentServiceStub(payments),
        catalogue=catalogue,
        definitions=definitions,
        placement=placement,
        auth=auth,
        owners=owners,
        http=http,
    )


def _works(config: Config, near: Near, parts: Parts, bound: tuple[int, str]) -> dict[str, Coroutine[Any, Any, None]]:
    """Return what goes on beside the calls, by name; `bound` is as in `Beside.works`."""
    spans = parts.spans
    works: dict[str, Coroutine[Any, Any, None]] = {
        "queue": parts.dispatcher.run(),
        "retries": lasting(parts.retries.run),
        "requests": lasting(parts.requests.forget),
        "leases": parts.apps.expire_leases(),
        "scaling": lasting(Scaler(parts.apps, parts.dispatcher, near.beside.hosts, near.bus).run),
        "deadlines": lasting(Deadlines(near.store, parts.jobs, near.bus, parts.now).run),
        "locks": _expire(parts.locks, parts.apps),
        "schedules": lasting(parts.firings.run),
        "retention": lasting(parts.retention.run),
        "files": parts.sweep.run(),
        "webhooks": lasting(parts.sender.run),
        "deliveries": lasting(parts.sender.forget),
        **({"spans": spans.run()} if spans is not None else {}),
    }
    place = functools.partial(_place, config, parts.apps, near.placement, bound[1], near.tasks)
    duties = {"placing": place, "payments": functools.partial(_bill, parts.billing)}
    if near.beside.replicas is None:
        return works | {name: work() for name, work in duties.items()}
    return works | near.beside.works(config, parts.apps, parts.jobs, bound, duties)


def _register_jobs(server: object, config: Config, near: Near, parts: Parts) -> None:
    """Serve jobs and what becomes of them, apps, and what other replicas ask."""
    store, tasks, now = near.store, near.tasks, parts.now
    jobs = JobServicer(store, parts.jobs, parts.launches, parts.tails, tasks, allow_free=config.loopback)
    job_pb2_grpc.add_JobServiceServicer_to_server(jobs, server)
    lock_pb2_grpc.add_LockServiceServicer_to_server(LockServicer(store, parts.locks, tasks), server)
    apps = AppServicer(parts.apps, parts.calls, tasks, near.beside.elsewhere(parts.apps))
    app_pb2_grpc.add_AppServiceServicer_to_server(apps, server)
    scheduled = ScheduleServicer(store.schedules, parts.schedules, parts.firings, tasks, now)
    schedule_pb2_grpc.add_ScheduleServiceServicer_to_server(scheduled, server)
    replica_pb2_grpc.add_ReplicaServiceServicer_to_server(ReplicaServicer(near.beside.hosts), server)
    kept = RetentionServicer(store.retention, parts.retention, now)
    retention_pb2_grpc.add_RetentionServiceServicer_to_server(kept, server)
    hooks = WebhookServicer(store.webhooks, parts.webhooks, tasks, now)
    webhook_pb2_grpc.add_WebhookServiceServicer_to_server(hooks, server)


async def _placement(config: Config, stack: contextlib.AsyncExitStack) -> Placement:
    """Return where hosts run; what starts them is our child, for as long as the stack stands, unless one is named."""
    module = MODULE if config.placement == "ray" else "agentmesh.host"
    path = config.nursery or await stack.enter_async_context(own_nursery(module))
    if config.placement == "ray":
        return RayPlacement(path, config.hosts_tls, config.host_patience_s)
    return LocalPlacement(path)


@contextlib.asynccontextmanager
async def _door(config: Config, hosted: HostServicer, auth: Auth) -> AsyncIterator[str]:
    """Listen for hosts; yield the address that they dial.  Raises `OSError`.

    What is confined reaches this socket at most, and by it no other service than theirs.
    """

    def register(server: object) -> None:
        host_pb2_grpc.add_HostServiceServicer_to_server(hosted, server)

    if (files := config.hosts_tls) is not None:
        files.check("runner")
    wires, ours = Wires(files, plain=config.insecure_tcp == "allow"), config.at("hosts")
    served = serve(ours, (HOSTS,), register, auth.for_another_server(), grace_s=config.grace_s, wires=wires)
    async with served as port:
        heard_at = f"{ours.rpartition(':')[0]}:{port}" if port else endpoints.whole(ours)
        yield config.advertised_address or heard_at


async def _bill(billing: Billing) -> None:
    """Follow payments, and tell what the payments service must hear."""
    async with asyncio.TaskGroup() as group:
        group.create_task(lasting(billing.run), name="payments")
        group.create_task(lasting(billing.tell), name="payment-news")


async def _place(config: Config, apps: Apps, placement: Placement, door: str, tasks: Tasks) -> None:
    """Place hosts, the engine's among them."""
    providing = tasks.spawn(engine.provide(apps), "engine") if config.engine else None
    try:
        await apps.run(door, placement.events())
    finally:
        if providing is not None:
            providing.cancel()


async def _expire(locks: Locks, apps: Apps) -> None:
    """End locks at their time, but not before jobs whose host was lost with us are known to wait without one."""
    await apps.until_resumed()
    await lasting(locks.expire)


async def _registry(
    config: Config,
    stack: contextlib.AsyncExitStack,
    who: identity.ServiceIdentity,
    catalogue: Catalogue | None,
    definitions: Definitions | None,
) -> tuple[Catalogue, Definitions]:
    """Return what is known of flows, agents and crews: the registry's word for what is not given."""
    registry = await stack.enter_async_context(client.connect(config.peer("registry"), who))
    if catalogue is None:
        catalogue = await stack.enter_async_context(RegistryCatalogue.following(registry))
    return catalogue, definitions or RegistryDefinitions(registry)


def _register_records(server: object, near: Near, parts: Parts) -> None:
    """Serve what is kept beside jobs and read off their logs."""
    store, now = near.store, parts.now
    talk = ConversationServicer(store.conversations, parts.requests, parts.shares, now)
    conversation_pb2_grpc.add_ConversationServiceServicer_to_server(talk, server)
    memories = MemoryServicer(store.memories, parts.requests, parts.shares, now)
    memory_pb2_grpc.add_MemoryServiceServicer_to_server(memories, server)
    trace_pb2_grpc.add_TraceServiceServicer_to_server(TraceServicer(store), server)
    files = FileServicer(store, parts.files, parts.uploads, near.tasks)
    file_pb2_grpc.add_FileServiceServicer_to_server(files, server)
