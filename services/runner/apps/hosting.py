"""Starts hosts and waits until they have loaded their app."""

import asyncio
import contextlib
import dataclasses
import json
import time
from collections.abc import Callable

from agentmesh_protos.runner.v1 import app_pb2, host_pb2
from agentmesh_protos.runner.v1.placement_pb2 import HostSpec

from meshkit.errors import Unavailable
from services.runner.domain import PlacedApp
from services.runner.hosts.hostbadges import HostBadges
from services.runner.hosts.links import HostLost, Hosts, Link, NotPlaced
from services.runner.hosts.roll import Roll
from services.runner.hosts.slots import Capacity
from services.runner.jobs.dispatcher import ISOLATIONS
from services.runner.ports.placement import Placement
from services.runner.ports.replicas import ReplicaStore

_PACKAGES = {"pip", "uv", "requirements", "py_modules", "working_dir"}
"""Of a `runtime_env`: what may have to be fetched or installed."""
_AGAIN_S = 0.2
_AGAIN_MAX_S = 5.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What every host is started with."""

    badges: HostBadges
    load_timeout_s: float
    """How long an app may take to load."""
    install_timeout_s: float
    """How long it may take more if it asks for packages, which may have to be installed."""
    capacity: Capacity

    def patience_s(self, runtime_env_json: str) -> float:
        """Return how long an app may take to load, with what is done before."""
        asked = json.loads(runtime_env_json or "{}")
        return self.load_timeout_s + (self.install_timeout_s if not _PACKAGES.isdisjoint(asked) else 0.0)


class Hosting:
    """Hosts as a placement starts them."""

    def __init__(
        self,
        hosts: Hosts,
        placement: Placement,
        terms: Terms,
        roll: Roll | None = None,
        replicas: ReplicaStore | None = None,
    ) -> None:
        """With a `roll`, what becomes of hosts is told to other replicas of the runner as well."""
        self._hosts = hosts
        self._placement = placement
        self._terms = terms
        self._roll = roll
        self._replicas = replicas

    def expect(self, host_id: str, expose: str) -> Link:
        """Know a host that was started before: it will attach by itself."""
        link = self._hosts.links.get(host_id) or self._add(host_id, expose)
        link.started = True
        return link

    def _add(self, host_id: str, expose: str) -> Link:
        return self._hosts.add(Link(host_id, expose, self._terms.capacity, self._hosts.far))

    async def start(
        self,
        placed: PlacedApp,
        replica: int,
        address: str,
        resources_json: str,
        prepares: Callable[[str], None] = lambda text: None,
    ) -> tuple[Link, host_pb2.Loaded]:
        """Start one of an app's hosts; return it with what came of loading the app.

        It dials `address`, and what it does before it loads the app is told to `prepares`.  A host or a placement that
        is lost meanwhile is no word about the app: it is tried again until the app's time to load is over.  An app that
        could not be loaded has `Loaded.error`, and no host any more.
        """
        loop = asyncio.get_running_loop()
        patience_s = self._terms.patience_s(placed.runtime_env_json)
        until = loop.time() + patience_s
        pause_s = _AGAIN_S
        while True:
            link = self._add(placed.host_ids[replica], placed.expose)
            link.prepares = prepares
            try:
                if self._roll is not None:
                    await self._roll.add(link.host_id, link.expose)
                spec = self._spec(placed, replica, address, resources_json)
                await self._placement.start(spec, self._terms.badges.sign(spec.host_id))
                link.started = True
                async with asyncio.timeout_at(until):
                    loaded = await asyncio.shield(link.loaded)
            except TimeoutError:
                loaded = host_pb2.Loaded(error=f"the app did not load within {patience_s:g} s")
            except NotPlaced as error:
                loaded = host_pb2.Loaded(error=f"no host for it could be placed: {error}", detail=error.detail)
                link.unplaced = True
                self._hosts.remove(link.host_id)
                return link, loaded
            except (HostLost, Unavailable) as error:
                await self._remove(link.host_id)
                if loop.time() + pause_s < until:
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, _AGAIN_MAX_S)
                    continue
                loaded = host_pb2.Loaded(error=f"the app's host {error}" if isinstance(error, HostLost) else str(error))
            except asyncio.CancelledError:
                await self.stop(link)
                raise
            if loaded.error:
                await self.stop(link)
            return link, loaded

    async def stop(self, link: Link) -> None:
        """End a host and all it runs."""
        await self._remove(link.host_id)
        with contextlib.suppress(Unavailable):  # nobody can end it now: it is not wanted any more when it attaches
            await self._placement.stop(link.host_id)

    async def _remove(self, host_id: str) -> None:
        self._hosts.remove(host_id)
        await self.forget(host_id)

    async def forget(self, host_id: str) -> None:
        """Have every replica forget a host that we have forgotten."""
        if self._roll is not None:
            self._roll.forget(host_id)
            await self._roll.decided()

    async def hear_last(self, host_id: str) -> None:
        """Hear what a host that has ended has told another replica of loading its app."""
        link = self._hosts.links.get(host_id)
        if self._replicas is None or link is None or link.loaded.done():
            return
        with contextlib.suppress(Unavailable):
            row = await self._replicas.host(host_id)
            if row is not None and row.loaded is not None and not link.loaded.done():
                link.loaded.set_result(host_pb2.Loaded.FromString(row.loaded))

    def step_down(self) -> None:
        """Decide nothing about hosts any more: another replica does."""
        if self._roll is not None:
            self._roll.step_down()

    async def serve(self, link: Link) -> None:
        """Give a host new work from now on, unless it has ended."""
        if link.host_id in self._hosts.links:
            self._hosts.serve(link)
            if self._roll is not None:
                self._roll.serve(link)
                await self._roll.decided()

    async def drain(self, link: Link) -> None:
        """Let a host end once it has finished what it runs."""
        self._hosts.retire(link)
        if self._roll is not None:
            self._roll.drain(link)
            await self._roll.decided()
        link.post(host_pb2.RunnerMessage(drain=host_pb2.Drain()))

    def silent(self, since_s: float) -> list[Link]:
        """Return the hosts that have said nothing for so long."""
        now = time.monotonic()
        return [
            link
            for link in list(self._hosts.links.values())
            if link.started and link.loaded.done() and now - link.seen_at > since_s
        ]

    def _spec(self, placed: PlacedApp, replica: int, address: str, resources_json: str) -> HostSpec:
        return HostSpec(
            host_id=placed.host_ids[replica],
            expose=placed.expose,
            import_path=placed.import_path,
            runner_address=address if self._roll is None else self._roll.doors(replica),
            runtime_env_json=placed.runtime_env_json,
            fork=placed.fork,
            isolation=app_pb2.ISOLATION_UNSPECIFIED if placed.isolation is None else ISOLATIONS[placed.isolation],
            replica=replica,
            resources_json=resources_json,
            bounds=app_pb2.Bounds.FromString(placed.bounds),
        )
