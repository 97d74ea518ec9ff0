"""Uploads without a mesh: what comes twice, and how an owner's share is counted."""

import pytest

from meshkit.errors import Exhausted, Invalid, NotFound
from services.runner.domain import Job, State
from services.runner.domain.files import FILE_BYTES_MIN, Limits
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
