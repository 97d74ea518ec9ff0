"""Apps: placed on hosts, replaced, restarted when a host is lost."""

import asyncio
import contextlib
import dataclasses
import enum
import json
import secrets
import time
from collections.abc import Callable, Coroutine
from typing import Any

import structlog
from mesh.runner.v1 import app_pb2, host_pb2
from mesh.runner.v1.placement_pb2 import HostSpec

from meshkit import identity
from meshkit.errors import Invalid, NotFound, Unavailable
from services.runner.domain import Job, PlacedApp
from services.runner.hosts import Hosts, Link
from services.runner.jobs import Jobs
from services.runner.placement import Placement
from services.runner.store import AppStore

log = structlog.get_logger()
_HOST_TOKEN_TTL_S = 365 * 86400.0
_BACKOFF_S = (0.2, 1.0, 2.0, 5.0, 10.0, 30.0)
_HEALTHY_AFTER_S = 30.0


class AppState(enum.Enum):
    """Where an app stands."""

    STARTING = "starting"
    RUNNING = "running"
    FAILED = "failed"
    UNHEALTHY = "unhealthy"


@dataclasses.dataclass(slots=True)
class App:
    """One app as it stands."""

    placed: PlacedApp
    state: AppState
    message: str = ""
    detail: str = ""
    flows: list[app_pb2.FlowInfo] = dataclasses.field(default_factory=list)
    seen_at: float = 0.0
    losses: int = 0
    running_since: float = 0.0
    waiting: list[str] = dataclasses.field(default_factory=list)
    """Ids of jobs that wait while it has no host."""


class Apps:
    """Every app that shall be served."""

    def __init__(
        self,
        store: AppStore,
        jobs: Jobs,
        hosts: Hosts,
        *,
        secret: bytes,
        load_timeout_s: float,
        jobs_per_app: int,
        lease_s: float,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._jobs = jobs
        self._hosts = hosts
        self._secret = secret
        self._load_timeout_s = load_timeout_s
        self._jobs_per_app = jobs_per_app
        self._lease_s = lease_s
        self._now = now
        self._apps: dict[str, App] = {}
        jobs.wait = self._wait
        self._resumed = False
        self._locks: dict[str, asyncio.Lock] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.placement: Placement
        self.address = ""
        """Where hosts reach us; set before the first deploy."""

    def list(self) -> list[App]:
        """Return every app, by expose."""
        return [self._apps[expose] for expose in sorted(self._apps)]

    def check_placed(self, expose: str) -> None:
        """Raise `NotFound` if there is no such app; just after our start we cannot tell yet, and let it pass."""
        if self._resumed and expose not in self._apps:
            raise NotFound(f"no app is placed for {expose}: boot it first", resource=f"apps/{expose}")

    async def deploy(self, placed: PlacedApp) -> App:
        """Load an app on a host of its own; return it RUNNING or FAILED.

        The host it replaces finishes what it runs; if the new code does not load, nothing serves the expose, for the
        old code is not what was asked for.  Raises `Invalid` for JSON that is none.
        """
        _object(placed.runtime_env_json, "runtime_env_json")
        async with self._lock(placed.expose):
            placed = dataclasses.replace(placed, host_id=self._new_id(placed.expose))
            app = self._apps[placed.expose] = App(placed=placed, state=AppState.STARTING, seen_at=self._now())
            old = self._hosts.serving.get(placed.expose)
            await self._store.save_app(placed)
            await self._start(app)
            if old is not None and app.state == AppState.RUNNING:
                old.post(host_pb2.RunnerMessage(drain=host_pb2.Drain()))
            elif old is not None:
                await self._retire(old)
            return app

    async def remove(self, expose: str) -> None:
        """Stop an app and forget it; its jobs end as CANCELLED.  Raises `NotFound`."""
        async with self._lock(expose):
            if self._apps.pop(expose, None) is None:
                raise NotFound(f"no app is placed for {expose}", resource=f"apps/{expose}")
            await self._store.delete_app(expose)
            for link in [link for link in self._hosts.links.values() if link.expose == expose]:
                await self._retire(link)

    async def _retire(self, link: Link) -> None:
        self._hosts.remove(link.host_id)
        await self._jobs.shut_down([*link.jobs, *link.waiting])
        await self.placement.stop(link.host_id)

    async def present(self, host_ids: set[str]) -> None:
        """Hear which hosts live: after our own start take up what was placed, later note what has died unseen."""
        if not self._resumed:
            self._resumed = True
            await self._resume(host_ids)
            return
        for link in [link for link in self._hosts.links.values() if link.started]:
            if link.host_id not in host_ids:
                await self.host_exited(link.host_id, "was lost")

    async def _resume(self, host_ids: set[str]) -> None:
        for placed in self._store.apps():
            if placed.expose in self._apps:
                continue
            app = App(placed=placed, state=AppState.UNHEALTHY, message="its host is being restarted")
            self._apps[placed.expose] = app
            if placed.host_id in host_ids:
                self._link(placed).started = True
                self._spawn(self._await_return(app))
            else:
                self._spawn(self._restart(app))
        await self._jobs.resume(host_ids)

    def _wait(self, job: Job) -> bool:
        """Let a queued job wait for its app's host; return False if the app is not placed, or cannot be loaded."""
        if not self._resumed:
            return True  # paid for just after our start: `_resume` will find it
        app = self._apps.get(job.expose)
        if app is None or app.state == AppState.FAILED:
            return False
        app.waiting.append(job.job_id)
        return True

    async def _await_return(self, app: App) -> None:
        """A host that lived through our restart attaches by itself; one that does not is replaced."""
        link = self._hosts.links[app.placed.host_id]
        try:
            async with asyncio.timeout(self._lease_s):
                loaded = await asyncio.shield(link.loaded)
        except TimeoutError:
            await self.host_exited(app.placed.host_id, "did not come back")
            return
        self._note_loaded(app, link, loaded)

    async def host_exited(self, host_id: str, how: str) -> None:
        """A host has ended: so have its jobs.  Start the app again unless it was replaced or removed."""
        link = self._hosts.remove(host_id)
        if link is None:
            return
        if not link.loaded.done():
            link.loaded.set_result(host_pb2.Loaded(error=f"the app's host {how} while it loaded the app"))
        await self._jobs.lose([*link.jobs], f"the job's host {how}")
        app = self._apps.get(link.expose)
        if app is None or app.placed.host_id != host_id:
            return
        if app.state in (AppState.RUNNING, AppState.UNHEALTHY):
            stable = self._now() - app.running_since > _HEALTHY_AFTER_S
            app.losses = 0 if stable else app.losses + 1
            app.state, app.message = AppState.UNHEALTHY, f"its host {how}; it is being restarted"
            app.waiting += link.waiting
            self._spawn(self._restart(app))

    async def expire_leases(self) -> None:
        """End what hosts hold that have been silent or gone for too long, until cancelled."""
        while True:
            await asyncio.sleep(min(1.0, self._lease_s / 4))
            for link in [link for link in self._hosts.links.values() if link.started and link.loaded.done()]:
                if time.monotonic() - link.seen_at > self._lease_s:
                    log.warning("host silent", host=link.host_id)
                    await self.host_exited(link.host_id, "did not answer")
                    with contextlib.suppress(Unavailable):
                        await self.placement.stop(link.host_id)

    async def _restart(self, app: App) -> None:
        await asyncio.sleep(_BACKOFF_S[min(app.losses, len(_BACKOFF_S) - 1)] if app.losses else 0)
        async with self._lock(app.placed.expose):
            if self._apps.get(app.placed.expose) is not app:
                return  # deployed anew or removed meanwhile
            app.placed = dataclasses.replace(app.placed, host_id=self._new_id(app.placed.expose))
            await self._store.save_app(app.placed)
            await self._start(app)

    async def _start(self, app: App) -> None:
        """Start a host for the app and wait until it has loaded it, one way or the other."""
        placed = app.placed
        link = self._link(placed)
        spec = HostSpec(
            host_id=placed.host_id,
            expose=placed.expose,
            import_path=placed.import_path,
            runner_address=self.address,
            token=identity.sign(self._secret, f"host:{placed.host_id}", _HOST_TOKEN_TTL_S),
            runtime_env_json=placed.runtime_env_json,
            fork=placed.fork,
        )
        try:
            await self.placement.start(spec)
            link.started = True
            async with asyncio.timeout(self._load_timeout_s):
                loaded = await asyncio.shield(link.loaded)
        except TimeoutError:
            loaded = host_pb2.Loaded(error=f"the app did not load within {self._load_timeout_s:g} s")
            await self.placement.stop(placed.host_id)
        except Unavailable as error:
            loaded = host_pb2.Loaded(error=str(error))
        self._note_loaded(app, link, loaded)

    def _note_loaded(self, app: App, link: Link, loaded: host_pb2.Loaded) -> None:
        app.message, app.detail = loaded.error, loaded.detail
        app.flows = list(loaded.flows)
        app.seen_at = self._now()
        waiting, app.waiting = app.waiting, []
        if loaded.error:
            app.state = AppState.FAILED
            self._hosts.remove(link.host_id)
            self._spawn(self._jobs.lose(waiting, f"its app could not be loaded: {loaded.error}"))
            return
        app.state = AppState.RUNNING
        app.running_since = self._now()
        old = self._hosts.serving.get(link.expose)
        self._hosts.serving[link.expose] = link
        if old is not None and old is not link:
            link.waiting.extend(old.waiting)
            old.waiting.clear()
        link.waiting.extend(waiting)
        self._jobs.feed(link)

    def _link(self, placed: PlacedApp) -> Link:
        link = Link(placed.host_id, placed.expose, self._jobs_per_app)
        self._hosts.links[placed.host_id] = link
        return link

    def _new_id(self, expose: str) -> str:
        return f"{expose}-{secrets.token_hex(4)}"

    def _lock(self, expose: str) -> asyncio.Lock:
        return self._locks.setdefault(expose, asyncio.Lock())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End restarts that are under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _object(text: str, field: str) -> dict[str, Any]:
    try:
        value = json.loads(text or "{}")
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise Invalid(f"{field} must be a JSON object", {field: ["must be a JSON object"]})
    return value
