"""The runner's parts, each made of those before it, and what they all stand on."""

import dataclasses
from collections.abc import Callable
from typing import Any

import httpx

from meshkit import telemetry
from meshkit.access import Auth
from meshkit.bus import Bus
from meshkit.tasks import Tasks
from services.runner import gauges
from services.runner.apps.apps import Apps
from services.runner.apps.hosting import Hosting, Terms
from services.runner.births import engine
from services.runner.births.births import Births
from services.runner.births.calls import Calls
from services.runner.births.launches import Launches
from services.runner.births.targets import Targets
from services.runner.callers.masking import Masks
from services.runner.callers.requests import Requests
from services.runner.callers.shares import Shares
from services.runner.callers.standing import Standing
from services.runner.config import Config
from services.runner.domain.files import Limits
from services.runner.files.files import Files
from services.runner.files.sweeping import Sweep
from services.runner.files.uploads import Uploads
from services.runner.hosts.hostbadges import HostBadges
from services.runner.jobs.billing import Billing
from services.runner.jobs.briefs import Briefs
from services.runner.jobs.filing import Filing
from services.runner.jobs.jobs import Jobs
from services.runner.jobs.journal import Journal
from services.runner.jobs.locks import Locks
from services.runner.jobs.retries import Retries
from services.runner.jobs.spans import Spans
from services.runner.jobs.tails import Tails
from services.runner.jobs.turns import Turns
from services.runner.kept import Store
from services.runner.peers.owners import AuthOwners
from services.runner.ports.catalogue import Catalogue
from services.runner.ports.definitions import Definitions
from services.runner.ports.files import FileStore
from services.runner.ports.placement import Placement
from services.runner.ports.replicas import ReplicaStore
from services.runner.replicas.beside import Beside, capacity_of
from services.runner.retention import Retention
from services.runner.schedules.firings import Firings
from services.runner.schedules.schedules import Schedules
from services.runner.webhooks.sending import Sender
from services.runner.webhooks.webhooks import Webhooks


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Near:
    """What must be opened before there are any parts."""

    store: Store
    files: FileStore
    replicas: ReplicaStore | None
    bus: Bus
    tasks: Tasks
    beside: Beside
    payments: Any
    """A stub of the payments service."""
    catalogue: Catalogue
    definitions: Definitions
    placement: Placement
    auth: Auth
    owners: AuthOwners
    http: httpx.AsyncClient
    """What calls webhooks."""


class Parts:
    """Whatever does something, ready to be served and run."""

    def __init__(self, config: Config, near: Near, now: Callable[[], float]) -> None:
        self.now = now
        told = telemetry.active()
        store, bus, tasks, hosts = near.store, near.bus, near.tasks, near.beside.hosts
        self.tails, turns = Tails(store, bus, near.replicas), Turns()
        masks = Masks(config.vault)
        self.spans = Spans(store, told) if told is not None else None
        self.files = files = Files(near.files, _limits(config))
        self.uploads = uploads = Uploads(files)
        self.sweep = Sweep(files, store)
        self.filing = Filing(store, files, uploads, tasks)
        journal = Journal(store, self.tails, hosts, turns, bus, masks, files, self.spans)
        briefs = _briefs(config, store, near.definitions)
        self.dispatcher = dispatcher = near.beside.dispatcher(journal, hosts, turns, briefs, bus, tasks, now)
        if told is not None:
            gauges.show(told, dispatcher, hosts)
        self.retries = Retries(store, journal, dispatcher, bus, now)
        limits = {"open_max": config.jobs_per_owner, "stored_max": config.stored_bytes_per_owner}
        self.shares = shares = Shares(store, **limits)
        grace_s = config.cancel_grace_s
        self.jobs = jobs = Jobs(store, journal, dispatcher, hosts, shares, bus, cancel_grace_s=grace_s, now=now)
        if config.engine:
            dispatcher.open(engine.EXPOSE)  # its jobs wait for it, from the first moment on
        self.requests = requests = Requests(store, now, config.secret)
        targets = Targets(near.definitions, store.conversations)
        patience = {"timeout_s": config.call_timeout_s, "patience_s": config.app_patience_s}
        self.locks = Locks(store, journal, dispatcher, hosts, requests, bus, **patience, now=now)
        self.billing = Billing(store, journal, dispatcher, near.payments, bus, tasks, now)
        self.badges = HostBadges(config.secret)
        terms = Terms(
            badges=self.badges,
            load_timeout_s=config.load_timeout_s,
            install_timeout_s=config.install_timeout_s,
            capacity=capacity_of(config),
        )
        hosting = Hosting(hosts, near.placement, terms, near.beside.roll, near.replicas)
        on = (hosts, hosting, bus, tasks, masks, near.replicas)
        self.apps = apps = Apps(store, store, jobs, dispatcher, *on, lease_s=config.lease_s, now=now)
        births = Births(
            dispatcher, near.catalogue, hashes=config.hashes, shares=shares, masks=masks, uploads=uploads, now=now
        )
        self.launches = Launches(
            store, apps, births, targets, requests, **patience, masks=masks, uploads=uploads, now=now
        )
        self.calls = Calls(apps, births, requests, tasks, **patience, masks=masks, uploads=uploads)
        standing = Standing(near.owners, near.auth.verifier.revocations, now)
        looks = (store.schedules, store, self.launches, jobs, standing, requests, masks, bus, tasks)
        self.firings = Firings(*looks, now=now)
        self.sender = Sender(store.webhooks, standing, config.vault, near.http, bus, tasks, now=now)
        kept = (store.schedules, self.launches, near.owners, requests, shares, masks, bus)
        self.schedules = Schedules(*kept, count_max=config.schedules_per_owner, now=now)
        hooks = (store.webhooks, self.sender, requests, shares, config.vault, bus)
        private = config.webhooks_private_endpoints == "allow"
        self.webhooks = Webhooks(*hooks, private=private, count_max=config.webhooks_per_owner, now=now)
        self.retention = Retention(store.retention, store.conversations, journal, requests, bus, now)


def _limits(config: Config) -> Limits:
    return Limits(
        file_max=config.file_bytes_max, job_max=config.file_bytes_per_job, owner_max=config.file_bytes_per_owner
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
