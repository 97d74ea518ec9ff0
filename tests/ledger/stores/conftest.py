"""Each kind of store of the ledger, empty."""

import pathlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from meshkit.databases import PostgresDatabase
from meshkit.sqlite import Database
from services.ledger.domain.options import Options
from services.ledger.ports.store import LedgerStore
from services.ledger.stores import postgres
from services.ledger.stores.memory import MemoryStore
from services.ledger.stores.sqlite import MIGRATIONS, SqliteStore
from tests.ledger.stores.making import STILL


@pytest_asyncio.fixture(params=["memory", "sqlite", "postgres"])
async def store(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> AsyncIterator[LedgerStore]:
    """Each kind of store, empty, at noon."""
    if request.param == "memory":
        memory = MemoryStore(Options())
        await memory.write(lambda session: session.set_clock(STILL))
        yield memory
        return
    if request.param == "postgres":
        place = PostgresDatabase(request.getfixturevalue("postgres"))
        async with postgres.opened(place, Options()) as kept:
            await kept.write(lambda session: session.set_clock(STILL))
            yield kept
        return
    database = Database(tmp_path / "ledger.db", MIGRATIONS)
    database.open()
    sqlite = SqliteStore(database, Options())
    await sqlite.write(lambda session: session.set_clock(STILL))
    yield sqlite
    await database.close()
