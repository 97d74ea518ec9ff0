"""Files in memory: for a runner that keeps nothing."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator

from meshkit import clock
from meshkit.errors import NotFound
from services.runner.domain.files import FILE_BYTES_MIN, PIECE_BYTES, Kept


class MemoryFiles:
    """See `FileStore`."""

    def __init__(self, now: Callable[[], float] = clock.now) -> None:
        self._now = now
        self._files: dict[str, tuple[bytes, float]] = {}

    async def write(self, key: str, pieces: AsyncIterator[bytes]) -> Kept:
        """See `FileStore.write`."""
        data = b"".join([piece async for piece in pieces])
        self._files[key] = (data, self._now())
        return self._kept(key, key)

    async def read(self, key: str, offset: int = 0, length: int = 0) -> AsyncGenerator[bytes, None]:
        """See `FileStore.read`."""
        data = self._found(key)[0]
        data = data[: offset + length] if length else data
        for start in range(offset, len(data), PIECE_BYTES):
            yield data[start : start + PIECE_BYTES]

    async def stat(self, key: str) -> Kept:
        """See `FileStore.stat`."""
        return self._kept(key, key)

    async def find(self, folder: str, limit: int) -> list[Kept]:
        """See `FileStore.find`."""
        keys = sorted(self._below(folder))[:limit]
        return [self._kept(key, key[len(folder) + 1 :]) for key in keys]

    async def names(self, folder: str) -> list[str]:
        """See `FileStore.names`."""
        skipped = len(folder) + 1 if folder else 0
        return sorted({key[skipped:].partition("/")[0] for key in self._below(folder)})

    async def size(self, folder: str) -> int:
        """See `FileStore.size`."""
        return sum(max(FILE_BYTES_MIN, len(self._files[key][0])) for key in self._below(folder))

    async def remove(self, key: str) -> None:
        """See `FileStore.remove`."""
        self._found(key)
        del self._files[key]

    async def remove_all(self, folder: str) -> None:
        """See `FileStore.remove_all`."""
        for key in list(self._below(folder)):
            del self._files[key]

    def _below(self, folder: str) -> Iterator[str]:
        return (key for key in self._files if not folder or key.startswith(f"{folder}/"))

    def _found(self, key: str) -> tuple[bytes, float]:
        if key not in self._files:
            raise NotFound("there is no such file", resource="files")
        return self._files[key]

    def _kept(self, key: str, path: str) -> Kept:
        data, at = self._found(key)
        return Kept(path=path, size=len(data), modified_at=at)
