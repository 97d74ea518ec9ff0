"""Where apps stand: the runner's word, which it streams, at hand for all who read."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator

import structlog

from meshkit.bus import Bus
from meshkit.errors import MeshError
from services.registry.domain.deploying import Deployed, DeployFailed, Plan
from services.registry.domain.standings import AppStatus, Snapshot
from services.registry.ports.apps import APPS, Apps

log = structlog.get_logger()
_PAUSES_S = (0.05, 0.2, 0.5, 1.0)
"""Before each attempt to hear the runner again."""


class Standings:
    """Runs apps through another, and knows where they stand."""

    def __init__(self, apps: Apps, bus: Bus, *, patience_s: float = 2.0) -> None:
        """What changes is published as `APPS`.

        `patience_s` is how long the last word counts after the stream of the runner was cut off, as by its restart; and
        how long a reader waits for the first word, and who has changed something for the news of it.
        """
        self._apps = apps
        self._bus = bus
        self._patience_s = patience_s
        self._snapshot = Snapshot(apps={}, seen_at=None, reachable=False)
        self._heard = asyncio.Event()

    async def run(self) -> None:
        """Follow the runner, until cancelled; come back to it whenever it is gone."""
        loop = asyncio.get_running_loop()
        heard_at, failures = loop.time(), 0
        while True:
            why = "its stream has ended"
            try:
                async with contextlib.aclosing(self._apps.follow()) as snapshots:
                    async for snapshot in snapshots:
                        await self._take(snapshot)
                        heard_at, failures = loop.time(), 0
            except MeshError as error:
                why = str(error)
            if loop.time() - heard_at >= self._patience_s:
                if self._snapshot.reachable or not self._heard.is_set():
                    log.warning("runner does not answer", error=why)
                await self._take(Snapshot(apps={}, seen_at=self._snapshot.seen_at, reachable=False))
            await asyncio.sleep(_PAUSES_S[min(failures, len(_PAUSES_S) - 1)])
            failures += 1

    async def current(self) -> Snapshot:
        """Return where apps stand.  If the runner does not answer, the snapshot says so."""
        if not self._heard.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._patience_s):
                    await self._heard.wait()
            self._heard.set()  # who comes next does not wait again
        return self._snapshot

    async def fetch(self, *, patient: bool = False) -> Snapshot:
        """Ask the runner anew; raise a `MeshError` if it does not answer.  A `patient` caller waits for a restart."""
        return await self._apps.fetch(patient=patient)

    async def deploy(self, expose: str, plan: Plan, timeout_s: float) -> Deployed:
        """Load an app and return what serves now; raise `DeployFailed` with the reason if nothing does.

        Readers know by then.
        """
        try:
            deployed = await self._apps.deploy(expose, plan, timeout_s)
        except DeployFailed:  # whatever is left, only the runner knows
            with contextlib.suppress(MeshError):
                await self._until_told(expose, (await self._apps.fetch()).apps.get(expose))
            raise
        await self._until_told(expose, deployed.status)
        return deployed

    async def activities(self, expose: str) -> AsyncIterator[str]:
        """Yield what is done before an app can be loaded, as that changes, without an end."""
        said = ""
        async with self._bus.subscribe(APPS) as waker:
            while not waker.closed:
                status = self._snapshot.apps.get(expose)
                activity = status.activity if status is not None else ""
                if activity and activity != said:
                    yield activity
                said = activity
                await waker.wait()

    async def remove(self, expose: str) -> None:
        """Stop an app; one that is not there is fine.  Raises a `MeshError` if it cannot be stopped."""
        await self._apps.remove(expose)
        await self._until_told(expose, None)

    async def probe(self, expose: str, path: str, timeout_s: float) -> int:
        """Ask a flow for its form; return the HTTP status, or raise a `MeshError` if there is none."""
        return await self._apps.probe(expose, path, timeout_s)

    async def _take(self, snapshot: Snapshot) -> None:
        before, self._snapshot = self._snapshot, snapshot
        if not self._heard.is_set() or before != dataclasses.replace(snapshot, seen_at=before.seen_at):
            self._heard.set()
            await self._bus.publish(APPS)

    async def _until_told(self, expose: str, status: AppStatus | None) -> None:
        """Wait until the stream has said what the runner has answered: it may still be on older news.

        It may as well be on newer ones, so nobody waits for long; while there is no stream, nobody waits.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + self._patience_s
        async with self._bus.subscribe(APPS) as waker:
            while self._snapshot.reachable and self._snapshot.apps.get(expose) != status:
                left_s = until - loop.time()
                if left_s <= 0 or waker.closed:
                    return
                await waker.wait(left_s)
