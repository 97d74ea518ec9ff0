"""What is known of apps: told by the replica that places their hosts, read by the others."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from meshkit.bus import Bus
from meshkit.errors import NotFound, Unavailable
from services.runner.apps.appstates import App, AppState
from services.runner.apps.standings import Standings
from services.runner.callers.masking import Masks
from services.runner.hosts.links import Hosts, Link
from services.runner.jobs.dispatcher import Dispatcher
from services.runner.jobs.journal import APPS, QUEUE
from services.runner.ports.replicas import ReplicaStore
from services.runner.ports.store import AppStore

_LOOK_S = 1.0


class KnownApps:
    """Every app that shall be served, to look at and to reach."""

    def __init__(
        self,
        store: AppStore,
        dispatcher: Dispatcher,
        hosts: Hosts,
        bus: Bus,
        masks: Masks,
        replicas: ReplicaStore | None,
    ) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._hosts = hosts
        self._bus = bus
        self._masks = masks
        self._apps: dict[str, App] = {}
        self._resumed = asyncio.Event()
        """Set once it is known what was placed."""
        self._in_charge = asyncio.Event()
        """Set while it is we who place hosts, and have taken up what was placed."""
        self._placing = False
        """Whether hosts are ours to place, from the moment on at which we take them up."""
        self._replicas = replicas
        self._standings = Standings(store, replicas, masks) if replicas is not None else None

    def list(self) -> list[App]:
        """Return every app, by expose."""
        return [self._apps[expose] for expose in sorted(self._apps)]

    def ready_count(self, app: App) -> int:
        """Return how many hosts serve an app."""
        return len(self._hosts.serving.get(app.expose, ()))

    async def check_placed(self, expose: str) -> None:
        """Raise `NotFound` if no such app shall be served; just after our start we cannot tell yet, and let it pass."""
        if expose not in self._apps:
            await self.refresh()
        if self._resumed.is_set() and expose not in self._apps:
            raise NotFound(f"no app is placed for {expose}: boot it first", resource=f"apps/{expose}")

    async def get(self, expose: str, patience_s: float) -> App:
        """Return an app whose flows are known; wait up to `patience_s` for one that is being started or restarted.

        Raises `Unavailable` if it cannot be told what it offers, or no such app shall be served.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + patience_s
        async with self._bus.subscribe(APPS) as waker:
            while True:
                app = self._apps.get(expose)
                if app is None or app.state != AppState.RUNNING:
                    await self.refresh()
                    app = self._apps.get(expose)
                if app is None and self._resumed.is_set():
                    raise Unavailable(
                        f"no app runs for {expose}: boot it first, or look at its state", resource=f"apps/{expose}"
                    )
                if app is not None and (app.flows or app.state in (AppState.RUNNING, AppState.OUTDATED)):
                    return app
                if app is not None and app.state == AppState.FAILED:
                    raise Unavailable(
                        f"the app of {expose} could not be loaded: {app.message}", resource=f"apps/{expose}"
                    )
                left_s = until - loop.time()
                if left_s <= 0 or waker.closed:
                    raise Unavailable(f"the app of {expose} is starting: try again", resource=f"apps/{expose}")
                await waker.wait(left_s)

    async def changes(self, quiet_s: float) -> AsyncIterator[None]:
        """Yield when there is something to look at: once what was placed is known, and then whenever an app may have
        changed, or nothing has for `quiet_s`.  Ends when the bus is closed.
        """
        async with self._bus.subscribe(APPS) as waker:
            while not waker.closed:
                if self._resumed.is_set():
                    yield
                await waker.wait(quiet_s)

    async def link(self, expose: str, patience_s: float) -> Link:
        """Return the host of an app to ask; wait up to `patience_s` for one that is being restarted.

        Raises `Unavailable` if no host serves it.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + patience_s
        async with self._bus.subscribe(APPS) as waker:
            while True:
                app = await self.get(expose, until - loop.time())
                left_s = until - loop.time()
                link = self._hosts.asked_least(expose) if expose in self._hosts.serving else None
                app.asked_at = time.monotonic()
                if not app.placed.host_ids:
                    await self._bus.publish(QUEUE)  # one is started for this
                if link is not None and (link.reachable or left_s <= 0):
                    return link
                if left_s <= 0 or app.state == AppState.FAILED or waker.closed:
                    return self._hosts.asked_least(expose)
                await waker.wait(left_s)

    @property
    def in_charge(self) -> bool:
        """Whether it is here that apps are deployed and removed."""
        return self._in_charge.is_set()

    async def follow(self) -> None:
        """Know of apps what the replica says that places their hosts, until cancelled."""
        async with self._bus.subscribe(APPS) as waker:
            while not waker.closed:
                with contextlib.suppress(Unavailable):
                    await self.refresh()
                await waker.wait(_LOOK_S)

    async def refresh(self) -> None:
        """Read where apps stand, unless it is we who know.  Raises `Unavailable`."""
        if self._standings is None or self._placing:
            return
        changed, known = await self._standings.read()
        if self._placing:
            return
        for expose, app in changed.items():
            self._apps[expose] = app
            self._dispatcher.open(expose)
        gone = self._apps.keys() - known
        for expose in gone:
            del self._apps[expose]
        is_first = not self._resumed.is_set()
        self._resumed.set()
        if changed or gone or is_first:
            await self._bus.publish(QUEUE, APPS)

    async def _changed(self, *topics: str) -> None:
        """Tell everybody that apps may stand elsewhere than before."""
        if self._standings is not None:
            with contextlib.suppress(Unavailable):  # told with what changes next, or by `keep_telling`
                await self._standings.tell(self._apps)
        await self._bus.publish(*topics, APPS)

    async def until_resumed(self) -> None:
        """Wait, as long as it takes, until what was placed and what hosts hold is known after our start."""
        await self._resumed.wait()
