"""What nobody will ask for any more: batches that no launch came for, files whose job is gone, and halves of files.

A runner that dies leaves such behind.  Whatever is younger than a day may be in somebody's hands: a day of the clock
by which files are dated, which is a file system's or a bucket's, and none of ours.
"""

import asyncio
import contextlib
import itertools
import secrets
from collections.abc import AsyncIterator, Callable

import structlog

from meshkit import clock
from meshkit.errors import NotFound, Unavailable
from meshkit.tasks import Apart
from services.runner.domain import files
from services.runner.files.files import Files
from services.runner.ports.store import JobStore

log = structlog.get_logger()
_KEPT_S = 24 * 3600.0
"""How long an upload waits for its next part, or for its launch."""
_SWEEP_S = 3600.0
_SWEEPS_A_DAY = 24


class Sweep:
    """Forgets files, now and then."""

    def __init__(
        self,
        kept: Files,
        jobs: JobStore,
        now: Callable[[], float] = clock.now,
        ticks: Callable[[], float] = clock.ticks,
    ) -> None:
        self._files = kept
        self._store = kept.store
        self._jobs = jobs
        self._now = now
        self._ticks = ticks
        self._apart = Apart("files")
        self._newest_at: tuple[float, float] | None = None
        """When the newest file was written, and when that was looked up (in ticks), since none can be written."""

    async def run(self) -> None:
        """Sweep until cancelled, whatever comes in between: jobs once a day, from an hour after the start on."""
        for number in itertools.count():
            try:
                with self._apart("a sweep"):
                    await self.uploads()
                    await self.halves()
                    if number % _SWEEPS_A_DAY == 1:
                        await self.jobs()
            except Unavailable as error:
                log.info("files cannot be swept now", why=str(error))
            await asyncio.sleep(_SWEEP_S)

    async def uploads(self) -> int:
        """Forget batches in which nothing has come for a day; return how many.  Raises `Unavailable`."""
        count, before = 0, await self._a_day_ago()
        for owner in await self._store.names(files.UPLOADS):
            for batch in await self._store.names(f"{files.UPLOADS}/{owner}"):
                folder = f"{files.UPLOADS}/{owner}/{batch}"
                with self._apart(folder):
                    if await self._is_left(folder, before):
                        await self._store.remove_all(folder)
                        count += 1
        if count:
            log.info("uploads that nobody wanted are forgotten", batches=count)
        return count

    async def jobs(self) -> int:
        """Forget files that are older than a day and of no job; return of how many.  Raises `Unavailable`."""
        count, before = 0, await self._a_day_ago()
        for owner in await self._store.names(""):
            if owner in (files.UPLOADS, files.UNDER_WAY) or not files.is_owner(owner):
                continue
            for job_id in await self._store.names(owner):
                with self._apart(f"{owner}/{job_id}"):
                    if files.is_id(job_id) and await self._is_lost(owner, job_id, before):
                        await self._files.forget(f"users/{owner}", job_id)
                        count += 1
        if count:
            log.info("files without their job are forgotten", jobs=count)
        return count

    async def halves(self) -> None:
        """Forget what was not written to its end a day ago.  Raises `Unavailable`."""
        before = await self._a_day_ago()
        for file in await self._store.find(files.UNDER_WAY, files.PARTS_MAX):
            key = f"{files.UNDER_WAY}/{file.path}"
            with self._apart(key), contextlib.suppress(NotFound):  # another runner sweeps, too
                if _is_older(file, before):
                    await self._store.remove(key)

    async def _a_day_ago(self) -> float:
        """Return when a day ago was, by the clock that dates files, or before.  Raises `Unavailable`."""
        key = f"{files.UNDER_WAY}/{secrets.token_hex(16)}"
        try:
            written = await self._store.write(key, _nothing())
        except Unavailable as error:  # there is no room, perhaps: a sweep makes some
            return await self._reckoned(error) - _KEPT_S
        self._newest_at = None
        with contextlib.suppress(NotFound):
            await self._store.remove(key)
        return written.modified_at - _KEPT_S

    async def _reckoned(self, why: Exception) -> float:
        """Return the time by the newest file when it was looked for, and what has passed since: it is not earlier."""
        if self._newest_at is None:
            log.info("files are swept by the newest of them", why=str(why))
            self._newest_at = await self._newest(), self._ticks()
        newest, looked_at = self._newest_at
        return min(newest + self._ticks() - looked_at, self._now())

    async def _newest(self) -> float:
        """Return when the newest file was written: it is not earlier than that.  Raises `Unavailable`.

        One may be dated ahead, by a clock that was wrong then: it is not later than our clock says, either.
        """
        newest = 0.0
        for top in await self._store.names(""):
            for name in await self._store.names(top) if top != files.UNDER_WAY else [""]:
                folder = f"{top}/{name}".rstrip("/")
                with self._apart(folder):
                    found = await self._store.find(folder, files.PARTS_MAX)
                    newest = max([newest, *(file.modified_at for file in found)])
        return newest

    async def _is_left(self, batch: str, before: float) -> bool:
        """Return whether nothing has come in a batch for a day: one upload at a time, as each has many parts."""
        for upload in await self._store.names(batch):
            parts = await self._store.find(f"{batch}/{upload}", files.PARTS_MAX + 1)
            if not all(_is_older(part, before) for part in parts):
                return False
        return True

    async def _is_lost(self, owner: str, job_id: str, before: float) -> bool:
        try:
            await self._jobs.get(job_id)
        except NotFound:
            found = await self._store.find(f"{owner}/{job_id}", files.FILES_MAX + 1)
            return all(_is_older(file, before) for file in found)
        return False


def _is_older(file: files.Kept, before: float) -> bool:
    """Return whether a file was written before a moment; where no times are kept, none was."""
    return 0 < file.modified_at < before


async def _nothing() -> AsyncIterator[bytes]:
    """Yield what is in an empty file: it takes no room, where there is none."""
    for piece in list[bytes]():
        yield piece
