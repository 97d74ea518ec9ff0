"""What every store of files promises."""

import asyncio
import os
import pathlib
import secrets
import threading
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from meshkit.errors import FailedPrecondition, NotFound, Unavailable
from services.runner.domain.files import FILE_BYTES_MIN, PIECE_BYTES, UNDER_WAY, Kept
from services.runner.ports.files import FileStore
from services.runner.stores.fsspec_files import FsspecFiles
from services.runner.stores.local_files import LocalFiles
from services.runner.stores.memory.files import MemoryFiles
from tests.servers.s3 import IS_THERE, Bucket, client, running_s3

DEADLINE_S = 30


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    """An empty bucket of a server that talks S3."""
    with running_s3() as found:
        yield found


@pytest_asyncio.fixture(params=["memory", "local", "fsspec", "fsspec-file", *(["s3"] if IS_THERE else [])])
async def files(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> FileStore:
    """Return each store, empty."""
    match request.param:
        case "memory":
            return MemoryFiles()
        case "fsspec":
            return FsspecFiles(f"memory://{secrets.token_hex(8)}/files")
        case "fsspec-file":
            return FsspecFiles(f"file://{tmp_path}/far")
        case "s3":
            found: Bucket = request.getfixturevalue("bucket")
            return FsspecFiles(f"{found.url}/{secrets.token_hex(8)}", found.options)
    local = LocalFiles(tmp_path / "files")
    await local.open()
    return local


async def some(*pieces: bytes) -> AsyncIterator[bytes]:
    """Yield what is to be written."""
    for piece in pieces:
        yield piece


async def text(files: FileStore, key: str, offset: int = 0, length: int = 0) -> bytes:
    """Return what is in a file."""
    return b"".join([piece async for piece in files.read(key, offset, length)])


async def test_what_is_written_is_there(files: FileStore) -> None:
    """Whole, in pieces of a bounded size, from any byte on; a second one takes the place of the first."""
    large = secrets.token_bytes(PIECE_BYTES + 7)

    kept = await files.write("o/j/in/ä b/one.bin", some(b"", large[:5], large[5:]))
    await files.write("o/j/in/empty", some())

    assert len(large) == kept.size
    assert kept.modified_at > 1_700_000_000
    assert [PIECE_BYTES, 7] == [len(piece) async for piece in files.read("o/j/in/ä b/one.bin")]
    assert large[PIECE_BYTES - 1 :] == await text(files, "o/j/in/ä b/one.bin", PIECE_BYTES - 1)
    assert b"" == await text(files, "o/j/in/ä b/one.bin", len(large) + 5)
    for length in (1, 7, PIECE_BYTES, PIECE_BYTES + 1, len(large) + 5):
        assert large[3 : 3 + length] == await text(files, "o/j/in/ä b/one.bin", 3, length)
    assert b"" == await text(files, "o/j/in/empty")
    await files.write("o/j/in/ä b/one.bin", some(b"new"))
    assert b"new" == await text(files, "o/j/in/ä b/one.bin")
    assert 3 == (await files.stat("o/j/in/ä b/one.bin")).size


async def test_files_are_found_below_a_folder(files: FileStore) -> None:
    """By path, as many as are asked for; one whose name begins alike is another folder's."""
    for key in ("o/j/out/b", "o/j/in/z/y", "o/j/in/a", "o/jj/in/other"):
        await files.write(key, some(key.encode()))

    def paths(found: list[Kept]) -> list[str]:
        return [file.path for file in found]

    assert ["in/a", "in/z/y", "out/b"] == paths(await files.find("o/j", 10))
    assert ["in/a", "in/z/y"] == paths(await files.find("o/j", 2))
    assert [] == await files.find("o/none", 10)
    assert ["j", "jj"] == await files.names("o")
    assert [] == await files.names("o/none")
    assert "o" in await files.names("")
    assert 3 * FILE_BYTES_MIN == await files.size("o/j")
    assert 0 == await files.size("nobody")


async def test_what_is_removed_is_gone(files: FileStore) -> None:
    """A file, or all below a folder; what is not there is not found."""
    for key in ("o/j/in/a", "o/j/in/b/c", "o/k/in/a"):
        await files.write(key, some(b"x"))

    await files.remove("o/j/in/a")
    for work in (files.stat, files.remove, lambda key: text(files, key)):
        for key in ("o/j/in/a", "o/j/in/b", "o/none"):
            with pytest.raises(NotFound):
                await work(key)
    await files.remove_all("o/j")
    await files.remove_all("o/none")

    assert ["k"] == await files.names("o")
    await files.write("o/j/in/a", some(b"again"))
    assert b"again" == await text(files, "o/j/in/a")


async def test_a_file_is_whole_or_not_there(files: FileStore) -> None:
    """One whose writer gives up is as it was before."""
    await files.write("o/j/in/a", some(b"before"))

    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise RuntimeError("given up")

    for key in ("o/j/in/a", "o/j/in/new"):
        with pytest.raises(RuntimeError, match="given up"):
            await files.write(key, broken())

    assert b"before" == await text(files, "o/j/in/a")
    assert ["in/a"] == [file.path for file in await files.find("o/j", 10)]


async def test_a_file_is_not_closed_while_a_thread_writes_it(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is cancelled: the number of a file that is closed is another's at once, and that would be written to."""
    files = LocalFiles(tmp_path)
    await files.open()
    fsync, entered, gate = os.fsync, threading.Event(), threading.Event()

    def slow(number: int) -> None:
        entered.set()
        gate.wait(DEADLINE_S)
        fsync(number)

    monkeypatch.setattr("os.fsync", slow)
    writing = asyncio.ensure_future(files.write("o/j/in/a", some(b"whole")))
    assert await asyncio.to_thread(entered.wait, DEADLINE_S)
    writing.cancel()
    for _ in range(5):  # until it has heard of that
        await asyncio.sleep(0)
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await writing

    assert b"whole" == await text(files, "o/j/in/a")
    assert [] == list((tmp_path / UNDER_WAY).iterdir())


async def test_whatever_a_library_raises_is_trouble_with_the_storage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of object storage are no errors of files: a caller may come again, and a sweep does."""
    files = FsspecFiles(f"memory://{secrets.token_hex(8)}/files")
    await files.write("o/j/in/a", some(b"x"))

    def broken(*args: object, **more: object) -> object:
        raise RuntimeError("endpoint of bucket secret-name cannot be reached")

    for name in ("find", "info", "open", "exists"):
        monkeypatch.setattr(f"fsspec.implementations.memory.MemoryFileSystem.{name}", broken)

    for work in (files.find("o/j", 10), files.stat("o/j/in/a"), files.write("o/j/in/b", some()), files.remove_all("o")):
        with pytest.raises(Unavailable) as caught:
            await work
        assert "secret-name" not in str(caught.value)


async def test_a_large_file_that_breaks_off_leaves_no_parts(bucket: Bucket) -> None:
    """Nobody would find them in a bucket, and they are paid for."""
    files = FsspecFiles(bucket.url, bucket.options)
    await files.write("o/j/in/a", some(b"before"))

    async def broken() -> AsyncIterator[bytes]:
        for _ in range(12):
            yield bytes(1024 * 1024)
        raise RuntimeError("given up")

    with pytest.raises(RuntimeError, match="given up"):
        await files.write("o/j/in/a", broken())

    assert b"before" == await text(files, "o/j/in/a")
    with client(bucket) as s3:
        assert [] == s3.list_multipart_uploads(Bucket=bucket.name).get("Uploads", [])


async def test_what_others_write_is_seen_at_once(bucket: Bucket) -> None:
    """Several runners have one bucket."""
    files, others = (FsspecFiles(bucket.url, bucket.options) for _ in range(2))
    await files.write("o/k/in/a", some(b"one"))
    assert [3] == [file.size for file in await files.find("o/k", 10)]

    with client(bucket) as s3:
        s3.put_object(Bucket=bucket.name, Key="files/o/k/in/a", Body=b"of another")
        s3.put_object(Bucket=bucket.name, Key="files/o/k/in/b", Body=b"")

    assert [10, 0] == [file.size for file in await files.find("o/k", 10)]
    assert 10 == (await others.stat("o/k/in/a")).size
    assert b"of another" == await text(files, "o/k/in/a")
    both = await asyncio.gather(*(each.remove_all("o/k") for each in (files, others, files, others)))
    assert [None] * 4 == both


async def test_a_bucket_that_is_gone_is_trouble_and_is_not_made(bucket: Bucket) -> None:
    """Nor is it a job without files: whoever asks comes again, and the operator is told."""
    files = FsspecFiles(bucket.url.replace(bucket.name, f"{bucket.name}-gone"), bucket.options)

    for work in (files.find("o/j", 10), files.names(""), files.stat("o/j/in/a"), files.write("o/j/in/a", some(b"x"))):
        with pytest.raises(Unavailable, match="gone"):
            await work

    with client(bucket) as s3:
        assert bucket.name in [each["Name"] for each in s3.list_buckets()["Buckets"]]
        assert f"{bucket.name}-gone" not in [each["Name"] for each in s3.list_buckets()["Buckets"]]


@pytest.mark.parametrize("options", ['{"key": "secret"', '["secret"]', '"secret"', "1"])
def test_options_that_are_none_are_not_repeated(options: str) -> None:
    """They hold passwords."""
    with pytest.raises(FailedPrecondition, match="AGENTMESH_FILES_OPTIONS") as caught:
        FsspecFiles("memory://files", options)

    assert "secret" not in str(caught.value).replace('"secret": "…"', "")


def test_a_url_that_nobody_knows_says_so() -> None:
    """When the mesh starts, and not when somebody uploads."""
    with pytest.raises(FailedPrecondition, match="AGENTMESH_FILES_URL"):
        FsspecFiles("nowhere://bucket/folder")
