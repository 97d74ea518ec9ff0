"""What boots write down about exposes.  One that was deleted meanwhile is left alone."""

import dataclasses
import datetime
from collections.abc import Callable, Mapping, Sequence

from meshkit.errors import NotFound
from services.registry import documents
from services.registry.domain import exposes
from services.registry.domain.exposes import Expose, FoundFlow, Merge, Probe
from services.registry.ports.exposes import ExposeStore


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An app that serves, and its flows."""

    flows: tuple[FoundFlow, ...]
    etag: str | None
    """The definition that it serves; None if that is still the one before."""


class Records:
    """Changes what is kept of an expose, but never its definition."""

    def __init__(self, store: ExposeStore, now: Callable[[], datetime.datetime]) -> None:
        self._store = store
        self._now = now

    async def get(self, name: str) -> Expose:
        """Return an expose, or raise `NotFound`."""
        return await self._store.get(name)

    async def all(self) -> Sequence[Expose]:
        """Return every expose, by name."""
        return await self._store.select()

    async def stopped(self, name: str, failure: str = "") -> None:
        """Its app does not run: it was stopped, or (with a `failure`) could not be started."""
        await self._change(name, lambda expose: exposes.stopped(expose, self._now(), failure))

    async def booted(self, name: str, found: Found) -> Merge | None:
        """Its app serves: bring the operator's meta in line with its flows.  None if the expose is gone."""
        merge: Merge | None = None

        def change(expose: Expose) -> Expose:
            nonlocal merge
            merge = exposes.merge_meta(expose, found.flows, documents.template, self._now())
            etag = found.etag if found.etag is not None else expose.booted_etag
            return exposes.booted(expose, etag=etag, flows=found.flows, meta=merge.meta)

        await self._change(name, change)
        return merge

    async def probed(self, name: str, booted_etag: str, probes: Mapping[str, Probe]) -> None:
        """Its flows were asked whether they answer; what was booted meanwhile was asked anew."""

        def change(expose: Expose) -> Expose:
            return exposes.probed(expose, probes, self._now()) if expose.booted_etag == booted_etag else expose

        await self._change(name, change)

    async def _change(self, name: str, change: Callable[[Expose], Expose]) -> None:
        try:
            await self._store.change(name, change)
        except NotFound:  # deleted while we were at it: the next boot removes its app
            return
