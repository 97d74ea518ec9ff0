"""Every store of the runner, empty, for tests of what all of them promise."""

import pathlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from meshkit import databases
from meshkit.postgres import Database as Postgres
from meshkit.sqlite import Database
from services.runner.stores.memory import MemoryStore
from services.runner.stores.postgres import PostgresStore, schema
from services.runner.stores.sqlite import SqliteStore
from services.runner.stores.sqlite.schema import MIGRATIONS
from tests.runner.sealing import SEALING
from tests.servers.postgresql import Postgres as Server

Store = MemoryStore | SqliteStore | PostgresStore


@pytest_asyncio.fixture(params=["memory", "sqlite", "postgres"])
async def store(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> AsyncIterator[Store]:
    """Yield each store, empty."""
    if request.param == "memory":
        yield MemoryStore()
    elif request.param == "postgres":
        server: Server = request.getfixturevalue("postgres_server")
        database = Postgres(databases.PostgresDatabase(server.fresh()), "runner", schema.MIGRATIONS)
        await database.open()
        yield PostgresStore(database)
        await database.close()
    else:
        kept = Database(tmp_path / "runner.db", MIGRATIONS, SEALING)
        kept.open()
        yield SqliteStore(kept)
        await kept.close()
