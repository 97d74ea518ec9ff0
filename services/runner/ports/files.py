"""Where files are kept, as a port."""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Protocol

from services.runner.domain.files import Kept


class FileStore(Protocol):
    """Keeps files by key: words with slashes between them.  `tests/runner/stores/test_files.py` holds all to this.

    A key is made of ids and checked paths (`services.runner.domain.files`), so it leads nowhere else.  Any method may
    raise `Unavailable`.
    """

    async def write(self, key: str, pieces: AsyncIterator[bytes]) -> Kept:
        """Keep a file, in place of the one with that key: the whole of it or nothing, on disk when this returns.

        Raises what `pieces` raises.
        """

    def read(self, key: str, offset: int = 0, length: int = 0) -> AsyncGenerator[bytes, None]:
        """Yield what a file has from a byte on, in pieces of at most `PIECE_BYTES`: so many bytes, or 0 for the rest.

        Raises `NotFound`.
        """

    async def stat(self, key: str) -> Kept:
        """Return what is known of a file.  Raises `NotFound`."""

    async def find(self, folder: str, limit: int) -> list[Kept]:
        """Return files below a key, by path: the first `limit`.  Their paths are within it."""

    async def names(self, folder: str) -> list[str]:
        """Return what is directly below a key, sorted: the next word of the keys that begin with it.

        Below the empty key is all there is.
        """

    async def size(self, folder: str) -> int:
        """Return how many bytes are kept below a key; each file counts as `FILE_BYTES_MIN` at least."""

    async def remove(self, key: str) -> None:
        """Delete a file.  Raises `NotFound`."""

    async def remove_all(self, folder: str) -> None:
        """Delete all that is below a key; nothing happens if that is nothing."""
