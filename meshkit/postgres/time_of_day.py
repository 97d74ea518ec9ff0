"""The time of day as PostgreSQL has it, by which all replicas go (`meshkit.clock`)."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from meshkit import clock
from meshkit.errors import Unavailable
from meshkit.postgres.lanes import Connection, Work

_AGAIN_S = 2.0
_ASK = "SELECT extract(epoch FROM clock_timestamp())::float8"


async def hear(connection: Connection) -> None:
    """Go by the server's time from now on."""
    asked_at = clock.ticks()
    said = await connection.fetchval(_ASK)
    clock.now.hear(said, asked_at, clock.ticks())


async def keep(read: Callable[[Work[None]], Awaitable[None]]) -> None:
    """Ask again and again, until cancelled: clocks drift apart, and the server's may be set."""
    while True:
        await asyncio.sleep(_AGAIN_S)
        with contextlib.suppress(Unavailable):  # meanwhile it is counted on
            await read(hear)
