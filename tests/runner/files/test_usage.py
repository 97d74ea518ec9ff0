"""An owner's share, however many ask for some of it at the same time."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from meshkit.errors import Exhausted
from services.runner.domain.files import FILE_BYTES_MIN, Kept, Limits
from services.runner.files.files import Files
from services.runner.files.uploads import Uploads
from services.runner.files.usage import Usage
from services.runner.stores.memory.files import MemoryFiles

OWNER = "users/ada"
DEADLINE_S = 30


class Slow(MemoryFiles):
    """Files in memory, each written, and each measure taken, when its gate opens."""

    def __init__(self) -> None:
        super().__init__()
        self.writing, self.measuring = asyncio.Event(), asyncio.Event()
        self.measured = 0

    async def write(self, key: str, pieces: AsyncIterator[bytes]) -> Kept:
        """See `FileStore.write`."""
        await self.writing.wait()
        return await super().write(key, pieces)

    async def size(self, folder: str) -> int:
        """See `FileStore.size`."""
        self.measured += 1
        await self.measuring.wait()
        return await super().size(folder)


async def test_what_is_under_way_counts_as_well() -> None:
    """Many parts at the same time are not more than the same parts one after the other, though no measure sees them."""
    store = Slow()
    uploads = Uploads(Files(store, Limits(owner_max=4 * FILE_BYTES_MIN)))
    store.writing.set()
    store.measuring.set()
    upload = await uploads.begin(OWNER, "", "a", 10)
    store.writing.clear()

    waiting = {asyncio.ensure_future(uploads.put(OWNER, upload.batch, upload.upload_id, n, b"x")) for n in range(10)}
    refused = 0
    async with asyncio.timeout(DEADLINE_S):
        while refused < 7:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            assert all(isinstance(task.exception(), Exhausted) for task in done)
            refused += len(done)
        store.writing.set()
        await asyncio.gather(*waiting)

    assert 4 * FILE_BYTES_MIN == await store.size("uploads")


async def test_who_has_no_room_is_measured_once_for_all_who_ask() -> None:
    """A walk through thousands of files for each refusal would keep the disk from everybody else."""
    at, store = 0.0, Slow()
    usage = Usage(store, 4 * FILE_BYTES_MIN, lambda: at)

    async def take() -> None:
        async with usage.taking(OWNER, 5 * FILE_BYTES_MIN):
            raise AssertionError("there is no room")

    asking = [asyncio.ensure_future(take()) for _ in range(20)]
    async with asyncio.timeout(DEADLINE_S):
        store.measuring.set()
        answers = await asyncio.gather(*asking, return_exceptions=True)
        with pytest.raises(Exhausted):
            await take()

        assert all(isinstance(answer, Exhausted) for answer in answers)
        assert 2 == store.measured  # the files of their jobs, and those on their way
        at = 10.0
        with pytest.raises(Exhausted):
            await take()
    assert 4 == store.measured


async def test_what_was_not_written_is_given_back() -> None:
    """A disk that was full for a moment takes nothing of a share."""
    usage = Usage(MemoryFiles(), FILE_BYTES_MIN, lambda: 0.0)
    for _ in range(3):
        with pytest.raises(OSError, match="full"):
            async with usage.taking(OWNER, FILE_BYTES_MIN):
                raise OSError("full")

    async with usage.taking(OWNER, FILE_BYTES_MIN):
        pass
