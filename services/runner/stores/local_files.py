"""Files in a folder of this machine: a file for each key, written beside and renamed when it is whole."""

import contextlib
import io
import os
import pathlib
import secrets
import shutil
import stat
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterator

from services.runner.domain.files import FILE_BYTES_MIN, PIECE_BYTES, UNDER_WAY, Kept
from services.runner.stores.file_threads import FileThreads

_TRIES = 3


class LocalFiles:
    """See `FileStore`."""

    def __init__(self, root: pathlib.Path) -> None:
        self._threads = FileThreads()
        self._root = root
        self._under_way = root / UNDER_WAY

    async def open(self) -> None:
        """Make the folder, which nobody else may read.  Raises `Unavailable`."""
        await self._threads.run(self._open)

    def _open(self) -> None:
        for folder in (self._root, self._under_way):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    async def write(self, key: str, pieces: AsyncIterator[bytes]) -> Kept:
        """See `FileStore.write`."""
        half = await self._threads.run(_Half, self._under_way / secrets.token_hex(16))
        try:
            async for piece in pieces:
                await self._threads.run(half.write, piece)
            await self._threads.run(half.settle, self._path(key))
        finally:
            await self._threads.run(half.end)  # begun at least, though we are cancelled here
        return await self.stat(key)

    async def read(self, key: str, offset: int = 0, length: int = 0) -> AsyncGenerator[bytes, None]:
        """See `FileStore.read`."""
        file = await self._threads.run(_reading, self._path(key), offset)
        left = length
        try:
            while piece := await self._threads.run(file.read, min(PIECE_BYTES, left) if length else PIECE_BYTES):
                yield piece
                left -= len(piece)
        finally:
            await self._threads.run(file.close)  # which waits for a thread that reads still

    async def stat(self, key: str) -> Kept:
        """See `FileStore.stat`."""
        return await self._threads.run(lambda: _kept(_regular(self._path(key)), key))

    async def find(self, folder: str, limit: int) -> list[Kept]:
        """See `FileStore.find`."""

        def look() -> list[Kept]:
            found = [_kept(entry.stat(follow_symlinks=False), path) for path, entry in _walk(self._path(folder))]
            return sorted(found, key=lambda file: file.path)[:limit]

        return await self._threads.run(look)

    async def names(self, folder: str) -> list[str]:
        """See `FileStore.names`."""

        def look() -> list[str]:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                return sorted(os.listdir(self._path(folder) if folder else self._root))
            return []

        return await self._threads.run(look)

    async def size(self, folder: str) -> int:
        """See `FileStore.size`."""

        def look() -> int:
            found = _walk(self._path(folder))
            return sum(max(FILE_BYTES_MIN, entry.stat(follow_symlinks=False).st_size) for _, entry in found)

        return await self._threads.run(look)

    async def remove(self, key: str) -> None:
        """See `FileStore.remove`."""
        await self._threads.run(self._remove, self._path(key))

    async def remove_all(self, folder: str) -> None:
        """See `FileStore.remove_all`."""

        def remove() -> None:
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(self._path(folder))
            self._prune(self._path(folder).parent)

        await self._threads.run(remove)

    def _remove(self, path: pathlib.Path) -> None:
        _regular(path)
        path.unlink()
        self._prune(path.parent)

    def _prune(self, folder: pathlib.Path) -> None:
        """Remove folders that are empty, from one upward."""
        with contextlib.suppress(OSError):
            while folder not in (self._root, self._under_way) and self._root in folder.parents:
                folder.rmdir()
                folder = folder.parent

    def _path(self, key: str) -> pathlib.Path:
        """Return where a key is kept; a key that led elsewhere would be a fault of ours."""
        words = key.split("/")
        if not all(word.strip(".") for word in words):
            raise ValueError(f"no key of a file: {key!r}")
        return self._root.joinpath(*words)


class _Half:
    """A file that is not whole.  Its methods block.

    Who was cancelled while a thread writes goes on at once: so each waits until the one before is done.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path
        self._file = io.FileIO(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        self._turn = threading.Lock()

    def write(self, data: bytes) -> None:
        """Write all of it."""
        with self._turn:
            left = memoryview(data)
            while left:
                left = left[self._file.write(left) :]

    def settle(self, path: pathlib.Path) -> None:
        """Put a file that is whole where it belongs."""
        with self._turn:
            os.fsync(self._file.fileno())
            for tried in range(_TRIES):
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                try:
                    os.replace(self._path, path)
                    break
                except FileNotFoundError:  # its folder was empty until now, and somebody removed it
                    if tried == _TRIES - 1:
                        raise
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def end(self) -> None:
        """Close it, and leave nothing behind."""
        with self._turn:
            self._file.close()
            self._path.unlink(missing_ok=True)


def _reading(path: pathlib.Path, offset: int) -> io.BufferedReader:
    file = open(path, "rb")  # noqa: SIM115  # whoever reads closes it
    file.seek(offset)
    return file


def _walk(folder: pathlib.Path, within: str = "") -> Iterator[tuple[str, "os.DirEntry[str]"]]:
    """Yield the files below a folder with their paths; what vanishes meanwhile is not there."""
    try:
        entries = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(folder / entry.name, f"{within}{entry.name}/")
        elif entry.is_file(follow_symlinks=False):
            yield f"{within}{entry.name}", entry


def _regular(path: pathlib.Path) -> os.stat_result:
    """Return what is known of a file.  Raises `FileNotFoundError` for a folder, too."""
    found = os.lstat(path)
    if not stat.S_ISREG(found.st_mode):
        raise FileNotFoundError(path)
    return found


def _kept(found: os.stat_result, path: str) -> Kept:
    return Kept(path=path, size=found.st_size, modified_at=found.st_mtime)
