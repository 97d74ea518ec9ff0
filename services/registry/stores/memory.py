"""Exposes in memory, for as long as the process lives."""

import bisect
from collections.abc import Callable

from meshkit import clock
from meshkit.clock import Now
from meshkit.idempotency import MemoryRequests, Request
from services.registry.domain.exposes import Expose, missing, taken
from services.registry.ports.exposes import Asked


class MemoryStore:
    """A store in memory; each step happens between two awaits, so none is seen half done."""

    def __init__(self, now: Now = clock.now) -> None:
        self._now = now
        self._exposes: dict[str, Expose] = {}
        self._requests = MemoryRequests()

    async def get(self, name: str) -> Expose:
        """Return the expose, or raise `NotFound`."""
        try:
            return self._exposes[name]
        except KeyError:
            raise missing(name) from None

    async def select(self, after: str = "", limit: int | None = None) -> list[Expose]:
        """Return exposes by name, those behind `after`, at most `limit`."""
        names = sorted(self._exposes)
        start = bisect.bisect_right(names, after) if after else 0
        stop = None if limit is None else start + limit
        return [self._exposes[name] for name in names[start:stop]]

    async def request(self, owner: str, request_id: str) -> Request | None:
        """Return a request that has been carried out."""
        return self._requests.find(owner, request_id)

    async def put(
        self, name: str, original: str, decide: Callable[[Expose | None], Expose], asked: Asked | None = None
    ) -> Expose:
        """Keep what `decide` makes of the stored expose, and who `asked`."""
        source = original or name
        if source != name:
            if source not in self._exposes:
                raise missing(source)
            if name in self._exposes:
                raise taken(name)
        expose = decide(self._exposes.get(source))
        if asked is not None:
            self._requests.keep(asked(expose), self._now())
        self._exposes.pop(source, None)
        self._exposes[name] = expose
        return expose

    async def change(self, name: str, change: Callable[[Expose], Expose]) -> Expose:
        """Keep what `change` makes of the stored expose."""
        self._exposes[name] = change(await self.get(name))
        return self._exposes[name]

    async def delete(self, name: str) -> None:
        """Forget the expose."""
        if self._exposes.pop(name, None) is None:
            raise missing(name)
