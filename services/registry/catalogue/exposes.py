"""Exposes, read and changed one at a time; what is returned says where their apps stand."""

import asyncio
import datetime
from collections.abc import Callable

import structlog

from meshkit import paging
from meshkit.principal import caller
from services.registry import documents
from services.registry.domain import exposes
from services.registry.domain.exposes import Definition, Expose
from services.registry.domain.standings import Standing, standing
from services.registry.ports.exposes import ExposeStore
from services.registry.standings import Standings

log = structlog.get_logger()


class Exposes:
    """Keeps exposes for operators."""

    def __init__(self, store: ExposeStore, apps: Standings, now: Callable[[], datetime.datetime]) -> None:
        self._store = store
        self._apps = apps
        self._now = now

    async def save(self, wanted: Definition, etag: str, original: str) -> tuple[Expose, Standing]:
        """Add, replace or rename an expose.

        Raises `Invalid` with the field, `Conflict` if `etag` is old, `NotFound` or `AlreadyExists` on a rename.
        """
        exposes.check(wanted)
        await asyncio.to_thread(documents.check, wanted)  # a long text takes a moment to parse
        now = self._now()
        is_new = False

        def decide(stored: Expose | None) -> Expose:
            nonlocal is_new
            expose, is_new = exposes.save(wanted, stored, etag=etag, original=original, now=now)
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
        items = [(expose, standing(expose, snapshot)) for expose in found[:size]]
        return items, paging.encode(found[size - 1].name) if len(found) > size else ""

    async def delete(self, name: str) -> None:
        """Forget an expose, or raise `NotFound`.  Its app runs on until the next boot."""
        await self._store.delete(name)
        log.info("expose deleted", expose=name, by=caller().user)

    async def _standing(self, expose: Expose) -> tuple[Expose, Standing]:
        return expose, standing(expose, await self._apps.current())
