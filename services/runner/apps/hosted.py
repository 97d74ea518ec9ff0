"""Apps on their hosts: what happens to these, and what becomes of the app; restarted when a host is lost.

Of several replicas of the runner one places hosts at a time.
"""

import asyncio
import contextlib
import dataclasses
import functools
import secrets
import time
from collections.abc import AsyncIterator, Callable

import structlog
from agentmesh_protos.runner.v1 import host_pb2

from meshkit import clock
from meshkit.bus import Bus
from meshkit.errors import FailedPrecondition, Unavailable
from meshkit.tasks import Apart, Tasks
from services.runner import domain
from services.runner.apps.appstates import App, AppState
from services.runner.apps.hosting import Hosting
from services.runner.apps.known import KnownApps
from services.runner.callers.masking import Masks
from services.runner.domain import PlacedApp, State, deployments
from services.runner.hosts.links import HostLost, Hosts, Link, NotPlaced
from services.runner.jobs.dispatcher import Dispatcher
from services.runner.jobs.jobs import Jobs
from services.runner.jobs.journal import QUEUE
from services.runner.ports.placement import Event, Exited, Unplaced
from services.runner.ports.replicas import ReplicaStore
from services.runner.ports.store import AppStore, JobStore

log = structlog.get_logger()
_BACKOFF_S = (0.0, 0.2, 1.0, 2.0, 5.0, 10.0, 30.0)
_HEALTHY_AFTER_S = 30.0
_RESUME_S = 15.0
_SAVE_AGAIN_S = 0.5
_PLACE_AGAIN_S = 1.0
_LOOK_S = 1.0


class HostedApps(KnownApps):
    """Every app that shall be served, and its hosts: these come, load it, are lost and are replaced."""

    def __init__(
        self,
        store: AppStore,
        job_store: JobStore,
        jobs: Jobs,
        dispatcher: Dispatcher,
        hosts: Hosts,
        hosting: Hosting,
        bus: Bus,
        tasks: Tasks,
        masks: Masks,
        replicas: ReplicaStore | None = None,
        *,
        lease_s: float,
        now: Callable[[], float] = clock.now,
    ) -> None:
        super().__init__(store, dispatcher, hosts, bus, masks, replicas)
        self._job_store = job_store
        self._jobs = jobs
        self._hosting = hosting
        self._tasks = tasks
        self._lease_s = lease_s
        self._now = now
        self._address = ""
        self._locks: dict[str, asyncio.Lock] = {}

    # -- in charge of hosts --------------------------------------------------------------------------------------------

    async def run(self, address: str, events: AsyncIterator[Event]) -> None:
        """Place hosts, which reach us at `address`, and hear what happens to them, until cancelled.

        Of several replicas one does this at a time.
        """
        self._address = address
        try:
            async for event in events:
                if isinstance(event, Exited):
                    await self.host_exited(event.host_id, event.reason)
                elif isinstance(event, Unplaced):
                    self._host_unplaced(event)
                elif not self._in_charge.is_set():
                    self._placing = True
                    await self._resume(event.host_ids)
                    self._in_charge.set()
                    self._resumed.set()
                    await self._changed()
                else:
                    for link in [link for link in self._hosts.links.values() if link.started]:
                        if link.host_id not in event.host_ids:
                            await self.host_exited(link.host_id, "was lost")
        finally:
            self._placing = False
            self._in_charge.clear()
            if self._standings is not None:
                self._standings.begin()
            self._hosting.step_down()

    async def keep_telling(self) -> None:
        """Tell what could not be told, and end jobs that wait for no app, until cancelled."""
        apart = Apart("stray-jobs")
        while True:
            await asyncio.sleep(_LOOK_S)
            with contextlib.suppress(Unavailable):
                if self._in_charge.is_set() and self._standings is not None and self._replicas is not None:
                    await self._standings.tell(self._apps)
                    await self._dispatcher.sweep()
                    for job in await self._replicas.stray_jobs():
                        with apart(job.job_id):
                            await self._jobs.lose([job.job_id], "the job's host was lost")

    async def _until_resumed(self) -> None:
        try:
            async with asyncio.timeout(_RESUME_S):
                await self._in_charge.wait()
        except TimeoutError:
            raise Unavailable("the runner cannot reach what starts hosts: try again") from None

    async def _resume(self, living: frozenset[str]) -> None:
        """After our own start, or when we take over, take up what was placed, and what hosts hold."""
        await self._forget_lost(living)
        flows = {} if self._standings is None else await self._standings.flows()
        for kept in await self._store.apps():
            plan = deployments.parse(kept.deployments_json)
            app = App(kept, plan.resources_json, state=AppState.UNHEALTHY, message="its hosts are being restarted")
            app.scaling = plan.scaling
            app.flows = flows.get(kept.expose, {})
            self._apps[kept.expose] = app
            self._dispatcher.open(kept.expose)
            try:
                placed = app.placed = self._masks.opened_app(kept)
            except FailedPrecondition as error:  # the key of this mesh is another one now
                app.state, app.message = AppState.FAILED, str(error)
                continue
            if not placed.host_ids:  # it had none to do nothing: one is to say what it offers
                app.placed = placed = dataclasses.replace(placed, host_ids=(self._new_id(kept.expose),))
            for replica, host_id in enumerate(placed.host_ids):
                if host_id in living:
                    link = self._hosting.expect(host_id, placed.expose)
                    self._tasks.spawn(self._await_return(app, replica, link), f"return-{host_id}")
                else:
                    self._tasks.spawn(self._restart(app, replica), f"restart-{host_id}")
        self._dispatcher.settle()
        for job in await self._job_store.open_jobs():
            if job.host_id in living or job.host_id in self._hosts.links:
                if self._replicas is None:  # else whoever hangs a host on knows what it is to hold
                    self._expect_job(job)
            elif job.host_id:
                await self._jobs.orphaned(job, "its host was lost while the runner was down")
            elif job.state == State.QUEUED:
                await self._dispatcher.enqueue(job)

    async def _forget_lost(self, living: frozenset[str]) -> None:
        """Forget hosts that were lost while nobody placed any."""
        for row in await self._replicas.hosts() if self._replicas is not None else ():
            if row.host_id not in living:
                self._hosts.remove(row.host_id)
                await self._hosting.forget(row.host_id)

    def _expect_job(self, job: domain.Job) -> None:
        link = self._hosts.links.get(job.host_id)
        if link is None:  # a host that was draining: it may still finish
            link = self._hosts.add(Link(job.host_id, job.expose))
            link.started = True
            link.loaded.set_result(host_pb2.Loaded())  # its lease runs from now
        link.slots.hold(job)
        self._dispatcher.expect(job)

    async def _await_return(self, app: App, replica: int, link: Link) -> None:
        """A host that lived through our restart attaches by itself; one that does not is replaced."""
        try:
            async with asyncio.timeout(self._lease_s):
                loaded = await asyncio.shield(link.loaded)
        except HostLost:  # `host_exited` has seen to it
            return
        except TimeoutError:
            await self.host_exited(link.host_id, "did not come back")
            return
        await self._settle(app, replica, link, loaded)

    async def expire_leases(self) -> None:
        """End what hosts hold that have been silent or gone for too long, until cancelled.

        When it is we who stood still, as after a suspended laptop, nobody was silent: every lease begins anew.
        """
        step_s = min(1.0, self._lease_s / 4)
        looked_at = time.monotonic()
        while True:
            await asyncio.sleep(step_s)
            stood_still = time.monotonic() - looked_at > step_s + self._lease_s / 2
            looked_at = time.monotonic()
            if stood_still:
                for link in self._hosts.links.values():
                    link.seen_at = looked_at
                continue
            for link in self._hosting.silent(self._lease_s) if self._in_charge.is_set() else ():
                log.warning("host silent", host=link.host_id)
                await self.host_exited(link.host_id, "did not answer")
                await self._hosting.stop(link)

    # -- what happens to a host ----------------------------------------------------------------------------------------

    async def host_exited(self, host_id: str, how: str) -> None:
        """A host has ended: so have its jobs.  Start another for its app unless it was replaced or removed."""
        await self._hosting.hear_last(host_id)
        link = self._hosts.remove(host_id)
        if link is None:
            return
        loading = not link.loaded.done()
        if loading:
            link.loaded.set_exception(HostLost(how))
            link.loaded.exception()  # whoever waits for it hears of it; nobody need
        await self._hosting.forget(host_id)
        await self._jobs.lose(await self._held(link), f"the job's host {how}")
        app = self._apps.get(link.expose)
        if app is None or host_id not in app.placed.host_ids or (loading and not self._returning(app)):
            return
        self._lost(app, app.placed.host_ids.index(host_id), how)
        await self._changed()

    async def _held(self, link: Link) -> set[str]:
        """Return what a host is to hold, wherever it hung."""
        held = link.jobs
        while self._replicas is not None:
            try:
                return held | {job.job_id for job in await self._replicas.held_jobs([link.host_id])}
            except Unavailable:
                await asyncio.sleep(_SAVE_AGAIN_S)
        return held

    def _host_unplaced(self, event: Unplaced) -> None:
        """A host will not come: whoever waits for it hears why."""
        link = self._hosts.links.get(event.host_id)
        if link is not None and not link.loaded.done():
            link.loaded.set_exception(NotPlaced(event.reason, event.detail))
            link.loaded.exception()

    def _returning(self, app: App) -> bool:
        """Whether a host that has not said yet what it serves is one that lived through our own restart."""
        return app.state == AppState.UNHEALTHY and not app.running_since

    def _lost(self, app: App, replica: int, how: str) -> None:
        stable = self._now() - app.running_since.get(replica, 0.0) > _HEALTHY_AFTER_S
        app.losses[replica] = 0 if stable else app.losses.get(replica, 0) + 1
        if not self._hosts.serving.get(app.expose) and app.state != AppState.FAILED:
            app.state, app.message = AppState.UNHEALTHY, f"its host {how}; it is being restarted"
        self._tasks.spawn(self._restart(app, replica), f"restart-{app.expose}-{replica}")

    async def _restart(self, app: App, replica: int) -> None:
        await asyncio.sleep(_BACKOFF_S[min(app.losses.get(replica, 0), len(_BACKOFF_S) - 1)])
        host_id = self._new_id(app.expose)
        while True:
            if self._apps.get(app.expose) is not app:
                return  # deployed anew or removed meanwhile
            host_ids = list(app.placed.host_ids)
            if replica >= len(host_ids):
                return  # it needs fewer now
            host_ids[replica] = host_id
            placed = app.placed = dataclasses.replace(app.placed, host_ids=tuple(host_ids))
            try:
                await self._store.save_app(self._masks.sealed_app(placed))
                break
            except Unavailable:  # it cannot be written down now; a host that nobody has written down would be lost
                await asyncio.sleep(_SAVE_AGAIN_S)
        link, loaded = await self._load(app, placed, replica)
        pause_s = _PLACE_AGAIN_S
        while link.unplaced and self._apps.get(app.expose) is app:  # there may be a place for it in a while
            app.message = loaded.error
            await self._changed()
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _BACKOFF_S[-1])
            if host_id not in app.placed.host_ids:
                return  # it needs fewer now
            link, loaded = await self._load(app, placed, replica)
        await self._settle(app, replica, link, loaded)

    # -- loading -------------------------------------------------------------------------------------------------------

    async def _load(self, app: App, placed: PlacedApp, replica: int) -> tuple[Link, host_pb2.Loaded]:
        prepares = functools.partial(self._note_activity, app.expose)
        link, loaded = await self._hosting.start(placed, replica, self._address, app.resources_json, prepares)
        self._note_activity(app.expose, "")
        redactor = self._masks.of_app(app.expose)
        if redactor and (loaded.error or loaded.detail):
            loaded.error, loaded.detail = redactor.text(loaded.error), redactor.text(loaded.detail)
        return link, loaded

    def _note_activity(self, expose: str, text: str) -> None:
        """Have everybody know what is done before an app can be loaded."""
        known = self._apps.get(expose)
        if known is not None and known.activity != text:
            known.activity = text
            self._tasks.spawn(self._changed(), f"activity-{expose}")

    async def _settle(self, app: App, replica: int, link: Link, loaded: host_pb2.Loaded) -> None:
        """Take in what came of loading an app on one of its hosts."""
        if not self._placing:
            return  # another replica has taken over, and the host
        if self._apps.get(app.expose) is not app or link.host_id not in app.placed.host_ids:
            await self._hosting.stop(link)
            return
        if loaded.error:
            if not self._hosts.serving.get(app.expose):
                await self._fail(app, loaded)
            return
        await self._note_loaded(app, replica, link, loaded)
        await self._changed(QUEUE)

    async def _note_loaded(self, app: App, replica: int, link: Link, loaded: host_pb2.Loaded) -> None:
        app.state, app.message, app.detail = AppState.RUNNING, "", ""
        self._dispatcher.open(app.expose)  # closed if another host of it has failed before
        app.flows = {flow.path: flow for flow in reversed(loaded.flows)}  # of two on one path the first counts
        app.seen_at = app.running_since[replica] = self._now()
        await self._hosting.serve(link)

    async def _fail(self, app: App, loaded: host_pb2.Loaded) -> None:
        app.state, app.message, app.detail = AppState.FAILED, loaded.error, loaded.detail
        app.seen_at = self._now()
        await self._dispatcher.close(app.expose, domain.lost(f"its app could not be loaded: {loaded.error}"))
        await self._changed()

    def _new_id(self, expose: str) -> str:
        return f"{expose}-{secrets.token_hex(4)}"

    def _lock(self, expose: str) -> asyncio.Lock:
        return self._locks.setdefault(expose, asyncio.Lock())
