"""Wiring: the only module of the runner that knows every other."""

import asyncio
import contextlib
import functools
import time
from collections.abc import AsyncIterator, Callable

from mesh.payments.v1 import payments_pb2_grpc
from mesh.runner.v1 import (
    app_pb2_grpc,
    conversation_pb2_grpc,
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

from meshkit import buses, client, endpoints, identity, observability, telemetry
from meshkit.access import Auth
from meshkit.server import serve, until_signal
from meshkit.service import authenticated, from_environment
from meshkit.tasks import Tasks, background, lasting
from meshkit.tls import Wires
from services.runner import gauges
from services.runner.apps.apps import Apps
from services.runner.apps.hosting import Hosting, Terms
from services.runner.apps.scaling import Scaler
from services.runner.births import engine
from services.runner.births.births import Births
from services.runner.births.calls import Calls
from services.runner.births.launches import Launches
from services.runner.births.targets import Targets
from services.runner.callers.masking import Masks
from services.runner.callers.pace import Pace
from services.runner.callers.requests import Requests
from services.runner.callers.shares import Shares
from services.runner.callers.standing import Standing
from services.runner.config import Config
from services.runner.hosts.hostbadges import HostBadges
from services.runner.jobs.billing import Billing
from services.runner.jobs.briefs import Briefs
from services.runner.jobs.deadlines import Deadlines
from services.runner.jobs.jobs import Jobs
from services.runner.jobs.journal import Journal
from services.runner.jobs.locks import Locks
from services.runner.jobs.retries import Retries
from services.runner.jobs.spans import Spans
from services.runner.jobs.tails import Tails
from services.runner.jobs.turns import Turns
from services.runner.kept import Store, opened
from services.runner.peers.definitions import RegistryDefinitions
from services.runner.peers.owners import AuthOwners
from services.runner.peers.registry import RegistryCatalogue
from services.runner.placements.local import LocalPlacement, own_nursery
from services.runner.placements.ray import MODULE, RayPlacement
from services.runner.ports.catalogue import Catalogue
from services.runner.ports.definitions import Definitions
from services.runner.ports.placement import Placement
from services.runner.replicas.beside import Beside, capacity_of
from services.runner.retention import Retention
from services.runner.schedules.firings import Firings
from services.runner.schedules.schedules import Schedules
from services.runner.servicers.apps import AppServicer
from services.runner.servicers.conversations import ConversationServicer
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
from services.runner.webhooks.webhooks import Webhooks

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
    now: Callable[[], float] = time.time,
) -> AsyncIterator[int]:
    """Run the runner for the length of the block; yield its port.

    Without a `catalogue` the registry's is followed, and without `definitions` it is asked for those.
    """
    stopping = stopping or asyncio.Event()
    async with contextlib.AsyncExitStack() as stack:
        kept = await stack.enter_async_context(opened(config, stopping))
        store = kept.store
        bus = await stack.enter_async_context(buses.opened(config, "runner", stopping))
        tasks = Tasks()
        stack.push_async_callback(tasks.close)
        who = identity.ServiceIdentity(config.secret, "runner")
        beside = await stack.enter_async_context(Beside.opened(config, kept.replicas, bus, tasks, who))
        hosts, roll = beside.hosts, beside.roll
        payments = await stack.enter_async_context(client.connect(config.peer("payments"), who))
        catalogue, definitions = await _registry(config, stack, who, catalogue, definitions)
        placement = await _placement(config, stack)

        tails, turns = Tails(store, bus, kept.replicas), Turns()
        masks = Masks(config.vault)
        spans = Spans(store, told) if (told := telemetry.active()) is not None else None
        journal = Journal(store, tails, hosts, turns, bus, masks, spans)
        briefs = _briefs(config, store, definitions)
        dispatcher = beside.dispatcher(journal, hosts, turns, briefs, bus, tasks, now)
        if told is not None:
            gauges.show(told, dispatcher, hosts)
        retries = Retries(store, journal, dispatcher, bus, now)
        shares = Shares(store, open_max=config.jobs_per_owner, stored_max=config.stored_bytes_per_owner)
        jobs = Jobs(store, journal, dispatcher, hosts, shares, bus, cancel_grace_s=config.cancel_grace_s, now=now)
        if config.engine:
            dispatcher.open(engine.EXPOSE)  # its jobs wait for it, from the first moment on
        requests, targets = Requests(store, now, config.secret), Targets(definitions, store.conversations)
        patience = {"timeout_s": config.call_timeout_s, "patience_s": config.app_patience_s}
        locks = Locks(store, journal, dispatcher, hosts, requests, bus, **patience, now=now)
        billing = Billing(store, journal, dispatcher, payments_pb2_grpc.PaymentServiceStub(payments), bus, tasks, now)
        badges = HostBadges(config.secret)
        hosting = Hosting(hosts, placement, _terms(config, badges), roll, kept.replicas)
        on = (hosts, hosting, bus, tasks, masks, kept.replicas)
        apps = Apps(store, store, jobs, dispatcher, *on, lease_s=config.lease_s, now=now)
        births = Births(dispatcher, catalogue, hashes=config.hashes, shares=shares, masks=masks, now=now)
        launches = Launches(store, apps, births, targets, requests, **patience, masks=masks, now=now)
        calls = Calls(apps, births, requests, tasks, **patience, masks=masks)
        auth = await stack.enter_async_context(authenticated(config, "runner"))
        owners = AuthOwners(await stack.enter_async_context(client.connect(config.peer("auth"), who)))
        standing = Standing(owners, auth.verifier.revocations, now)
        firings = Firings(store.schedules, store, launches, jobs, standing, requests, masks, bus, tasks, now=now)
        private = config.webhooks_private_endpoints == "allow"
        http = await stack.enter_async_context(Sender.client(private=private))
        sender = Sender(store.webhooks, standing, config.vault, http, bus, tasks, now=now)
        count_max = config.schedules_per_owner
        schedules = Schedules(
            store.schedules, launches, owners, requests, shares, masks, bus, count_max=count_max, now=now
        )
        hooks = (store.webhooks, sender, requests, shares, config.vault, bus)
        webhooks = Webhooks(*hooks, private=private, count_max=config.webhooks_per_owner, now=now)
        retention = Retention(store.retention, store.conversations, journal, requests, bus, now)
        jobs_servicer = JobServicer(store, jobs, launches, tails, tasks, allow_free=config.loopback)
        app_servicer = AppServicer(apps, calls, tasks, beside.elsewhere(apps))
        pace = Pace(config.events_per_owner, link=await stack.enter_async_context(buses.counters(config)))
        hosted = HostServicer(jobs, hosts, badges, pace, roll, heartbeat_s=config.heartbeat_s, stopping=stopping)

        def register(server: object) -> None:
            job_pb2_grpc.add_JobServiceServicer_to_server(jobs_servicer, server)
            lock_pb2_grpc.add_LockServiceServicer_to_server(LockServicer(store, locks, tasks), server)
            app_pb2_grpc.add_AppServiceServicer_to_server(app_servicer, server)
            host_pb2_grpc.add_HostServiceServicer_to_server(hosted, server)
            scheduled = ScheduleServicer(store.schedules, schedules, firings, tasks, now)
            schedule_pb2_grpc.add_ScheduleServiceServicer_to_server(scheduled, server)
            replica_pb2_grpc.add_ReplicaServiceServicer_to_server(ReplicaServicer(hosts), server)
            kept = RetentionServicer(store.retention, retention, now)
            retention_pb2_grpc.add_RetentionServiceServicer_to_server(kept, server)
            webhook_pb2_grpc.add_WebhookServiceServicer_to_server(
                WebhookServicer(store.webhooks, webhooks, tasks, now), server
            )
            _register_records(server, store, requests, shares, now)

        door = await stack.enter_async_context(_door(config, hosted, auth))
        port = await stack.enter_async_context(
            serve(config.at("runner"), SERVICES, register, auth, bus=bus, grace_s=config.grace_s, wires=config.wires)
        )
        # Streams look at these two: told before the server waits for them.
        stack.callback(bus.close)
        stack.callback(stopping.set)
        works = {
            "queue": dispatcher.run(),
            "retries": lasting(retries.run),
            "requests": lasting(requests.forget),
            "leases": apps.expire_leases(),
            "scaling": lasting(Scaler(apps, dispatcher, hosts, bus).run),
            "deadlines": lasting(Deadlines(store, jobs, bus, now).run),
            "pace": pace.share(),
            "locks": _expire(locks, apps),
            "schedules": lasting(firings.run),
            "retention": lasting(retention.run),
            "webhooks": lasting(sender.run),
            "deliveries": lasting(sender.forget),
            **({"spans": spans.run()} if spans is not None else {}),
        }
        place = functools.partial(_place, config, apps, placement, door, tasks)
        duties = {"placing": place, "payments": functools.partial(_bill, billing)}
        if beside.replicas is None:
            works |= {name: work() for name, work in duties.items()}
        else:
            works |= beside.works(config, apps, jobs, (port, door), duties)
        for name, work in works.items():
            await stack.enter_async_context(background(work, name, stopping))
        yield port


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


def _terms(config: Config, badges: HostBadges) -> Terms:
    return Terms(
        badges=badges,
        load_timeout_s=config.load_timeout_s,
        capacity=capacity_of(config),
    )


def _briefs(config: Config, store: Store, definitions: Definitions) -> Briefs:
    private = config.tools_private_endpoints == "allow"
    return Briefs(
        store,
        store.conversations,
        store.memories,
        definitions,
        private_tools=private,
        # Who reaches a mesh on loopback is on this machine already, and may run models on it.
        private_models=private or config.loopback,
    )


def _register_records(
    server: object, store: Store, requests: Requests, shares: Shares, now: Callable[[], float]
) -> None:
    """Serve what is kept beside jobs and read off their logs."""
    talk = ConversationServicer(store.conversations, requests, shares, now)
    conversation_pb2_grpc.add_ConversationServiceServicer_to_server(talk, server)
    memories = MemoryServicer(store.memories, requests, shares, now)
    memory_pb2_grpc.add_MemoryServiceServicer_to_server(memories, server)
    trace_pb2_grpc.add_TraceServiceServicer_to_server(TraceServicer(store), server)
