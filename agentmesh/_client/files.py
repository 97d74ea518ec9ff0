"""`AsyncClient.files`: what jobs were given, and what they have made."""

import contextlib
import dataclasses
import datetime
import os
import pathlib
import secrets
import shutil
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from typing import BinaryIO

from agentmesh_protos.runner.v1 import file_pb2, file_pb2_grpc

from agentmesh._client.collections import Collection
from agentmesh._client.connection import Connection
from agentmesh._client.records import moment
from agentmesh._client.requests import full_name

_PART_BYTES = 1024 * 1024
Local = str | os.PathLike[str]
"""A file or folder of this machine."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file of a job."""

    name: str
    """`jobs/{id}/files/{root}/{path}`."""
    size: int
    """In bytes."""
    update_time: datetime.datetime | None

    @property
    def path(self) -> str:
        """With its root: `in/notes.txt`, `out/report.pdf`."""
        return self.name.partition("/files/")[2]


class Files(Collection):
    """Files of jobs.  A job is named `jobs/{id}` or by its id; paths begin with `in` or `out`."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._stub = file_pb2_grpc.FileServiceStub(self._channel)

    async def list(self, job: str, root: str = "") -> Sequence[File]:
        """Return the files of a job, by path; of `in` or `out` only, if that is given."""
        request = file_pb2.ListFilesRequest(parent=full_name(job, "jobs"), root=root)
        return [_to_file(file) for file in (await self._connection.unary(self._stub.ListFiles, request)).files]

    async def read(self, job: str, path: str) -> bytes:
        """Return what is in a file.  Raises `NotFound`."""
        return b"".join([piece async for piece in self.stream(job, path)])

    async def stream(self, job: str, path: str, *, offset: int = 0) -> AsyncGenerator[bytes, None]:
        """Yield a file in pieces, from a byte on.  Raises `NotFound`."""
        request = file_pb2.DownloadFileRequest(name=_name(job, path), offset=offset)
        async for message in self._connection.stream(self._stub.DownloadFile, request):
            if message.data:
                yield message.data

    async def download(self, job: str, path: str, to: Local) -> pathlib.Path:
        """Copy a file to this machine: to the file `to`, or into the folder of that name; return where it is.

        What was there before is replaced when all has come, and stays if that fails.
        """
        target = _target(pathlib.Path(to), path)
        with _replacing(target) as file:
            async for piece in self.stream(job, path):
                file.write(piece)
        return target

    async def upload(self, job: str, local: Local, path: str = "") -> File:
        """Copy a file of this machine to a job; `path` is `in/` and its name if it is not given."""
        root, _, name = (path or f"in/{pathlib.Path(local).name}").partition("/")
        sent = await self._send("-", pathlib.Path(local), name or pathlib.Path(local).name)
        request = file_pb2.CompleteUploadRequest(name=sent.name, job=full_name(job, "jobs"), root=root)
        return _to_file(await self._connection.unary(self._stub.CompleteUpload, request))

    async def send(self, local: Local | Iterable[Local] | Mapping[str, Local]) -> str:
        """Send files ahead of a launch; return what its inputs have as the value of a field for files.

        `local` is a file, a folder with all that is in it, several of these, or files by their paths to be.
        """
        batch, is_empty = "-", True
        for path, file in _named(local):
            sent = await self._send(batch, file, path)
            batch, is_empty = sent.name.split("/")[1], False
        if is_empty:
            raise FileNotFoundError(f"there is no file in {local}")
        return f"batches/{batch}"

    async def delete(self, job: str, path: str) -> None:
        """Delete a file, or a folder with all that is in it.  Raises `NotFound`."""
        await self._connection.unary(self._stub.DeleteFile, file_pb2.DeleteFileRequest(name=_name(job, path)))

    async def _send(self, batch: str, local: pathlib.Path, path: str) -> file_pb2.Upload:
        with local.open("rb") as file:
            count = -(-os.fstat(file.fileno()).st_size // _PART_BYTES)
            request = file_pb2.CreateUploadRequest(parent=f"batches/{batch}", path=path, part_count=count)
            upload: file_pb2.Upload = await self._connection.unary(self._stub.CreateUpload, request)
            for number in range(count):
                part = file_pb2.PutUploadPartRequest(name=upload.name, number=number, data=file.read(_PART_BYTES))
                upload = await self._connection.unary(self._stub.PutUploadPart, part)
        return upload


def _named(local: Local | Iterable[Local] | Mapping[str, Local]) -> Iterator[tuple[str, pathlib.Path]]:
    """Yield files with the paths that they shall have."""
    if isinstance(local, Mapping):
        yield from ((path, pathlib.Path(file)) for path, file in local.items())
    elif isinstance(local, str | os.PathLike):
        source = pathlib.Path(local)
        if source.is_dir():
            found = sorted(file for file in source.rglob("*") if file.is_file())
            yield from ((file.relative_to(source).as_posix(), file) for file in found)
        else:
            yield source.name, source
    else:
        for each in local:
            yield from _named(each)


def _target(to: pathlib.Path, path: str) -> pathlib.Path:
    return to / path.rpartition("/")[2] if to.is_dir() else to


@contextlib.contextmanager
def _replacing(target: pathlib.Path) -> Iterator[BinaryIO]:
    """Open what takes the place of a file if the block does not raise; what is none, such as a pipe, is written to."""
    if target.exists() and not target.is_file():
        with target.open("wb") as file:
            yield file
        return
    place = pathlib.Path(os.path.realpath(target))  # a link stays one
    partial = place.with_name(f".agentmesh-{secrets.token_hex(8)}")
    try:
        with partial.open("xb") as file:
            yield file
        if place.exists():
            shutil.copymode(place, partial)
        os.replace(partial, place)
    finally:
        partial.unlink(missing_ok=True)


def _name(job: str, path: str) -> str:
    return f"{full_name(job, 'jobs')}/files/{path.strip('/')}"


def _to_file(message: file_pb2.File) -> File:
    return File(name=message.name, size=message.size, update_time=moment(message, "update_time"))
