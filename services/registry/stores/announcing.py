"""A store that tells when something in it has changed."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from meshkit.bus import Bus
from meshkit.idempotency import Request
from meshkit.tasks import Tasks
from services.registry.domain.exposes import Expose
from services.registry.ports.exposes import EXPOSES, Asked, ExposeStore

T = TypeVar("T")


class AnnouncingStore:
    """Passes everything on to another store, and publishes `EXPOSES` after each change, though its caller be gone."""

    def __init__(self, store: ExposeStore, bus: Bus, tasks: Tasks) -> None:
        self._store = store
        self._bus = bus
        self._tasks = tasks

    async def get(self, name: str) -> Expose:
        """Return the expose, or raise `NotFound`."""
        return await self._store.get(name)

    async def select(self, after: str = "", limit: int | None = None) -> list[Expose]:
        """Return exposes by name, those behind `after`, at most `limit`."""
        return await self._store.select(after, limit)

    async def request(self, owner: str, request_id: str) -> Request | None:
        """Return a request that has been carried out."""
        return await self._store.request(owner, request_id)

    async def put(
        self, name: str, original: str, decide: Callable[[Expose | None], Expose], asked: Asked | None = None
    ) -> Expose:
        """Keep what `decide` makes of the stored expose, and tell."""
        return await self._announced(self._store.put(name, original, decide, asked))

    async def change(self, name: str, change: Callable[[Expose], Expose]) -> Expose:
        """Keep what `change` makes of the stored expose, and tell."""
        return await self._announced(self._store.change(name, change))

    async def delete(self, name: str) -> None:
        """Forget the expose, and tell."""
        await self._announced(self._store.delete(name))

    async def _announced(self, write: Awaitable[T]) -> T:
        async def step() -> T:
            written = await write
            await self._bus.publish(EXPOSES)
            return written

        return await self._tasks.complete(step(), "announce-expose")
