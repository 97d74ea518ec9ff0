"""What is forgotten by itself: nothing that somebody may ask for."""

import os
import pathlib
import time
from collections.abc import AsyncIterator

import pytest

from meshkit.errors import NotFound, Unavailable
from services.runner.domain import Birth, Job, State
from services.runner.domain.files import UNDER_WAY, Kept, Limits
from services.runner.files.files import Files
from services.runner.files.sweeping import Sweep
from services.runner.files.uploads import Uploads
from services.runner.stores.local_files import LocalFiles
from services.runner.stores.memory import MemoryStore
from services.runner.stores.memory.files import MemoryFiles

ME, DAY_S = "users/me", 86_400.0
THERE, GONE, YOUNG = "a" * 24, "b" * 24, "c" * 24


class Broken(MemoryFiles):
    """Files in memory, of which some cannot be looked at."""

    broken = "none"

    async def find(self, folder: str, limit: int) -> list[Kept]:
        """See `FileStore.find`."""
        if self.broken in folder:
            raise RuntimeError("broken")
        return await super().find(folder, limit)


class Full(MemoryFiles):
    """Files in memory, of which there may be no more."""

    is_full = False

    async def write(self, key: str, pieces: AsyncIterator[bytes]) -> Kept:
        """See `FileStore.write`."""
        if self.is_full:
            raise Unavailable("files cannot be kept or read now: there is no room")
        return await super().write(key, pieces)


async def test_what_nobody_launches_with_is_forgotten() -> None:
    """A day after its last part; a batch in which something comes still is kept whole, however large."""
    at = 1000.0
    kept = Files(MemoryFiles(lambda: at), Limits())
    uploads, sweep = Uploads(kept), Sweep(kept, MemoryStore())
    old, slow = [await uploads.begin(ME, "", "a.txt", 2) for _ in range(2)]
    later = await uploads.begin(ME, slow.batch, "b.txt", 2)
    at = 80_000.0
    last = max(slow, later, key=lambda upload: upload.upload_id)
    await uploads.put(ME, last.batch, last.upload_id, 1, b"x")
    at = 100_000.0

    assert 1 == await sweep.uploads()

    with pytest.raises(NotFound):
        await uploads.get(ME, old.batch, old.upload_id)
    assert [0, 1] == sorted(upload.size for upload in await uploads.find(ME, slow.batch))
    assert 0 == await sweep.uploads()


async def test_files_without_their_job_are_forgotten() -> None:
    """A day after the last was written: a launch that was interrupted left them, or one deleted meanwhile."""
    at = 1000.0
    kept, jobs = Files(MemoryFiles(lambda: at), Limits()), MemoryStore()
    uploads, sweep = Uploads(kept), Sweep(kept, jobs)
    job = Job(job_id=THERE, flow="flows/f", owner=ME, state=State.QUEUED, created_at=1.0, updated_at=1.0)
    await jobs.create([Birth(job=job)], None)
    upload = await uploads.begin(ME, "", "a.txt", 0)
    for job_id in (THERE, GONE):
        await uploads.complete(ME, upload, "in/a.txt", ME, job_id)
    at += DAY_S + 1
    await uploads.complete(ME, upload, "in/a.txt", ME, YOUNG)

    assert 1 == await sweep.jobs()

    found = {job_id: len(await kept.find(ME, job_id)) for job_id in (THERE, GONE, YOUNG)}
    assert {THERE: 1, GONE: 0, YOUNG: 1} == found
    assert upload == await uploads.get(ME, upload.batch, upload.upload_id)


async def test_one_that_cannot_be_looked_at_keeps_none_of_the_others() -> None:
    """A sweep that ended there would end there for ever."""

    at = 1000.0
    store = Broken(lambda: at)
    kept = Files(store, Limits())
    uploads, sweep = Uploads(kept), Sweep(kept, MemoryStore())
    first, second = sorted([await uploads.begin(ME, "", "a", 0) for _ in range(2)], key=lambda each: each.batch)
    store.broken = first.batch
    at += DAY_S + 1

    assert 1 == await sweep.uploads()

    assert [first.batch] == await kept.store.names("uploads/me")
    assert first.batch != second.batch


@pytest.mark.parametrize("ours", [1000.0 + 3 * DAY_S, 1000.0 + 30 * DAY_S], ids=["right", "ahead"])
async def test_where_no_file_can_be_written_there_is_room_made(ours: float) -> None:
    """It is as late as the newest file says, whatever our clock does: what is younger than a day stays."""
    at = 1000.0
    store = Full(lambda: at)
    kept = Files(store, Limits())
    uploads, sweep = Uploads(kept), Sweep(kept, MemoryStore(), lambda: ours)
    old = await uploads.begin(ME, "", "a.txt", 0)
    await uploads.complete(ME, old, "in/a.txt", ME, GONE)
    await store.write(f"{UNDER_WAY}/{'0' * 32}", once(b"x"))
    at += 2 * DAY_S
    young = await uploads.begin(ME, "", "a.txt", 0)
    at += DAY_S - 1
    await uploads.complete(ME, young, "in/a.txt", ME, YOUNG)
    store.is_full = True

    await sweep.halves()

    assert (1, 1) == (await sweep.uploads(), await sweep.jobs())
    assert [young.batch] == await store.names("uploads/me")
    assert [YOUNG] == await store.names("me")
    assert [] == await store.names(UNDER_WAY)


async def test_where_no_file_can_be_written_time_goes_on() -> None:
    """From the newest file, which is looked for once: what is on a disk that has filled up gets old, too."""
    ticks = 500.0
    store = Full(lambda: 1000.0)
    kept = Files(store, Limits())
    uploads, sweep = Uploads(kept), Sweep(kept, MemoryStore(), lambda: 1000.0 + 30 * DAY_S, lambda: ticks)
    await uploads.begin(ME, "", "a.txt", 0)
    store.is_full = True

    assert 0 == await sweep.uploads()
    ticks += DAY_S - 1
    assert 0 == await sweep.uploads()
    ticks += 2
    assert 1 == await sweep.uploads()


async def test_a_file_that_is_dated_ahead_makes_no_other_old() -> None:
    """Where no file can be written now: a clock that was wrong then may have dated it."""
    at = 1000.0 + 30 * DAY_S
    store = Full(lambda: at)
    kept = Files(store, Limits())
    uploads, sweep = Uploads(kept), Sweep(kept, MemoryStore(), lambda: 1000.0 + DAY_S / 2)
    ahead = await uploads.begin(ME, "", "a.txt", 0)
    at = 1000.0
    young = await uploads.begin(ME, "", "b.txt", 0)
    store.is_full = True

    assert 0 == await sweep.uploads()
    assert sorted((ahead.batch, young.batch)) == await store.names("uploads/me")


async def once(data: bytes) -> AsyncIterator[bytes]:
    """Yield a piece."""
    yield data


async def test_halves_are_forgotten(tmp_path: pathlib.Path) -> None:
    """What a runner that was killed has not written to its end; who writes now is not disturbed."""
    store = LocalFiles(tmp_path)
    await store.open()
    kept = Files(store, Limits())
    halves = [tmp_path / UNDER_WAY / name for name in ("0" * 32, "1" * 32)]
    for half in halves:
        half.write_bytes(b"x")
    long_ago = time.time() - DAY_S - 60
    os.utime(halves[0], (long_ago, long_ago))

    await Sweep(kept, MemoryStore()).halves()
    assert [False, True] == [half.exists() for half in halves]
    os.utime(halves[1], (long_ago, long_ago))
    await Sweep(kept, MemoryStore()).halves()

    assert not halves[1].exists()
    assert "a.txt" == (await Uploads(kept).begin(ME, "", "a.txt", 0)).path


@pytest.mark.parametrize("ahead_s", [-30 * DAY_S, 30 * DAY_S], ids=["behind", "ahead"])
async def test_files_are_as_old_as_the_clock_says_that_dates_them(ahead_s: float) -> None:
    """Theirs may be a month off ours, and that of PostgreSQL: what comes in is not forgotten at once, or never."""
    at = time.time() + ahead_s
    kept = Files(MemoryFiles(lambda: at), Limits())
    uploads, sweep = Uploads(kept), Sweep(kept, MemoryStore())
    await uploads.begin(ME, "", "a.txt", 1)
    upload = await uploads.begin(ME, "", "a.txt", 0)
    await uploads.complete(ME, upload, "in/a.txt", ME, GONE)

    assert (0, 0) == (await sweep.uploads(), await sweep.jobs())
    at += DAY_S + 1
    await sweep.halves()

    assert (2, 1) == (await sweep.uploads(), await sweep.jobs())
    assert [] == await kept.store.names("")
