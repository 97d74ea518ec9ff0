"""The files of jobs, by owner and job: who may see a job is decided by whoever asks here."""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

from meshkit.errors import NotFound
from services.runner.domain import files
from services.runner.domain.files import Kept, Limits
from services.runner.files.usage import Usage
from services.runner.ports.files import FileStore

_SOME = files.FILES_MAX + 1


class Files:
    """Reads, writes and forgets.  Paths are with their roots: `in/notes.txt`."""

    def __init__(self, store: FileStore, limits: Limits) -> None:
        self.store = store
        self.limits = limits
        self.usage = Usage(store, limits.owner_max)

    async def find(self, owner: str, job_id: str, root: str = "") -> list[Kept]:
        """Return the files of a job, by path: of one root, or of both.  Raises `Invalid`."""
        if root:
            files.checked_root(root)
        found = await self.store.find(files.folder_of(owner, job_id), _SOME)
        return [file for file in found if not root or file.path.startswith(f"{root}/")]

    async def get(self, owner: str, job_id: str, path: str) -> Kept:
        """Return what is known of a file.  Raises `Invalid`, `NotFound`."""
        key = _key(owner, job_id, path)
        try:
            found = await self.store.stat(key)
        except NotFound:
            raise _missing(path) from None
        return Kept(path="/".join(_checked(path)), size=found.size, modified_at=found.modified_at)

    async def read(
        self, owner: str, job_id: str, path: str, offset: int = 0, length: int = 0
    ) -> AsyncGenerator[bytes, None]:
        """Yield what is in a file, `length` bytes from `offset` on; 0 is to its end.  Raises `Invalid`, `NotFound`."""
        pieces = self.store.read(_key(owner, job_id, path), max(0, offset), max(0, length))
        async with contextlib.aclosing(pieces):
            try:
                async for piece in pieces:
                    yield piece
            except NotFound:
                raise _missing(path) from None

    async def write(
        self,
        owner: str,
        job_id: str,
        path: str,
        size: int,
        pieces: AsyncIterator[bytes],
        there: Sequence[Kept] | None = None,
    ) -> Kept:
        """Keep a file of `size` bytes, which are counted already (`Usage`).  Raises `Invalid` if there is no room.

        `there` are the job's files, where they are known: who writes many need not look at all before each.
        """
        root, name = _checked(path)
        there = await self.find(owner, job_id) if there is None else there
        files.check_room(f"{root}/{name}", size, there, self.limits)
        kept = await self.store.write(_key(owner, job_id, path), pieces)
        return Kept(path=f"{root}/{name}", size=kept.size, modified_at=kept.modified_at)

    async def remove(self, owner: str, job_id: str, path: str) -> None:
        """Delete a file, or all that is in a folder.  Raises `Invalid`, and `NotFound` if there is neither."""
        root, name = files.split(path)
        whole = f"{root}/{name}".rstrip("/")
        there = await self.find(owner, job_id)
        gone = [file for file in there if file.path == whole or file.path.startswith(f"{whole}/")]
        if not gone:
            raise _missing(whole)
        for file in gone:
            await self.store.remove(f"{files.folder_of(owner, job_id)}/{file.path}")
            self.usage.give(owner, file.size)

    async def forget(self, owner: str, job_id: str) -> None:
        """Delete all files of a job, and what was on its way there."""
        await self.store.remove_all(files.folder_of(owner, job_id))
        await self.store.remove_all(files.uploads_of(owner, job_id))
        self.usage.forget(owner)


def _missing(path: str) -> NotFound:
    return NotFound(f"there is no file {path}", resource="files")


def _checked(path: str) -> tuple[str, str]:
    """Return root and path of a file.  Raises `Invalid` for a path that is none, `NotFound` for a root alone."""
    root, name = files.split(path)
    if not name:
        raise NotFound(f"{root} is a folder", resource="files")
    return root, name


def _key(owner: str, job_id: str, path: str) -> str:
    return f"{files.folder_of(owner, job_id)}/{'/'.join(_checked(path))}"
