"""A store that tells of its changes."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from meshkit.bus import MemoryBus
from meshkit.clock import utc_now
from meshkit.errors import NotFound
from meshkit.tasks import Tasks
from services.registry.domain.exposes import Expose
from services.registry.ports.exposes import EXPOSES, Asked
from services.registry.stores.announcing import AnnouncingStore
from services.registry.stores.memory import MemoryStore

SOON_S = 60.0


class SlowStore(MemoryStore):
    """A store whose disk takes until it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = asyncio.Event()
        self.disk = asyncio.Event()

    async def put(
        self, name: str, original: str, decide: Callable[[Expose | None], Expose], asked: Asked | None = None
    ) -> Expose:
        """Wait for the disk."""
        self.begun.set()
        await self.disk.wait()
        return await super().put(name, original, decide, asked)


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    """Tasks of a service."""
    tasks = Tasks()
    yield tasks
    await tasks.close()


def expose(name: str) -> Expose:
    """Return an expose."""
    return Expose(name=name, created_at=utc_now(), updated_at=utc_now())


async def test_each_change_is_told(tasks: Tasks) -> None:
    """Put, change and delete; a change that is refused is none."""
    bus = MemoryBus()
    store = AnnouncingStore(MemoryStore(), bus, tasks)
    async with bus.subscribe(EXPOSES) as waker:
        with pytest.raises(NotFound):
            await store.delete("a")
        refused = await waker.wait(0)
        await store.put("a", "", lambda stored: expose("a"))
        put = await waker.wait(0)
        await store.change("a", lambda stored: stored)
        changed = await waker.wait(0)
        await store.delete("a")
        deleted = await waker.wait(0)

    assert (refused, put, changed, deleted) == (False, True, True, True)


async def test_a_caller_that_hangs_up_leaves_no_change_untold(tasks: Tasks) -> None:
    """What has reached the disk is told of, though nobody waits for the answer."""
    bus, slow = MemoryBus(), SlowStore()
    store = AnnouncingStore(slow, bus, tasks)
    async with bus.subscribe(EXPOSES) as waker:
        caller = asyncio.create_task(store.put("a", "", lambda stored: expose("a")))
        await slow.begun.wait()
        caller.cancel()
        slow.disk.set()

        assert await waker.wait(SOON_S)
        assert (await store.get("a")).name == "a"
