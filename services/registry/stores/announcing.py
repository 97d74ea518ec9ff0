"""A store that tells when something in it has changed."""

from collections.abc import Callable

from meshkit.bus import Bus
from services.registry.domain.exposes import Expose
from services.registry.ports.exposes import EXPOSES, ExposeStore


class AnnouncingStore:
    """Passes everything on to another store, and publishes `EXPOSES` after each change."""

    def __init__(self, store: ExposeStore, bus: Bus) -> None:
        self._store = store
        self._bus = bus

    async def get(self, name: str) -> Expose:
        """Return the expose, or raise `NotFound`."""
        return await self._store.get(name)

    async def select(self, after: str = "", limit: int | None = None) -> list[Expose]:
        """Return exposes by name, those behind `after`, at most `limit`."""
        return await self._store.select(after, limit)

    async def put(self, name: str, original: str, decide: Callable[[Expose | None], Expose]) -> Expose:
        """Keep what `decide` makes of the stored expose, and tell."""
        expose = await self._store.put(name, original, decide)
        await self._bus.publish(EXPOSES)
        return expose

    async def change(self, name: str, change: Callable[[Expose], Expose]) -> Expose:
        """Keep what `change` makes of the stored expose, and tell."""
        expose = await self._store.change(name, change)
        await self._bus.publish(EXPOSES)
        return expose

    async def delete(self, name: str) -> None:
        """Forget the expose, and tell."""
        await self._store.delete(name)
        await self._bus.publish(EXPOSES)
