"""Gives apps more hosts and fewer, as their jobs come and go."""

import contextlib
import time
from collections.abc import Callable

import structlog

from meshkit.bus import Bus
from meshkit.errors import Unavailable
from meshkit.tasks import Apart
from services.runner.apps.apps import Apps
from services.runner.apps.appstates import App, AppState
from services.runner.domain.scaling import Pressure
from services.runner.hosts.links import Hosts
from services.runner.jobs.dispatcher import Dispatcher
from services.runner.jobs.journal import APPS, QUEUE, ROOM

log = structlog.get_logger()
_LOOK_S = 1.0
_ASKED_S = 10.0
"""Who asks for a form sends it soon."""


class Scaler:
    """Looks at every app that says how its hosts are to follow its jobs."""

    def __init__(
        self, apps: Apps, dispatcher: Dispatcher, hosts: Hosts, bus: Bus, now: Callable[[], float] = time.monotonic
    ) -> None:
        """`now` is monotonic time."""
        self._apps = apps
        self._dispatcher = dispatcher
        self._hosts = hosts
        self._bus = bus
        self._now = now
        self._pressures: dict[str, Pressure] = {}
        self._apart = Apart("scaling")

    async def run(self) -> None:
        """Look whenever a job waits or an app changes, and once a second, until cancelled."""
        await self._apps.until_resumed()
        async with self._bus.subscribe(QUEUE, ROOM, APPS) as waker:
            while not waker.closed:
                await waker.wait(_LOOK_S)
                for app in self._apps.list():
                    with self._apart(app.expose):
                        await self._look(app)
                self._pressures = {app.expose: self._pressure(app) for app in self._apps.list() if app.scaling}

    async def _look(self, app: App) -> None:
        if app.scaling is None or app.state is AppState.FAILED:
            return
        hosts, jobs = len(app.placed.host_ids), self._jobs(app)
        count = self._pressure(app).decide(app.scaling, hosts, jobs, self._now())
        if count != hosts:
            log.info("an app gets another number of hosts", expose=app.expose, jobs=jobs, before=hosts, after=count)
            with contextlib.suppress(Unavailable):  # it cannot be written down now: it is looked at again
                await self._apps.resize(app, count)

    def _jobs(self, app: App) -> int:
        """Return how many jobs of an app wait or run; who asks it something, or has just done so, counts as one."""
        links = list(self._hosts.of(app.expose))
        is_asked = self._now() - app.asked_at < _ASKED_S or any(link.questions for link in links)
        return self._dispatcher.waiting(app.expose) + sum(link.slots.taken for link in links) + is_asked

    def _pressure(self, app: App) -> Pressure:
        return self._pressures.setdefault(app.expose, Pressure())
