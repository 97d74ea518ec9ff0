"""Each kind of store of auth, empty."""

import pathlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from meshkit.databases import PostgresDatabase
from meshkit.sqlite import Database
from services.auth.clock import StrictClock
from services.auth.ports.store import AuthStore
from services.auth.stores import postgres
from services.auth.stores.memory import MemoryStore
from services.auth.stores.sqlite import MIGRATIONS, SqliteStore
from tests.auth.stores.making import Wall


@pytest.fixture
def wall() -> Wall:
    """A clock that stands still until the test moves it."""
    return Wall()


@pytest_asyncio.fixture(params=["memory", "sqlite", "postgres"])
async def store(request: pytest.FixtureRequest, tmp_path: pathlib.Path, wall: Wall) -> AsyncIterator[AuthStore]:
    """Each kind of store, empty."""
    if request.param == "memory":
        yield MemoryStore(StrictClock(wall))
        return
    if request.param == "postgres":
        place = PostgresDatabase(request.getfixturevalue("postgres"))
        async with postgres.opened(place, StrictClock(wall)) as kept:
            yield kept
        return
    database = Database(tmp_path / "auth.db", MIGRATIONS)
    database.open()
    yield SqliteStore(database, StrictClock(wall))
    await database.close()
