"""Turns that PostgreSQL hands out (`meshkit.turns`): a row with who has it, and until when by the server's clock.

Who has a turn renews it every two seconds, and stops *before* it is over if it cannot; who waits tries once a second.
A replica that ends gives its turns back; one that stands still loses them, and stops when it finds that out.
"""

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Callable

import structlog

from meshkit.errors import Unavailable
from meshkit.postgres.database import Connection, Database

log = structlog.get_logger()
MIGRATION = """
    CREATE TABLE turns (name text PRIMARY KEY, holder text NOT NULL, until timestamptz NOT NULL);
"""
"""For a service's list of migrations."""
_TURN_S = 10.0
_RENEW_S = 2.0
_STOP_S = 7.0
"""So long after it was asked for, a turn that was not renewed is no longer used."""
_WAIT_S = 1.0
_TAKE = """
    INSERT INTO turns (name, holder, until) VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3))
    ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
        WHERE turns.holder = excluded.holder OR turns.until < clock_timestamp()
    RETURNING 1
"""
_TAKEN = "SELECT 1 FROM turns WHERE name = $1 AND holder <> $2 AND until >= clock_timestamp()"


class PostgresTurns:
    """Turns of the replicas that share a schema with a table of `MIGRATION`."""

    shared = True

    def __init__(self, database: Database) -> None:
        self._database = database
        self._holder = uuid.uuid4().hex
        """This replica."""

    async def run(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run `work` whenever it is our turn."""
        loop = asyncio.get_running_loop()
        while True:
            asked_at = loop.time()
            if not await self._renewed(name):
                await asyncio.sleep(_WAIT_S)
                continue
            log.info("our turn", work=name)
            try:
                if await self._during(name, work, asked_at):
                    return
                log.warning("our turn is over", work=name)
            finally:
                await self.give_back(name)

    async def keep(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """As `Turns.keep`."""
        asked_at = asyncio.get_running_loop().time()
        try:
            if await self._renewed(name) and not await self._during(name, work, asked_at):
                log.warning("our turn is over", work=name)
        finally:
            await self.give_back(name)

    async def _during(self, name: str, work: Callable[[], Awaitable[None]], asked_at: float) -> bool:
        """Run `work` while it is our turn; return whether it has come to its end."""
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(_carried_out(work))
        try:
            while not task.done():
                left_s = asked_at + _STOP_S - loop.time()
                if left_s <= 0:
                    return False
                await asyncio.wait([task], timeout=min(_RENEW_S, left_s))
                trying_at = loop.time()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, asked_at + _STOP_S - trying_at)):
                        if task.done() or await self._renewed(name):
                            asked_at = trying_at
            await task
            return True
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def take(self, name: str) -> bool:
        """As `Turns.take`."""

        async def work(connection: Connection) -> bool:
            return await connection.fetchval(_TAKE, name, self._holder, _TURN_S) is not None

        return await self._database.write(work, key=name)

    async def taken(self, name: str) -> bool:
        """As `Turns.taken`."""
        return await self._database.fetchval(_TAKEN, name, self._holder) is not None

    async def _renewed(self, name: str) -> bool:
        try:
            return await self.take(name)
        except Unavailable:
            return False

    async def give_back(self, name: str) -> None:
        """As `Turns.give_back`; while the database is away, the turn is over by itself."""

        async def work(connection: Connection) -> None:
            await connection.execute("DELETE FROM turns WHERE name = $1 AND holder = $2", name, self._holder)

        with contextlib.suppress(Unavailable):
            await self._database.write(work, key=name)


async def _carried_out(work: Callable[[], Awaitable[None]]) -> None:
    await work()
