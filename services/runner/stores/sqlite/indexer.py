"""Fills the index of the jobs' texts behind their backs: in small steps, at a low pace, and only when there is some."""

import asyncio

from meshkit.errors import Unavailable
from meshkit.sqlite import Database
from services.runner.stores.sqlite import index


class Indexer:
    """Indexes the jobs of a database that have ended.

    From the end of a job, `gather_s` pass until it is indexed, so that several share a commit.  A pause of `pause_s`
    between two steps leaves the writer to the jobs that run: with `index.BATCH_MAX`, 500 jobs a second at most.
    """

    def __init__(
        self, database: Database, *, gather_s: float = 0.5, pause_s: float = 0.1, retry_s: float = 30.0
    ) -> None:
        self._database = database
        self._gather_s = gather_s
        self._pause_s = pause_s
        self._retry_s = retry_s
        self._ended = asyncio.Event()

    def job_ended(self) -> None:
        """Note that there is something to do."""
        self._ended.set()

    async def run(self) -> None:
        """Index what has ended and what will, until cancelled."""
        while True:
            self._ended.clear()
            try:
                await self.settle(self._pause_s)
            except Unavailable:
                # The disk may be full.  Until it is not, jobs that are not indexed are found by looking at each.
                await asyncio.sleep(self._retry_s)
                continue
            await self._ended.wait()
            await asyncio.sleep(self._gather_s)

    async def settle(self, pause_s: float = 0.0) -> None:
        """Index all that has ended."""
        more = True
        while more:
            more = await self._step()
            await asyncio.sleep(pause_s)

    async def _step(self) -> bool:
        """Index a few jobs and merge a little; return False if there was nothing to do."""
        entries = await self._database.query(index.waiting)
        if entries:
            await self._database.write(lambda connection: index.index(connection, entries))
        return await self._database.write(index.merge) or bool(entries)
