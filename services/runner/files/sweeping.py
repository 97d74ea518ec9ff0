"""What nobody will ask for any more: batches that no launch came for, files whose job is gone, and halves of files.

A runner that dies leaves such behind.  Whatever is younger than a day may be in somebody's hands.
"""

import asyncio
import contextlib
import itertools
from collections.abc import Callable

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

    def __init__(self, kept: Files, jobs: JobStore, now: Callable[[], float] = clock.now) -> None:
        self._files = kept
        self._store = kept.store
        self._jobs = jobs
        self._now = now
        self._apart = Apart("files")

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
        count = 0
        for owner in await self._store.names(files.UPLOADS):
            for batch in await self._store.names(f"{files.UPLOADS}/{owner}"):
                folder = f"{files.UPLOADS}/{owner}/{batch}"
                with self._apart(folder):
                    if await self._is_left(folder):
                        await self._store.remove_all(folder)
                        count += 1
        if count:
            log.info("uploads that nobody wanted are forgotten", batches=count)
        return count

    async def jobs(self) -> int:
        """Forget files that are older than a day and of no job; return of how many.  Raises `Unavailable`."""
        count = 0
        for owner in await self._store.names(""):
            if owner in (files.UPLOADS, files.UNDER_WAY) or not files.is_owner(owner):
                continue
            for job_id in await self._store.names(owner):
                with self._apart(f"{owner}/{job_id}"):
                    if files.is_id(job_id) and await self._is_lost(owner, job_id):
                        await self._files.forget(f"users/{owner}", job_id)
                        count += 1
        if count:
            log.info("files without their job are forgotten", jobs=count)
        return count

    async def halves(self) -> None:
        """Forget what was not written to its end a day ago.  Raises `Unavailable`."""
        for file in await self._store.find(files.UNDER_WAY, files.PARTS_MAX):
            key = f"{files.UNDER_WAY}/{file.path}"
            with self._apart(key), contextlib.suppress(NotFound):  # another runner sweeps, too
                if self._is_old(file):
                    await self._store.remove(key)

    async def _is_left(self, batch: str) -> bool:
        """Return whether nothing has come in a batch for a day: one upload at a time, as each has many parts."""
        for upload in await self._store.names(batch):
            parts = await self._store.find(f"{batch}/{upload}", files.PARTS_MAX + 1)
            if not all(map(self._is_old, parts)):
                return False
        return True

    async def _is_lost(self, owner: str, job_id: str) -> bool:
        try:
            await self._jobs.get(job_id)
        except NotFound:
            found = await self._store.find(f"{owner}/{job_id}", files.FILES_MAX + 1)
            return all(map(self._is_old, found))
        return False

    def _is_old(self, file: files.Kept) -> bool:
        """Return whether a file is older than a day; where no times are kept, none is."""
        return 0 < file.modified_at < self._now() - _KEPT_S
