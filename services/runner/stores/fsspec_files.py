"""Files wherever fsspec reaches: `s3://bucket/folder`, `gs://…`, `abfs://…`, `sftp://…`, `memory://…`.

fsspec is an extra (`[files]`), and so is what it needs for most of these (`s3fs`, `gcsfs`, …).  Its file systems block,
so they are called in threads.
"""

import contextlib
import datetime
import importlib
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, ParamSpec, TypeVar

import structlog

from meshkit.errors import FailedPrecondition, MeshError, Unavailable
from services.runner.domain.files import FILE_BYTES_MIN, PIECE_BYTES, UNDER_WAY, Kept
from services.runner.stores.file_threads import FileThreads

log = structlog.get_logger()
P = ParamSpec("P")
T = TypeVar("T")
_TIMES = ("mtime", "LastModified", "last_modified", "created", "updated")
"""What file systems call the time at which a file was written."""


class FsspecFiles:
    """See `FileStore`."""

    def __init__(self, url: str) -> None:
        """Raises `FailedPrecondition` if fsspec, or what it needs for such a URL, is not installed."""
        try:
            core = importlib.import_module("fsspec.core")
            self._fs: Any
            self._fs, root = core.url_to_fs(url)
        except ImportError as error:
            text = f"AGENTMESH_FILES_URL needs what is not installed: pip install 'agentmesh[files]' ({error})"
            raise FailedPrecondition(text) from error
        except ValueError as error:
            raise FailedPrecondition(f"AGENTMESH_FILES_URL: {error}") from error
        self._root = str(root).rstrip("/")
        self._threads = FileThreads()

    async def _run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do something in a thread.  Raises as `FileThreads.run`, and `Unavailable` for errors of any library, too."""
        try:
            return await self._threads.run(work, *args, **kwargs)
        except MeshError:
            raise
        except Exception as error:  # botocore's, gcsfs's, paramiko's are no `OSError`
            log.warning("the storage of files does not answer", error=type(error).__name__)
            raise Unavailable("files cannot be kept or read now: where they are does not answer") from error

    async def write(self, key: str, pieces: AsyncIterator[bytes]) -> Kept:
        """See `FileStore.write`."""
        temporary = self._path(f"{UNDER_WAY}/{secrets.token_hex(16)}")
        file = await self._run(self._create, temporary)
        try:
            async for piece in pieces:
                await self._run(file.write, piece)
            await self._run(self._settle, file, temporary, self._path(key))
        except BaseException:
            await self._run(self._drop, file, temporary)
            raise
        return await self.stat(key)

    def _create(self, path: str) -> Any:
        self._fs.makedirs(_parent(path), exist_ok=True)
        return self._fs.open(path, "wb")

    def _settle(self, file: Any, temporary: str, path: str) -> None:
        file.close()
        self._fs.makedirs(_parent(path), exist_ok=True)
        self._fs.mv(temporary, path)
        self._fs.invalidate_cache()

    def _drop(self, file: Any, temporary: str) -> None:
        with contextlib.suppress(Exception):  # of any library; why the file could not be written is what matters
            file.close()
            self._fs.rm(temporary)

    async def read(self, key: str, offset: int = 0) -> AsyncGenerator[bytes, None]:
        """See `FileStore.read`."""
        file = await self._run(self._reading, self._path(key), offset)
        try:
            while piece := await self._run(file.read, PIECE_BYTES):
                yield bytes(piece)
        finally:
            await self._run(self._close, file)

    def _close(self, file: Any) -> None:
        with contextlib.suppress(Exception):  # of any library; what was read is read
            file.close()

    def _reading(self, path: str, offset: int) -> Any:
        self._stat(path)  # some open what is not there, and fail later
        file = self._fs.open(path, "rb")
        file.seek(offset)
        return file

    async def stat(self, key: str) -> Kept:
        """See `FileStore.stat`."""
        return _kept(await self._run(self._stat, self._path(key)), key)

    def _stat(self, path: str) -> dict[str, Any]:
        info: dict[str, Any] = self._fs.info(path)
        if info.get("type") != "file":
            raise FileNotFoundError(path)
        return info

    async def find(self, folder: str, limit: int) -> list[Kept]:
        """See `FileStore.find`."""
        path = self._path(folder)
        found = await self._run(self._find, path)
        kept = [_kept(info, name.removeprefix(f"{path}/")) for name, info in found.items()]
        return sorted(kept, key=lambda file: file.path)[:limit]

    def _find(self, path: str) -> dict[str, dict[str, Any]]:
        self._fs.invalidate_cache()
        found = self._fs.find(path, detail=True)
        return {name: info for name, info in found.items() if str(name).startswith(f"{path}/")}

    async def names(self, folder: str) -> list[str]:
        """See `FileStore.names`."""
        path = self._path(folder) if folder else self._root
        files = await self._run(self._find, path)
        skipped = len(path) + 1
        return sorted({name[skipped:].partition("/")[0] for name in files})

    async def size(self, folder: str) -> int:
        """See `FileStore.size`."""
        found = await self._run(self._find, self._path(folder))
        return sum(max(FILE_BYTES_MIN, int(info.get("size") or 0)) for info in found.values())

    async def remove(self, key: str) -> None:
        """See `FileStore.remove`."""
        await self._run(self._remove, self._path(key))

    def _remove(self, path: str) -> None:
        self._stat(path)
        self._fs.rm_file(path)
        self._fs.invalidate_cache()

    async def remove_all(self, folder: str) -> None:
        """See `FileStore.remove_all`."""
        await self._run(self._remove_all, self._path(folder))

    def _remove_all(self, path: str) -> None:
        self._fs.invalidate_cache()
        if self._fs.exists(path):
            self._fs.rm(path, recursive=True)
            self._fs.invalidate_cache()

    def _path(self, key: str) -> str:
        if not all(word.strip(".") for word in key.split("/")):
            raise ValueError(f"no key of a file: {key!r}")
        return f"{self._root}/{key}"


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _kept(info: dict[str, Any], path: str) -> Kept:
    at = next((info[name] for name in _TIMES if info.get(name)), 0.0)
    if isinstance(at, datetime.datetime):
        at = (at if at.tzinfo else at.replace(tzinfo=datetime.UTC)).timestamp()
    return Kept(
        path=path, size=int(info.get("size") or 0), modified_at=float(at) if isinstance(at, int | float) else 0.0
    )
