"""Files wherever fsspec reaches: `s3://bucket/folder`, `gs://…`, `abfs://…`, `sftp://…`, `memory://…`.

fsspec is an extra (`[files]`), and so is what it needs for most of these (`s3fs`, `gcsfs`, …).  Its file systems block,
so they are called in threads.

Stores of objects have no folders: to make one would make the bucket, which is an operator's to do, and what is written
there is seen once it is whole.  So it goes straight to its place, and nothing is renamed, which were a copy.
"""

import contextlib
import datetime
import importlib
import json
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, ParamSpec, TypeVar

import structlog

from meshkit.errors import FailedPrecondition, MeshError, NotFound, Unavailable
from services.runner.domain.files import FILE_BYTES_MIN, PIECE_BYTES, UNDER_WAY, Kept
from services.runner.stores.file_threads import FileThreads

log = structlog.get_logger()
P = ParamSpec("P")
T = TypeVar("T")
_TIMES = ("mtime", "LastModified", "last_modified", "created", "updated")
"""What file systems call the time at which a file was written."""
_OBJECTS = frozenset(("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az"))
_WRITE_BYTES = 8 * 1024 * 1024
"""What is held of a file that is written to objects, and is a part of it there; theirs is 50 MiB of each."""
_AHEAD_BYTES = 1024 * 1024 - PIECE_BYTES
"""What is read ahead of a file that is read to its end."""
_S3 = {"config_kwargs": {"retries": {"max_attempts": 2}}}
"""Its library tries five times, and so does that below it: who waits for a file has gone long before."""
_NOW = "files cannot be kept or read now: "


class FsspecFiles:
    """See `FileStore`."""

    def __init__(self, url: str, options: str = "") -> None:
        """`options` is a JSON object of what the file system takes, such as credentials.

        Raises `FailedPrecondition` if they are none, or if fsspec, or what it needs for such a URL, is not installed.
        """
        scheme = url.partition(":")[0]
        said = {**(_S3 if scheme in ("s3", "s3a") else {}), **_options(options)}
        try:
            core = importlib.import_module("fsspec.core")
            self._fs: Any
            self._fs, root = core.url_to_fs(url, **said)
        except ImportError as error:
            text = f"AGENTMESH_FILES_URL needs what is not installed: pip install 'agentmesh[files]' ({error})"
            raise FailedPrecondition(text) from error
        except ValueError as error:
            raise FailedPrecondition(f"AGENTMESH_FILES_URL: {error}") from error
        except TypeError as error:  # of an argument that there is not; it names no value
            raise FailedPrecondition(f"AGENTMESH_FILES_OPTIONS: {error}") from error
        with contextlib.suppress(AttributeError):  # not all have one
            self._fs.dircache.use_listings_cache = False  # other runners write there, too
        self._root = str(root).rstrip("/")
        self._is_objects = scheme in _OBJECTS
        self._threads = FileThreads()

    async def _run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do something in a thread.  Raises as `FileThreads.run`, and `Unavailable` for errors of any library, too.

        Why is logged by the name of the error alone: what libraries say has addresses, keys and names of files in it.
        """
        try:
            return await self._threads.run(work, *args, **kwargs)
        except NotFound:
            if self._is_objects and await self._threads.run(self._is_bucket_gone):
                log.warning("the storage of files has no such bucket (AGENTMESH_FILES_URL)")
                raise Unavailable(f"{_NOW}where they are is gone") from None
            raise
        except Unavailable as error:
            log.warning("files cannot be kept or read", error=type(error.__cause__).__name__)
            raise
        except MeshError:
            raise
        except Exception as error:  # botocore's, gcsfs's, paramiko's are no `OSError`
            log.warning("files cannot be kept or read", error=type(error).__name__)
            is_refused = "Credential" in type(error).__name__
            why = (
                "where they are lets nobody in without credentials" if is_refused else "where they are does not answer"
            )
            raise Unavailable(f"{_NOW}{why}") from error

    def _is_bucket_gone(self) -> bool:
        """Return whether a listing says so: that of a folder which is not there is empty."""
        try:
            self._fs.find(self._path(f"{UNDER_WAY}/none"))
        except FileNotFoundError:
            return True
        except Exception:  # of any library; whoever asked knows of its own trouble
            return False
        return False

    async def write(self, key: str, pieces: AsyncIterator[bytes]) -> Kept:
        """See `FileStore.write`."""
        path = self._path(key)
        draft = path if self._is_objects else self._path(f"{UNDER_WAY}/{secrets.token_hex(16)}")
        file = await self._run(self._create, draft)
        try:
            async for piece in pieces:
                await self._run(file.write, piece)
            await self._run(self._settle, file, draft, path)
        except BaseException:
            await self._run(self._drop, file, draft)
            raise
        return await self.stat(key)

    def _create(self, path: str) -> Any:
        if self._is_objects:
            return self._fs.open(path, "wb", block_size=_WRITE_BYTES)
        self._fs.makedirs(_parent(path), exist_ok=True)
        return self._fs.open(path, "wb")

    def _settle(self, file: Any, draft: str, path: str) -> None:
        file.close()
        if draft != path:
            self._fs.makedirs(_parent(path), exist_ok=True)
            self._fs.mv(draft, path)
        self._fs.invalidate_cache()

    def _drop(self, file: Any, draft: str) -> None:
        with contextlib.suppress(Exception):  # of any library; why the file could not be written is what matters
            if self._is_objects:  # to close it would be to write it
                file.closed = True
                file.discard()
                return
            file.close()
            self._fs.rm(draft)

    async def read(self, key: str, offset: int = 0, length: int = 0) -> AsyncGenerator[bytes, None]:
        """See `FileStore.read`."""
        file = await self._run(self._reading, self._path(key), offset, length)
        left = length
        try:
            while piece := await self._run(file.read, min(PIECE_BYTES, left) if length else PIECE_BYTES):
                yield bytes(piece)
                left -= len(piece)
        finally:
            await self._run(self._close, file)

    def _close(self, file: Any) -> None:
        with contextlib.suppress(Exception):  # of any library; what was read is read
            file.close()

    def _reading(self, path: str, offset: int, length: int) -> Any:
        self._stat(path)  # some open what is not there, and fail later
        # Jobs and browsers ask for a piece at a time: what is fetched beside it is fetched again for the next.
        cache = "none" if 0 < length <= PIECE_BYTES else "readahead"
        more = {"block_size": _AHEAD_BYTES, "cache_type": cache} if self._is_objects else {}
        file = self._fs.open(path, "rb", **more)
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
        files = await self._run(self._names if self._is_objects else self._find, path)
        skipped = len(path) + 1
        return sorted({name[skipped:].partition("/")[0] for name in files})

    def _names(self, path: str) -> list[str]:
        """Return what is directly below, without looking at all that is below that."""
        self._fs.invalidate_cache()
        try:
            return [name for name in map(str, self._fs.ls(path, detail=False)) if name.startswith(f"{path}/")]
        except FileNotFoundError:
            if self._is_bucket_gone():
                raise
            return []

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
            with contextlib.suppress(FileNotFoundError):  # somebody else removes it as well
                self._fs.rm(path, recursive=True)
            self._fs.invalidate_cache()

    def _path(self, key: str) -> str:
        if not all(word.strip(".") for word in key.split("/")):
            raise ValueError(f"no key of a file: {key!r}")
        return f"{self._root}/{key}"


def _options(text: str) -> dict[str, Any]:
    """Return what options say.  Raises `FailedPrecondition`, which repeats nothing of them."""
    try:
        said = json.loads(text or "{}")
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise FailedPrecondition('AGENTMESH_FILES_OPTIONS must be a JSON object, such as {"key": "…", "secret": "…"}')
    return said


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _kept(info: dict[str, Any], path: str) -> Kept:
    at = next((info[name] for name in _TIMES if info.get(name)), 0.0)
    if isinstance(at, datetime.datetime):
        at = (at if at.tzinfo else at.replace(tzinfo=datetime.UTC)).timestamp()
    return Kept(
        path=path, size=int(info.get("size") or 0), modified_at=float(at) if isinstance(at, int | float) else 0.0
    )
