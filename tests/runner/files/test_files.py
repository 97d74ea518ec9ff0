"""Files of jobs on a real runner with real hosts: sent, read, written, and gone with their job."""

import asyncio
import json
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from agentmesh_protos.runner.v1 import app_pb2, file_pb2, job_pb2

from tests.runner.stack import DEADLINE_S, Stack, stack

pytestmark = pytest.mark.asyncio(loop_scope="module")
APP = "tests.runner.samples.filing_app:app"
KIB = 1024


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Run a runner with the app in both isolations, and small limits."""
    limits: dict[str, Any] = {"file_bytes_max": 4096 * KIB, "file_bytes_per_job": 5000 * KIB}
    async with stack(tmp_path_factory.mktemp("files"), app_patience_s=60, **limits) as running:
        await running.deploy("files", APP)
        await running.deploy("shared", APP, isolation=app_pb2.ISOLATION_SHARED)
        yield running


class Caller:
    """Somebody who has files."""

    def __init__(self, mesh: Stack, who: Any) -> None:
        self._mesh = mesh
        self._files = mesh.files
        self._said = {"metadata": who, "timeout": DEADLINE_S}

    async def send(self, path: str, *parts: bytes, batch: str = "batches/-") -> file_pb2.Upload:
        """Send a file in parts, the last first."""
        request = file_pb2.CreateUploadRequest(parent=batch, path=path, part_count=len(parts))
        upload: file_pb2.Upload = await self._files.CreateUpload(request, **self._said)
        for number, part in reversed([*enumerate(parts)]):
            sent = file_pb2.PutUploadPartRequest(name=upload.name, number=number, data=part)
            upload = await self._files.PutUploadPart(sent, **self._said)
        return upload

    async def complete(self, upload: file_pb2.Upload, job: str, root: str = "in") -> file_pb2.File:
        """Make a file of it."""
        request = file_pb2.CompleteUploadRequest(name=upload.name, job=job, root=root)
        made: file_pb2.File = await self._files.CompleteUpload(request, **self._said)
        return made

    async def start(self, flow: str, **inputs: Any) -> job_pb2.Job:
        """Start a job."""
        request = job_pb2.CreateJobRequest(target=f"flows/{flow}", inputs_json=json.dumps(inputs))
        job: job_pb2.Job = await self._mesh.jobs.CreateJob(request, **self._said)
        return job

    async def names(self, job: str, root: str = "") -> list[str]:
        """Return which files a job has."""
        request = file_pb2.ListFilesRequest(parent=job, root=root)
        found = await self._files.ListFiles(request, **self._said)
        return [file.name.removeprefix(f"{job}/files/") for file in found.files]

    async def text(self, name: str, **some: int) -> bytes:
        """Return what is in a file."""
        stream = self._files.DownloadFile(file_pb2.DownloadFileRequest(name=name, **some), **self._said)
        return b"".join([message.data async for message in stream])

    async def delete(self, name: str) -> None:
        """Delete a file."""
        await self._files.DeleteFile(file_pb2.DeleteFileRequest(name=name), **self._said)


async def result(mesh: Stack, job: job_pb2.Job) -> Any:
    """Wait for a job's end; return what its flow returned."""
    await mesh.events(job)
    ended = await mesh.get(job)
    assert job_pb2.JOB_STATE_SUCCEEDED == ended.state, ended.error
    found = json.loads(ended.result_json)
    return found[next(iter(found))]


def batch_of(upload: file_pb2.Upload) -> str:
    """Return the name of an upload's batch."""
    return upload.name.partition("/uploads/")[0]


@pytest.mark.parametrize("flow", ["files", "shared"])
async def test_a_job_has_the_files_it_was_launched_with(mesh: Stack, flow: str) -> None:
    """From its birth on, whatever separates it from others; what it makes of them are its artifacts."""
    me = Caller(mesh, mesh.operator)
    large = b"abc" * 100_000
    first = await me.send("notes.txt", b"hello")
    await me.send("deep/large.bin", large[: 256 * KIB], large[256 * KIB :], batch=batch_of(first))
    assert (1, 1, 5) == (first.part_count, first.received_count, first.received_bytes)

    job = await me.start(flow, note="n", files=batch_of(first))
    said = await result(mesh, job)

    assert [["in/deep/large.bin", len(large)], ["in/notes.txt", 5]] == said["in"]
    assert ["FileNotFoundError", "ValueError", "ValueError"] == said["refused"]
    assert ["out/large.bin", "out/notes.txt"] == said["out"]
    assert {"deep/large.bin", "notes.txt"} == set(said["files"])
    events = await mesh.events(job)
    kinds = [event.kind for event in events]
    assert ["status", "inputs", "meta", "upload"] == kinds[:4]
    told = json.loads(events[3].payload)["Upload"]["files"]
    assert ["in/deep/large.bin", "in/notes.txt"] == [file["path"] for file in told]
    assert {"path", "size", "last_modified"} == set(told[0])
    assert [*(file["path"] for file in told), "out/large.bin", "out/notes.txt"] == await me.names(job.name)
    assert large.upper() == await me.text(f"{job.name}/files/out/large.bin")
    assert b"BCAB" == await me.text(f"{job.name}/files/out/large.bin", offset=270_001, length=4)
    assert b"" == await me.text(f"{job.name}/files/out/large.bin", offset=len(large))
    for beyond in (len(large) + 1, 2**44, 2**63 - 1):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await me.text(f"{job.name}/files/out/large.bin", offset=beyond)
        assert grpc.StatusCode.INVALID_ARGUMENT is caught.value.code()
    with pytest.raises(grpc.aio.AioRpcError) as caught:  # its uploads are the job's now
        await me.start(flow, note="n", files=batch_of(first))
    assert grpc.StatusCode.INVALID_ARGUMENT is caught.value.code()


async def test_a_declared_flow_gets_paths(mesh: Stack) -> None:
    """With their root, where its schema has addresses; it reads and writes by the twin for threads."""
    me = Caller(mesh, mesh.operator)
    one = await me.send("one.txt", b"1")
    two = await me.send("b.txt", b"second", batch="batches/-")
    await me.send("a.txt", b"first", batch=batch_of(two))

    said = await result(mesh, await me.start("files/declared", one=batch_of(one), more=batch_of(two)))

    assert {"one": "in/one.txt", "more": ["in/a.txt", "in/b.txt"]} == said["inputs"]
    assert ["first", "second"] == said["texts"]
    assert (True, True, ["in/a.txt", "in/b.txt"]) == (said["same"], said["removed"], said["left"])


@pytest.mark.parametrize("flow", ["files", "shared"])
async def test_many_files_at_the_same_time(mesh: Stack, flow: str) -> None:
    """A job may ask for as much as it likes: it waits for its turn."""
    me = Caller(mesh, mesh.operator)

    said = await result(mesh, await me.start(f"{flow}/pieces"))

    assert sum(range(20)) == said


async def test_files_are_their_owners(mesh: Stack) -> None:
    """Others find neither the job nor its files nor an upload; a deleted job has none, and nothing stays behind."""
    me, other = Caller(mesh, await mesh.user("owner")), Caller(mesh, await mesh.user("other"))
    job = await me.start("files", note="n", files=batch_of(await me.send("a.txt", b"mine")))
    await mesh.events(job)
    pending = await me.send("late.txt", b"late")
    name = f"{job.name}/files/in/a.txt"

    for work in (other.text(name), other.delete(name), other.names(job.name), other.complete(pending, job.name)):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await work
        assert grpc.StatusCode.NOT_FOUND is caught.value.code()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await other.start("files", note="n", files=batch_of(pending))
    assert grpc.StatusCode.INVALID_ARGUMENT is caught.value.code()
    await me.complete(pending, job.name, "out")
    assert b"late" == await me.text(f"{job.name}/files/out/late.txt")
    none = f"{job.name}/files/out/none.txt"
    get = mesh.files.GetFile(file_pb2.GetFileRequest(name=none), metadata=mesh.operator, timeout=DEADLINE_S)
    for work in (me.text(none), me.delete(none), get):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await work
        assert "there is no file out/none.txt" == caught.value.details()
    folders = list((mesh.folder / "files").glob(f"*/{job.name.removeprefix('jobs/')}"))
    assert 1 == len(folders)

    request = job_pb2.DeleteJobRequest(name=job.name)
    await mesh.jobs.DeleteJob(request, metadata=mesh.operator, timeout=DEADLINE_S)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await me.text(name)
    assert grpc.StatusCode.NOT_FOUND is caught.value.code()
    assert not folders[0].exists()


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../b", "a\\b", "a\0b", "", "x" * 300])
async def test_no_name_leads_elsewhere(mesh: Stack, path: str) -> None:
    """Not of an upload, not of a file, and not of a batch."""
    me = Caller(mesh, mesh.operator)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await me.send(path, b"x")
    assert grpc.StatusCode.INVALID_ARGUMENT is caught.value.code()
    job = await me.start("files/pieces")
    for name in (f"{job.name}/files/in/{path}", f"{job.name}/files/{path}/in"):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await me.text(name)
        assert caught.value.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await me.send("a", b"x", batch=f"batches/{path}/x")
    assert grpc.StatusCode.INVALID_ARGUMENT is caught.value.code()


async def test_there_is_a_limit_to_everything(mesh: Stack) -> None:
    """A part, a file, a job; and an upload is whole or it is refused."""
    me = Caller(mesh, mesh.operator)
    job = (await me.start("files/pieces")).name
    part = b"x" * (KIB * KIB)

    async def refused(work: Any) -> str:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await work
        assert grpc.StatusCode.INVALID_ARGUMENT is caught.value.code()
        return caught.value.details() or ""

    assert "a part may have" in await refused(me.send("a", part + b"x"))
    assert "AGENTMESH_FILE_BYTES_MAX" in await refused(me.send("a", *[part] * 4, b"x"))
    await me.complete(await me.send("a", *[part] * 4), job)
    assert "AGENTMESH_FILE_BYTES_PER_JOB" in await refused(me.complete(await me.send("b", part), job))
    half = file_pb2.CreateUploadRequest(parent="batches/-", path="h", part_count=2)
    upload = await mesh.files.CreateUpload(half, metadata=mesh.operator, timeout=DEADLINE_S)
    assert "part 0 of 2" in await refused(me.complete(upload, job))
    assert "a part of its path is a file" in await refused(me.complete(await me.send("a/b", b"x"), job))


async def test_an_upload_becomes_one_file(mesh: Stack) -> None:
    """However often that is asked for at the same time: copies count to no share before the upload is forgotten."""
    me = Caller(mesh, mesh.operator)
    jobs = [(await me.start("files/pieces")).name for _ in range(5)]
    upload = await me.send("once.bin", b"x" * KIB * KIB)

    answers = await asyncio.gather(*(me.complete(upload, job) for job in jobs), return_exceptions=True)

    refused = [answer for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    assert [grpc.StatusCode.NOT_FOUND] * 4 == [error.code() for error in refused]
    assert 1 == sum(["in/once.bin" in await me.names(job) for job in jobs])


async def test_an_owner_has_a_share(tmp_path: pathlib.Path) -> None:
    """What is on its way counts as well; who deletes something has room again."""
    async with stack(tmp_path, file_bytes_per_owner=64 * KIB) as mesh:
        me = Caller(mesh, mesh.operator)
        await me.send("a", b"x" * 40 * KIB)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await me.send("b", b"x" * 40 * KIB)
        assert grpc.StatusCode.RESOURCE_EXHAUSTED is caught.value.code()
        assert "AGENTMESH_FILE_BYTES_PER_OWNER" in (caught.value.details() or "")
        other = Caller(mesh, await mesh.user("other"))
        upload = await other.send("b", b"x" * 40 * KIB)
        said = {"metadata": mesh.operator, "timeout": DEADLINE_S}
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await mesh.files.DeleteUpload(file_pb2.DeleteUploadRequest(name=upload.name), **said)
        assert grpc.StatusCode.NOT_FOUND is caught.value.code()
