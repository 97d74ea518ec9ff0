"""What is asked of the registry outside of boots: exposes and their flows, as they stand now."""

import asyncio
import datetime
from collections.abc import Callable

import structlog

from meshkit import paging
from meshkit.errors import NotFound
from meshkit.principal import caller
from services.registry import documents, domain, flows
from services.registry.apps import Apps
from services.registry.domain import Definition, Expose, Standing
from services.registry.store import ExposeStore

log = structlog.get_logger()


class Catalogue:
    """Reads and changes exposes; what it returns says where the apps stand."""

    def __init__(self, store: ExposeStore, apps: Apps, now: Callable[[], datetime.datetime]) -> None:
        self._store = store
        self._apps = apps
        self._now = now

    async def save(self, wanted: Definition, etag: str, original: str) -> tuple[Expose, Standing]:
        """Add, replace or rename an expose.

        Raises `Invalid` with the field, `Conflict` if `etag` is old, `NotFound` or `AlreadyExists` on a rename.
        """
        domain.check(wanted)
        await asyncio.to_thread(documents.check, wanted)  # a long text takes a moment to parse
        now = self._now()
        is_new = False

        def decide(stored: Expose | None) -> Expose:
            nonlocal is_new
            expose, is_new = domain.save(wanted, stored, etag=etag, original=original, now=now)
            return expose

        expose = await self._store.put(wanted.name, original, decide)
        log.info("expose saved", expose=expose.name, original=original, new=is_new, by=caller().user)
        return await self._standing(expose)

    async def get(self, name: str) -> tuple[Expose, Standing]:
        """Return an expose, or raise `NotFound`."""
        return await self._standing(await self._store.get(name))

    async def page(self, page_size: int, page_token: str) -> tuple[list[tuple[Expose, Standing]], str]:
        """Return a page of exposes by name and the next page's token, empty on the last."""
        size = paging.size(page_size)
        found = await self._store.select(paging.decode(page_token), size + 1)
        snapshot = await self._apps.current()
        items = [(expose, domain.standing(expose, snapshot)) for expose in found[:size]]
        return items, paging.encode(found[size - 1].name) if len(found) > size else ""

    async def delete(self, name: str) -> None:
        """Forget an expose, or raise `NotFound`.  Its app runs on until the next boot."""
        await self._store.delete(name)
        log.info("expose deleted", expose=name, by=caller().user)

    async def flow(self, name: str) -> flows.Flow:
        """Return the flow `flows/{expose}[/{path}]`, or raise `NotFound`."""
        expose, _, path = name.removeprefix("flows/").partition("/")
        try:
            stored = await self._store.get(expose)
        except NotFound:
            raise flows.missing(name) from None
        return flows.find(stored, await self._apps.current(), flows.flow_name(expose, path))

    async def listed_flows(self) -> list[flows.Flow]:
        """Return the flows of enabled, running exposes by summary, then name."""
        return flows.listed(await self._store.select(), await self._apps.current())

    async def _standing(self, expose: Expose) -> tuple[Expose, Standing]:
        return expose, domain.standing(expose, await self._apps.current())
