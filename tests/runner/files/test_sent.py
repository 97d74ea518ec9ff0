"""What a launch says of files: each is meant once, and none takes the place of another."""

import pytest

from meshkit.errors import Internal, Invalid
from services.runner.domain.files import Limits, Upload
from services.runner.files.files import Files
from services.runner.files.sent import sent
from services.runner.files.uploads import Uploads
from services.runner.files.usage import Usage
from services.runner.stores.memory.files import MemoryFiles

OWNER = "users/ada"


class Counting(MemoryFiles):
    """Files in memory, and how often all of an owner's were looked at."""

    measured = 0

    async def size(self, folder: str) -> int:
        """See `FileStore.size`."""
        self.measured += 1
        return await super().size(folder)


async def upload(uploads: Uploads, path: str, data: bytes) -> Upload:
    """Send a file in a batch of its own."""
    begun = await uploads.begin(OWNER, "", path, 1)
    return await uploads.put(OWNER, begun.batch, begun.upload_id, 0, data)


async def test_an_upload_is_meant_once_however_often_it_is_named() -> None:
    """One request would have it copied thousands of times."""
    uploads = Uploads(Files(MemoryFiles(), Limits()))
    one = await upload(uploads, "a.txt", b"a")
    items = {f"{number}.{one.upload_id}": {"filename": "a.txt", "totalChunks": 1} for number in range(1000)}
    values = {"first": {"batchId": one.batch, "items": items}, "second": f"batches/{one.batch}"}

    found = await sent(uploads, OWNER, values, values)

    assert [(one.batch, one.upload_id)] == found.uploads
    assert {"first": ["a.txt"], "second": ["a.txt"]} == found.paths


async def test_two_files_of_one_name_are_refused() -> None:
    """Of two fields, say: the flow would read the later one twice."""
    uploads = Uploads(Files(MemoryFiles(), Limits()))
    before, after = [await upload(uploads, "image.png", data) for data in (b"before", b"after")]
    values = {"before": f"batches/{before.batch}", "after": f"batches/{after.batch}"}

    with pytest.raises(Invalid, match=r"another file 'image\.png'") as caught:
        await sent(uploads, OWNER, values, values)

    assert ["after"] == [*caught.value.fields]


async def test_an_owner_is_not_measured_for_each_file() -> None:
    """Who has many files would wait for a walk through all of them whenever one is made."""
    store = Counting()
    kept = Files(store, Limits())
    kept.usage = Usage(store, 1024 * 1024, now=lambda: 0.0)
    uploads = Uploads(kept)
    for number in range(10):
        one = await upload(uploads, f"{number}.txt", b"x")
        await uploads.deliver(OWNER, [(one.batch, one.upload_id)], f"{number:024x}")
        await uploads.settle(OWNER, [(one.batch, one.upload_id)])

    assert 2 == store.measured  # once: the files of their jobs, and those on their way


async def test_a_launch_leaves_the_files_of_another_job_alone() -> None:
    """An app says which ids its jobs have: with one that is taken that job would lose its files."""
    kept = Files(MemoryFiles(), Limits())
    uploads = Uploads(kept)
    one, two = [await upload(uploads, "a.txt", data) for data in (b"one", b"two")]
    job = "0" * 24
    await uploads.deliver(OWNER, [(one.batch, one.upload_id)], job)

    with pytest.raises(Internal, match="an id that is taken"):
        await uploads.deliver(OWNER, [(two.batch, two.upload_id)], job)

    assert b"one" == b"".join([piece async for piece in kept.read(OWNER, job, "in/a.txt")])
