"""The files of a job: `await tracer.fs()`, and `tracer.fs_sync()` for code that is not `async`.

A job has two folders, `in` with what it was given and `out` for what it makes; paths begin with one of them.  A job
reaches nothing of the mesh by itself: it asks its host, a piece at a time, and waits for each.
"""

import asyncio
import concurrent.futures
import json
import pathlib
import secrets
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from typing import Any, Self, TypeVar

from agentmesh_protos.runner.v1 import host_pb2

from agentmesh.errors import KodosumiError

Ask = Callable[[bytes], "concurrent.futures.Future[bytes]"]
"""Sends an encoded `FileCall`; the future has the `FileResult`, encoded as well."""
T = TypeVar("T")
Steps = Generator[host_pb2.FileCall, host_pb2.FileResult, T]
"""What is asked one after the other, and what comes of it."""

ROOTS = ("in", "out")
_READ_BYTES = 256 * 1024
_WRITE_BYTES = 1024 * 1024
_AGAIN_S = (0.1, 0.3, 1.0, 3.0)
"""When to ask again where it was not possible for the moment."""


def checked(path: str) -> str:
    """Return a path as the mesh writes it.  Raises `ValueError` for one that begins with neither `in` nor `out`."""
    plain = str(path).strip("/")
    root = plain.partition("/")[0]
    if root not in ROOTS:
        raise ValueError(f"a path of a job's files begins with in/ or out/, got {str(path)[:200]!r}")
    return plain


class _Files:
    """What both file systems have."""

    def __init__(self, ask: Ask | None = None, *more: object) -> None:
        """`ask` sends calls.  Raises `KodosumiError` for what kodosumi's own takes: a job, an address and a token."""
        if ask is None or not callable(ask) or more:
            raise KodosumiError("files: a job's are opened with `await tracer.fs()`, or `tracer.fs_sync()`")
        self._ask_bytes = ask
        self._is_closed = False

    def _future(self, call: host_pb2.FileCall) -> "concurrent.futures.Future[bytes]":
        if self._is_closed:
            raise RuntimeError("the file system is closed")
        return self._ask_bytes(call.SerializeToString())


class AsyncFileSystem(_Files):
    """The files of a job, for `async` code."""

    async def ls(self, path: str = "in") -> list[dict[str, Any]]:
        """Return the files below `in` or `out`: `[{"path", "size", "last_modified"}]`, by path.

        Raises `ValueError` for another root, and `FileNotFoundError` for what is below one.
        """
        return await self._run(_ls(path))

    def open(self, path: str) -> "AsyncFileStream":
        """Return a file to read.  Raises `ValueError` for another root; that there is none, reading says."""
        return AsyncFileStream(self, checked(path))

    async def read(self, path: str) -> bytes:
        """Return what is in a file.  Raises `FileNotFoundError`, `ValueError`."""
        return await self.open(path).read_all()

    async def write(self, path: str, data: bytes | str) -> None:
        """Write a file, in place of one with its path.  Raises `ValueError`, and `KodosumiError` for too much."""
        await self._run(_write(path, iter(_pieces(data))))

    async def remove(self, path: str) -> bool:
        """Delete a file, or a folder with all that is in it; return True.  Raises `FileNotFoundError`, `ValueError`."""
        return await self._run(_remove(path))

    async def download(self, path: str = "in") -> AsyncGenerator[str, None]:
        """Copy a file, or all files of a folder, into a new temporary folder; yield where each is, by path.

        Raises `FileNotFoundError` if there is none, `ValueError`.
        """
        for source, target in _targets(path, await self.ls(checked(path).partition("/")[0])):
            with target.open("wb") as file:
                async for piece in self.open(source).read():
                    file.write(piece)
            yield str(target)

    async def upload(self, path: str) -> str | None:
        """Copy a local file, or what is in a local folder, to `out`; return an id, None if there is nothing."""
        return await self._run(_upload(path))

    async def close(self) -> None:
        """Be of no use any more."""
        self._is_closed = True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def _run(self, steps: Steps[T]) -> T:
        answer: Any = None
        while True:
            try:
                call = steps.send(answer)
            except StopIteration as done:
                result: T = done.value
                return result
            answer = await self._asked(call)

    async def _asked(self, call: host_pb2.FileCall) -> host_pb2.FileResult:
        for pause_s in (*_AGAIN_S, None):
            result = host_pb2.FileResult.FromString(await asyncio.wrap_future(self._future(call)))
            if pause_s is None or result.trouble != host_pb2.FILE_TROUBLE_UNAVAILABLE:
                break
            await asyncio.sleep(pause_s)
        return result


class SyncFileSystem(_Files):
    """The files of a job, for code that is not `async`; as `AsyncFileSystem`."""

    def ls(self, path: str = "in") -> list[dict[str, Any]]:
        """See `AsyncFileSystem.ls`."""
        return self._run(_ls(path))

    def open(self, path: str) -> "SyncFileStream":
        """See `AsyncFileSystem.open`."""
        return SyncFileStream(self, checked(path))

    def read(self, path: str) -> bytes:
        """See `AsyncFileSystem.read`."""
        return self.open(path).read_all()

    def write(self, path: str, data: bytes | str) -> None:
        """See `AsyncFileSystem.write`."""
        self._run(_write(path, iter(_pieces(data))))

    def remove(self, path: str) -> bool:
        """See `AsyncFileSystem.remove`."""
        return self._run(_remove(path))

    def download(self, path: str = "in") -> Iterator[str]:
        """See `AsyncFileSystem.download`."""
        for source, target in _targets(path, self.ls(checked(path).partition("/")[0])):
            with target.open("wb") as file:
                for piece in self.open(source).read():
                    file.write(piece)
            yield str(target)

    def upload(self, path: str) -> str | None:
        """See `AsyncFileSystem.upload`."""
        return self._run(_upload(path))

    def close(self) -> None:
        """See `AsyncFileSystem.close`."""
        self._is_closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _run(self, steps: Steps[T]) -> T:
        answer: Any = None
        while True:
            try:
                call = steps.send(answer)
            except StopIteration as done:
                result: T = done.value
                return result
            answer = self._asked(call)

    def _asked(self, call: host_pb2.FileCall) -> host_pb2.FileResult:
        for pause_s in (*_AGAIN_S, None):
            result = host_pb2.FileResult.FromString(self._future(call).result())
            if pause_s is None or result.trouble != host_pb2.FILE_TROUBLE_UNAVAILABLE:
                break
            time.sleep(pause_s)
        return result


class _Stream:
    """A file that is read from its begin to its end, once."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._offset = 0
        self._is_closed = False

    def _next(self) -> Steps[bytes]:
        """Read a piece; empty at the end."""
        if self._is_closed:
            raise RuntimeError("the file is closed")
        read = host_pb2.FileRead(path=self._path, offset=self._offset, length=_READ_BYTES)
        data = _checked((yield host_pb2.FileCall(read=read)), self._path).data
        self._offset += len(data)
        return data


class AsyncFileStream(_Stream):
    """A file that is open."""

    def __init__(self, fs: AsyncFileSystem, path: str) -> None:
        super().__init__(path)
        self._fs = fs

    async def read(self) -> AsyncIterator[bytes]:
        """Yield the file in pieces.  Raises `FileNotFoundError`."""
        while piece := await self._fs._run(self._next()):
            yield piece

    async def read_all(self) -> bytes:
        """Return all of it.  Raises `FileNotFoundError`."""
        return b"".join([piece async for piece in self.read()])

    async def remove(self) -> bool:
        """Delete the file.  Raises `FileNotFoundError`."""
        self._is_closed = True
        return await self._fs.remove(self._path)

    async def close(self) -> None:
        """Read no more."""
        self._is_closed = True

    async def __aenter__(self) -> Self:
        await self._fs._run(_exists(self._path))
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()


class SyncFileStream(_Stream):
    """A file that is open; as `AsyncFileStream`."""

    def __init__(self, fs: SyncFileSystem, path: str) -> None:
        super().__init__(path)
        self._fs = fs

    def read(self) -> Iterator[bytes]:
        """See `AsyncFileStream.read`."""
        while piece := self._fs._run(self._next()):
            yield piece

    def read_all(self) -> bytes:
        """See `AsyncFileStream.read_all`."""
        return b"".join(self.read())

    def remove(self) -> bool:
        """See `AsyncFileStream.remove`."""
        self._is_closed = True
        return self._fs.remove(self._path)

    def close(self) -> None:
        """See `AsyncFileStream.close`."""
        self._is_closed = True

    def __enter__(self) -> Self:
        self._fs._run(_exists(self._path))
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _checked(result: host_pb2.FileResult, path: str) -> host_pb2.FileResult:
    """Return what came of a call.  Raises what it says that went wrong."""
    match result.trouble:
        case host_pb2.FILE_TROUBLE_UNSPECIFIED:
            return result
        case host_pb2.FILE_TROUBLE_NOT_FOUND:
            raise FileNotFoundError(path)
        case host_pb2.FILE_TROUBLE_INVALID:
            raise ValueError(result.error)
    raise KodosumiError(f"files of the job: {result.error}")


def _ls(path: str) -> Steps[list[dict[str, Any]]]:
    root = checked(path)
    if root not in ROOTS:
        raise FileNotFoundError(root)
    result = _checked((yield host_pb2.FileCall(list=host_pb2.FileList(root=root))), root)
    found: list[dict[str, Any]] = json.loads(result.files_json)
    return found


def _exists(path: str) -> Steps[None]:
    _checked((yield host_pb2.FileCall(read=host_pb2.FileRead(path=path, length=1))), path)


def _remove(path: str) -> Steps[bool]:
    plain = checked(path)
    _checked((yield host_pb2.FileCall(remove=host_pb2.FileRemove(path=plain))), plain)
    return True


def _write(path: str, pieces: Iterator[bytes]) -> Steps[None]:
    plain, upload, count = checked(path), secrets.token_hex(16), 0
    for count, piece in enumerate(pieces, 1):
        write = host_pb2.FileWrite(upload=upload, path=plain, number=count - 1, data=piece)
        _checked((yield host_pb2.FileCall(write=write)), plain)
    finish = host_pb2.FileFinish(upload=upload, path=plain, part_count=count)
    _checked((yield host_pb2.FileCall(finish=finish)), plain)


def _upload(path: str) -> Steps[str | None]:
    source = pathlib.Path(path)
    base = source.parent if source.is_file() else source
    found = [source] if source.is_file() else sorted(file for file in source.rglob("*") if file.is_file())
    for local in found:
        with local.open("rb") as file:
            yield from _write(f"out/{local.relative_to(base).as_posix()}", iter(lambda: file.read(_WRITE_BYTES), b""))
    return secrets.token_hex(16) if found else None


def _pieces(data: bytes | str) -> Iterator[bytes]:
    whole = data.encode() if isinstance(data, str) else bytes(data)
    for start in range(0, len(whole), _WRITE_BYTES):
        yield whole[start : start + _WRITE_BYTES]


def _targets(path: str, there: list[dict[str, Any]]) -> Iterator[tuple[str, pathlib.Path]]:
    """Yield which files a path means, and where each is copied to.  Raises `FileNotFoundError` if that is none."""
    plain = checked(path)
    wanted = [str(file["path"]) for file in there]
    wanted = [each for each in wanted if plain in ROOTS or each == plain or each.startswith(f"{plain}/")]
    if not wanted and plain not in ROOTS:
        raise FileNotFoundError(plain)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="kodosumi-"))  # as where apps were written that look at it
    for each in wanted:
        base = plain.rpartition("/")[0] if each == plain else plain
        target = folder / each.removeprefix(f"{base}/")
        target.parent.mkdir(parents=True, exist_ok=True)
        yield each, target
