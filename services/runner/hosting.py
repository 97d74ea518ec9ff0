"""Starts hosts and waits until they have loaded their app."""

import asyncio
import contextlib
import dataclasses
import time

from mesh.runner.v1 import app_pb2, host_pb2
from mesh.runner.v1.placement_pb2 import HostSpec

from meshkit.errors import Unavailable
from services.runner.dispatcher import ISOLATIONS
from services.runner.domain import PlacedApp
from services.runner.hostbadges import HostBadges
from services.runner.links import HostLost, Hosts, Link, NotPlaced
from services.runner.ports.placement import Placement
from services.runner.slots import Capacity

_AGAIN_S = 0.2
_AGAIN_MAX_S = 5.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What every host is started with."""

    badges: HostBadges
    load_timeout_s: float
    """How long an app may take to load."""
    capacity: Capacity


class Hosting:
    """Hosts as a placement starts them."""

    def __init__(self, hosts: Hosts, placement: Placement, terms: Terms) -> None:
        self._hosts = hosts
        self._placement = placement
        self._terms = terms

    def expect(self, host_id: str, expose: str) -> Link:
        """Know a host that was started before: it will attach by itself."""
        link = self._hosts.add(Link(host_id, expose, self._terms.capacity))
        link.started = True
        return link

    async def start(
        self, placed: PlacedApp, replica: int, address: str, resources_json: str
    ) -> tuple[Link, host_pb2.Loaded]:
        """Start one of an app's hosts; return it with what came of loading the app.

        It dials `address`.  A host or a placement that is lost meanwhile is no word about the app: it is tried again
        until the app's time to load is over.  An app that could not be loaded has `Loaded.error`, and no host any more.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + self._terms.load_timeout_s
        pause_s = _AGAIN_S
        while True:
            link = self._hosts.add(Link(placed.host_ids[replica], placed.expose, self._terms.capacity))
            try:
                spec = self._spec(placed, replica, address, resources_json)
                await self._placement.start(spec, self._terms.badges.sign(spec.host_id))
                link.started = True
                async with asyncio.timeout_at(until):
                    loaded = await asyncio.shield(link.loaded)
            except TimeoutError:
                loaded = host_pb2.Loaded(error=f"the app did not load within {self._terms.load_timeout_s:g} s")
            except NotPlaced as error:
                loaded = host_pb2.Loaded(error=f"no host for it could be placed: {error}", detail=error.detail)
                link.unplaced = True
                self._hosts.remove(link.host_id)
                return link, loaded
            except (HostLost, Unavailable) as error:
                self._hosts.remove(link.host_id)
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
        self._hosts.remove(link.host_id)
        with contextlib.suppress(Unavailable):  # nobody can end it now: it is not wanted any more when it attaches
            await self._placement.stop(link.host_id)

    def drain(self, link: Link) -> None:
        """Let a host end once it has finished what it runs."""
        self._hosts.retire(link)
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
            runner_address=address,
            runtime_env_json=placed.runtime_env_json,
            fork=placed.fork,
            isolation=app_pb2.ISOLATION_UNSPECIFIED if placed.isolation is None else ISOLATIONS[placed.isolation],
            replica=replica,
            resources_json=resources_json,
            bounds=app_pb2.Bounds.FromString(placed.bounds),
        )
