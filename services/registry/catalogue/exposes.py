"""Exposes, read and changed one at a time; what is returned says where their apps stand."""

import asyncio
import dataclasses
import datetime
import json
from collections.abc import Callable

import structlog

from meshkit.errors import Invalid, NotFound
from meshkit.idempotency import Request, once
from meshkit.principal import caller
from services.registry import documents, rows
from services.registry.bootstraps import Bootstraps, is_kept
from services.registry.domain import exposes
from services.registry.domain.exposes import Definition, Expose
from services.registry.domain.standings import Standing, standing
from services.registry.ports.exposes import ExposeStore
from services.registry.standings import Standings

log = structlog.get_logger()


class Exposes:
    """Keeps exposes for operators."""

    def __init__(
        self, store: ExposeStore, apps: Standings, bootstraps: Bootstraps, now: Callable[[], datetime.datetime]
    ) -> None:
        self._bootstraps = bootstraps
        self._store = store
        self._apps = apps
        self._now = now

    async def save(
        self, wanted: Definition, etag: str, original: str, request: Request | None = None
    ) -> tuple[Expose, Standing]:
        """Add, replace or rename an expose; the same `request` again returns what it was then.

        A mask in its bootstrap means the value that is kept.

        Raises `Invalid` with the field, `Conflict` if `etag` is old, `NotFound` or `AlreadyExists` on a rename.
        """
        exposes.check(wanted)
        complaint = await asyncio.to_thread(documents.check, wanted)  # a long text takes a moment to parse
        now = self._now()
        is_new = False

        def decide(stored: Expose | None) -> Expose:
            nonlocal is_new
            _judge(wanted, stored, complaint)
            filled = dataclasses.replace(wanted, bootstrap=self._bootstraps.filled(wanted.bootstrap, stored))
            expose, is_new = exposes.save(filled, stored, etag=etag, original=original, now=now)
            return self._bootstraps.sealed(expose)

        async def make() -> bytes:
            asked = None if request is None else lambda expose: request.answered(_dump(expose))
            expose = await self._store.put(wanted.name, original, decide, asked)
            log.info("expose saved", expose=expose.name, original=original, new=is_new, by=caller().user)
            return _dump(expose)

        return await self._standing(_load(await once(self._store, request, make)))

    async def check(self, wanted: Definition, etag: str, original: str) -> tuple[Expose, Standing]:
        """Return what `save` would, and write nothing; raise what it or a boot would raise for the definition."""
        exposes.check(wanted)
        complaint = await asyncio.to_thread(documents.check, wanted)
        try:
            stored = await self._store.get(original or wanted.name)
        except NotFound:
            if original:
                raise
            stored = None
        _judge(wanted, stored, complaint)
        filled = dataclasses.replace(wanted, bootstrap=self._bootstraps.filled(wanted.bootstrap, stored))
        expose, _ = exposes.save(filled, stored, etag=etag, original=original, now=self._now())
        if not expose.is_draft:
            await asyncio.to_thread(documents.plan, expose.bootstrap)
        return await self._standing(self._bootstraps.sealed(expose))

    async def get(self, name: str) -> tuple[Expose, Standing]:
        """Return an expose, or raise `NotFound`."""
        return await self._standing(await self._store.get(name))

    async def list(self, after: str, limit: int) -> list[tuple[Expose, Standing]]:
        """Return up to `limit` exposes behind `after`, by name."""
        found = await self._store.select(after, limit)
        snapshot = await self._apps.current()
        return [(expose, standing(expose, snapshot)) for expose in found]

    async def delete(self, name: str) -> None:
        """Forget an expose, or raise `NotFound`.  Its app runs on until the next boot."""
        await self._store.delete(name)
        log.info("expose deleted", expose=name, by=caller().user)

    async def _standing(self, expose: Expose) -> tuple[Expose, Standing]:
        return expose, standing(expose, await self._apps.current())


def _judge(wanted: Definition, stored: Expose | None, complaint: Invalid | None) -> None:
    """Raise what is wrong with the keys of a bootstrap, unless it is kept already: its expose can be changed."""
    if complaint is not None and (stored is None or not is_kept(wanted.bootstrap, stored)):
        raise complaint


def _dump(expose: Expose) -> bytes:
    return json.dumps(rows.dump(expose)).encode()


def _load(answer: bytes) -> Expose:
    return rows.load(json.loads(answer))
