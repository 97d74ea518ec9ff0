"""What is asked of apps: to be served, replaced, by more hosts or fewer, and no more."""

import asyncio
import dataclasses
from collections.abc import Sequence

from agentmesh_protos.runner.v1 import host_pb2

from meshkit import jsons
from meshkit.errors import NotFound, Unavailable
from services.runner import domain
from services.runner.apps.appstates import App, AppState
from services.runner.apps.hosted import HostedApps
from services.runner.domain import PlacedApp, deployments
from services.runner.hosts.links import Link
from services.runner.jobs.journal import QUEUE


class Apps(HostedApps):
    """Every app that shall be served: deployed, removed and resized; `HostedApps` keeps it on its hosts."""

    async def deploy(self, placed: PlacedApp) -> App:
        """Load an app on hosts of its own; return it RUNNING, FAILED or OUTDATED.

        The hosts it replaces finish what they run.  Code that does not load replaces nothing: while a version before
        serves, it goes on, and the app is OUTDATED.  Raises `Invalid` for JSON that cannot be used, `Unavailable` if it
        cannot be written down now.
        """
        jsons.object_in(placed.runtime_env_json, "runtime_env_json")
        plan = deployments.parse(placed.deployments_json)
        await self._until_resumed()
        async with self._lock(placed.expose):
            self._masks.know(placed)
            host_ids = tuple(self._new_id(placed.expose) for _ in range(plan.replicas))
            given = dataclasses.replace(placed, host_ids=host_ids)
            app = App(given, plan.resources_json, scaling=plan.scaling, seen_at=self._now())
            before = self._apps.get(placed.expose)
            serves = before is not None and bool(self._hosts.serving.get(placed.expose))
            if not serves:
                await self._store.save_app(self._masks.sealed_app(app.placed))
                self._apps[placed.expose] = app
                self._dispatcher.open(placed.expose)
                await self._changed()
            loads = [self._load(app, app.placed, replica) for replica in range(plan.replicas)]
            loaded = await asyncio.gather(*loads)
            if not self._placing:
                await self._stop(loaded)
                raise Unavailable("another replica of the runner has taken over: try again")
            failed = next((answer for _, answer in loaded if answer.error), None)
            if failed is None:
                try:
                    await self._store.save_app(self._masks.sealed_app(app.placed))
                except Unavailable:
                    await self._stop(loaded)
                    raise
                await self._replace(app, loaded)
                return app
            await self._stop(loaded)
            if before is not None and serves:
                before.state, before.message, before.detail = AppState.OUTDATED, failed.error, failed.detail
                await self._changed()
                return before
            await self._fail(app, failed)
            return app

    async def _stop(self, loaded: Sequence[tuple[Link, host_pb2.Loaded]]) -> None:
        """End hosts that have loaded an app and shall not serve it."""
        for link, answer in loaded:
            if not answer.error:
                await self._hosting.stop(link)

    async def provide(self, placed: PlacedApp) -> App:
        """Have an app served: it is deployed unless it is placed already.  Raises as `deploy`."""
        await self._until_resumed()
        known = self._apps.get(placed.expose)
        if known is not None and known.state is not AppState.FAILED and known.placed.import_path == placed.import_path:
            return known
        return await self.deploy(placed)

    async def _replace(self, app: App, loaded: Sequence[tuple[Link, host_pb2.Loaded]]) -> None:
        """Let new hosts serve, and those before them finish what they run."""
        new = [link for link, _ in loaded]
        old = [link for link in self._hosts.of(app.expose) if link not in new]
        self._apps[app.expose] = app
        for replica, (link, answer) in enumerate(loaded):
            await self._note_loaded(app, replica, link, answer)
        for link in old:
            await self._hosting.drain(link)
        for replica, (link, _) in enumerate(loaded):
            if link.host_id not in self._hosts.links:  # it ended before it served
                self._lost(app, replica, "was lost")
        await self._changed(QUEUE)

    async def remove(self, expose: str) -> None:
        """Stop an app and forget it; its jobs end as CANCELLED.  Raises `NotFound`."""
        await self._until_resumed()
        async with self._lock(expose):
            if expose not in self._apps:
                raise NotFound(f"no app is placed for {expose}", resource=f"apps/{expose}")
            await self._store.delete_app(expose)
            del self._apps[expose]
            await self._dispatcher.close(expose, domain.SHUT_DOWN)
            for link in self._hosts.of(expose):
                held = await self._held(link)
                await self._hosting.stop(link)
                await self._jobs.shut_down(held)
            await self._changed()

    async def resize(self, app: App, count: int) -> None:
        """Have an app served by `count` hosts: more are started, those that are too many finish what they run.

        Nothing happens if it was deployed anew or removed meanwhile.  Raises `Unavailable` if it cannot be written
        down now.
        """
        async with self._lock(app.expose):
            if not self._placing or self._apps.get(app.expose) is not app:
                return
            before = app.placed.host_ids
            more = tuple(self._new_id(app.expose) for _ in range(count - len(before)))
            placed = dataclasses.replace(app.placed, host_ids=before[:count] + more)
            await self._store.save_app(self._masks.sealed_app(placed))
            app.placed = placed
            for host_id in before[count:]:
                if (link := self._hosts.links.get(host_id)) is not None:
                    await self._hosting.drain(link)
            for replica in range(len(before), count):
                self._tasks.spawn(self._restart(app, replica), f"start-{app.expose}-{replica}")
            await self._changed(QUEUE)
