"""Uploads without a mesh: what comes twice, and how an owner's share is counted."""

import pytest

from meshkit.errors import Exhausted, Invalid, NotFound
from services.runner.domain import Birth, Job, State
from services.runner.domain.files import FILE_BYTES_MIN, Kept, Limits
from services.runner.files.files import Files
from services.runner.files.uploads import Uploads
from services.runner.files.usage import Usage
from services.runner.stores.memory import MemoryStore
from services.runner.stores.memory.files import MemoryFiles

ME, JOB = "users/me", "a" * 24


def job() -> Job:
    """Return a job."""
    return Job(job_id=JOB, flow="flows/f", owner=ME, state=State.QUEUED, created_at=1.0, updated_at=1.0)


async def test_what_comes_twice_is_there_once() -> None:
    """A part, and an upload that is begun anew: as of a client that has not heard the answer."""
    uploads = Uploads(Files(MemoryFiles(), Limits()))
    first = await uploads.begin(ME, "", "a.txt", 1)
    for text in (b"one", b"two!"):
        again = await uploads.put(ME, first.batch, first.upload_id, 0, text)
    second = await uploads.begin(ME, first.batch, "a.txt", 1)

    assert {0: 4} == again.received
    assert first.upload_id == second.upload_id
    assert [{}] == [upload.received for upload in await uploads.find(ME, first.batch)]
    with pytest.raises(Invalid, match="part 0 of 1"):
        await uploads.deliver(ME, [(first.batch, first.upload_id)], JOB)


async def test_a_delivery_is_whole_or_taken_back() -> None:
    """If one of the files cannot be there, none is."""
    files = Files(MemoryFiles(), Limits())
    uploads = Uploads(files)
    batch = (await uploads.begin(ME, "", "a", 0)).batch
    wanted = [(batch, (await uploads.begin(ME, batch, path, 0)).upload_id) for path in ("a", "a/b")]

    with pytest.raises(Invalid, match="a part of its path is a file"):
        await uploads.deliver(ME, wanted, JOB)

    assert [] == await files.find(ME, JOB)
    assert ["in/a"] == [file.path for file in await uploads.deliver(ME, wanted[:1], JOB)]


async def test_a_job_that_is_deleted_meanwhile_gets_no_files() -> None:
    """Nobody would look for them without their job."""
    files, jobs = Files(MemoryFiles(), Limits()), MemoryStore()
    uploads = Uploads(files)
    upload = await uploads.begin(ME, "", "a.txt", 0)

    with pytest.raises(NotFound):
        await uploads.finish(jobs, ME, upload, "in/a.txt", job())

    assert [] == await files.find(ME, JOB)


async def test_a_share_is_measured_before_somebody_is_refused() -> None:
    """What another replica has deleted counts no more."""
    at, store = 0.0, MemoryFiles()
    here, there = (Files(store, Limits(owner_max=4 * FILE_BYTES_MIN)) for _ in range(2))
    here.usage = Usage(store, 4 * FILE_BYTES_MIN, lambda: at)
    mine = await Uploads(here).begin(ME, "", "a", 1)
    await Uploads(here).put(ME, mine.batch, mine.upload_id, 0, b"x" * 3 * FILE_BYTES_MIN)

    with pytest.raises(Exhausted, match="AGENTMESH_FILE_BYTES_PER_OWNER"):
        await Uploads(here).begin(ME, "", "b", 1)
    await Uploads(there).cancel(ME, mine.batch, mine.upload_id)
    at = 10.0

    await Uploads(here).begin(ME, "", "b", 1)


class Counting(MemoryFiles):
    """Files in memory, and how many of them were listed."""

    listed = 0

    async def find(self, folder: str, limit: int) -> list[Kept]:
        """See `FileStore.find`."""
        found = await super().find(folder, limit)
        self.listed += len(found)
        return found


async def test_parts_are_not_listed_before_each_next_one() -> None:
    """A large file has thousands: their lists would have millions.  Those of other replicas are seen a second later."""
    at, store = 0.0, Counting()
    here, there = (Uploads(Files(store, Limits()), lambda: at) for _ in range(2))
    upload = await here.begin(ME, "", "a", 101)

    for number in range(50):
        await here.put(ME, upload.batch, upload.upload_id, number, b"x")
    await there.put(ME, upload.batch, upload.upload_id, 100, b"xx")
    early = await here.put(ME, upload.batch, upload.upload_id, 50, b"x")
    at += 1.0
    late = await here.put(ME, upload.batch, upload.upload_id, 51, b"x")

    assert (51, 53) == (len(early.received), len(late.received))
    assert store.listed < 200
    assert late == await here.get(ME, upload.batch, upload.upload_id)
    again = await here.begin(ME, upload.batch, "a", 101)
    assert {7: 1} == (await here.put(ME, again.batch, again.upload_id, 7, b"x")).received


async def test_what_is_begun_anew_elsewhere_has_no_parts_of_before() -> None:
    """However short ago: who were told that they are there would not send them again."""
    store = MemoryFiles()
    here, there = (Uploads(Files(store, Limits()), lambda: 0.0) for _ in range(2))
    upload = await here.begin(ME, "", "a", 3)
    await here.put(ME, upload.batch, upload.upload_id, 0, b"x")
    await there.begin(ME, upload.batch, "a", 3)

    taken = await here.put(ME, upload.batch, upload.upload_id, 1, b"x")

    assert {1: 1} == taken.received
    assert taken == await there.get(ME, upload.batch, upload.upload_id)


async def test_a_part_that_is_too_much_is_refused_by_what_is_there_now() -> None:
    """Another replica may have taken less of a part, or begun the upload anew; and it may have taken what fills it."""
    store = MemoryFiles()
    here, there = (Uploads(Files(store, Limits(file_max=10)), lambda: 0.0) for _ in range(2))
    upload = await here.begin(ME, "", "a", 3)
    await here.put(ME, upload.batch, upload.upload_id, 0, b"x" * 10)
    await there.put(ME, upload.batch, upload.upload_id, 0, b"x")
    await here.put(ME, upload.batch, upload.upload_id, 2, b"x" * 9)
    await there.begin(ME, upload.batch, "a", 3)

    taken = await here.put(ME, upload.batch, upload.upload_id, 1, b"x" * 10)

    assert {1: 10} == taken.received
    with pytest.raises(Invalid, match="AGENTMESH_FILE_BYTES_MAX"):
        await there.put(ME, upload.batch, upload.upload_id, 2, b"x")


async def test_files_of_a_job_are_not_listed_before_each_next_one() -> None:
    """A launch may bring two thousand."""
    store = Counting()
    uploads = Uploads(Files(store, Limits()))
    batch = (await uploads.begin(ME, "", "0", 0)).batch
    wanted = [(batch, (await uploads.begin(ME, batch, str(number), 0)).upload_id) for number in range(60)]
    store.listed = 0

    assert 60 == len(await uploads.deliver(ME, wanted, JOB))

    assert store.listed < 200


async def test_what_an_operator_gives_counts_to_whose_job_it_is() -> None:
    """Who has no room gets no file; who has sent it has their room again when somebody has it."""
    files, jobs = Files(MemoryFiles(), Limits(owner_max=3 * FILE_BYTES_MIN)), MemoryStore()
    uploads, boss = Uploads(files), "users/boss"
    await jobs.create([Birth(job=job())], None)
    mine = await uploads.begin(ME, "", "a", 1)
    await uploads.put(ME, mine.batch, mine.upload_id, 0, b"x" * FILE_BYTES_MIN)
    given = await uploads.begin(boss, "", "b", 2)
    for number in range(2):
        given = await uploads.put(boss, given.batch, given.upload_id, number, b"x" * FILE_BYTES_MIN)

    with pytest.raises(Exhausted, match="AGENTMESH_FILE_BYTES_PER_OWNER"):
        await uploads.finish(jobs, boss, given, "in/b", job())
    assert [] == await files.find(ME, JOB)
    assert given == await uploads.get(boss, given.batch, given.upload_id)
    await uploads.cancel(ME, mine.batch, mine.upload_id)

    await uploads.finish(jobs, boss, given, "in/b", job())

    with pytest.raises(Exhausted):
        async with files.usage.taking(ME, 2 * FILE_BYTES_MIN):
            pass
    async with files.usage.taking(boss, 3 * FILE_BYTES_MIN):
        pass
