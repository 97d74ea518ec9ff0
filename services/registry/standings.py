"""Where apps stand, as far as it is known now: the runner's word, kept for a moment and shared by all who read."""

import asyncio
import dataclasses
import time

import structlog

from meshkit.bus import Bus
from meshkit.errors import MeshError
from meshkit.principal import on_own_behalf
from meshkit.tasks import Tasks
from services.registry.domain.deploying import Deployed, Plan
from services.registry.domain.standings import Snapshot
from services.registry.ports.apps import APPS, Apps

log = structlog.get_logger()


class Standings:
    """Runs apps through another, and remembers where they stand.

    The runner is always called as the registry itself, never with the token of the user who happens to ask.
    """

    def __init__(self, apps: Apps, bus: Bus, tasks: Tasks, *, fresh_s: float = 1.0) -> None:
        """Readers are shown an answer of the runner for `fresh_s`; what is changed here is published as `APPS`."""
        self._apps = apps
        self._bus = bus
        self._tasks = tasks
        self._fresh_s = fresh_s
        self._latest: asyncio.Task[Snapshot] | None = None
        self._snapshot = Snapshot(apps={}, seen_at=None, reachable=False)
        self._fresh_until = 0.0
        self._warned = False

    async def current(self) -> Snapshot:
        """Return where apps stand, at most `fresh_s` old.  If the runner does not answer, the snapshot says so."""
        if time.monotonic() < self._fresh_until:
            return self._snapshot
        if self._latest is None:
            with on_own_behalf():
                self._latest = self._tasks.spawn(self._ask(), "list-apps")
        return await asyncio.shield(self._latest)  # a reader that hangs up does not stop the others

    async def fetch(self, *, patient: bool = False) -> Snapshot:
        """Ask the runner anew; raise a `MeshError` if it does not answer.  A `patient` caller waits for a restart."""
        return await self._apps.fetch(patient=patient)

    async def deploy(self, expose: str, plan: Plan, timeout_s: float) -> Deployed:
        """Load an app and return what serves now; raise `DeployFailed` with the reason if nothing does."""
        try:
            deployed = await self._apps.deploy(expose, plan, timeout_s)
        except BaseException:  # whatever it was, only the runner knows now
            await self._forget()
            raise
        if self._snapshot.reachable:
            known = {**self._snapshot.apps, expose: deployed.status}
            self._snapshot = dataclasses.replace(self._snapshot, apps=known)
            self._latest = None  # it may have been asked before
            await self._bus.publish(APPS)
        else:
            await self._forget()
        return deployed

    async def remove(self, expose: str) -> None:
        """Stop an app; one that is not there is fine.  Raises a `MeshError` if it cannot be stopped."""
        try:
            await self._apps.remove(expose)
        finally:
            await self._forget()

    async def probe(self, expose: str, path: str, timeout_s: float) -> int:
        """Ask a flow for its form; return the HTTP status, or raise a `MeshError` if there is none."""
        return await self._apps.probe(expose, path, timeout_s)

    async def _forget(self) -> None:
        """Ask again at the next read."""
        self._fresh_until = 0.0
        self._latest = None
        await self._bus.publish(APPS)

    async def _ask(self) -> Snapshot:
        try:
            snapshot = await self._apps.fetch()
            self._warned = False
        except MeshError as error:
            if not self._warned:  # somebody asks every second
                log.warning("runner does not answer", error=str(error))
            self._warned = True
            snapshot = Snapshot(apps={}, seen_at=self._snapshot.seen_at, reachable=False)
        if asyncio.current_task() is self._latest:  # else something changed since we asked
            self._snapshot = snapshot
            self._fresh_until = time.monotonic() + self._fresh_s
            self._latest = None
        return snapshot
