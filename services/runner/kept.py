"""Which store the runner has: the one place that knows (`AGENTMESH_DATABASE_URL`)."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, TypeAlias, Union

import structlog

from meshkit.databases import Memory, PostgresDatabase
from meshkit.sqlite import Database
from meshkit.tasks import background
from services.runner.callers.masking import sealing
from services.runner.config import Config
from services.runner.ports.files import FileStore
from services.runner.ports.replicas import ReplicaStore
from services.runner.stores.local_files import LocalFiles
from services.runner.stores.memory import MemoryStore
from services.runner.stores.memory.files import MemoryFiles
from services.runner.stores.sqlite import SqliteStore
from services.runner.stores.sqlite.schema import MIGRATIONS

if TYPE_CHECKING:
    from services.runner.stores.postgres import PostgresStore

log = structlog.get_logger()
Store: TypeAlias = Union[MemoryStore, SqliteStore, "PostgresStore"]


@dataclasses.dataclass(frozen=True, slots=True)
class Kept:
    """What the runner keeps, and what its replicas share if it may have several."""

    store: Store
    replicas: ReplicaStore | None = None


@contextlib.asynccontextmanager
async def opened(config: Config, stopping: asyncio.Event) -> AsyncIterator[Kept]:
    """Open what the URL names for the length of the block."""
    place = config.database
    if isinstance(place, Memory):
        yield Kept(MemoryStore())
    elif isinstance(place, PostgresDatabase):
        async with _postgres(place, stopping) as kept:
            yield kept
    else:
        database = Database(place.file("runner"), MIGRATIONS, sealing(config.vault))
        database.open()
        try:
            store = SqliteStore(database)
            async with (
                background(store.indexer.run(), "search-index", stopping),
                background(store.sweeper.run(), "sweeper", stopping),
            ):
                yield Kept(store)
        finally:
            await database.close()


async def opened_files(config: Config) -> FileStore:
    """Open where files are kept.  Raises `Unavailable`, and `FailedPrecondition` for an extra that is not installed."""
    if config.files_url:
        from services.runner.stores.fsspec_files import FsspecFiles  # for who has such a URL

        return FsspecFiles(config.files_url, config.files_options)
    if isinstance(config.database, Memory):
        return MemoryFiles()
    folder = config.data_dir / "files"
    if isinstance(config.database, PostgresDatabase):  # which several runners may have
        log.warning(
            "files of jobs are in this runner's folder: share it, or set AGENTMESH_FILES_URL", folder=str(folder)
        )
    local = LocalFiles(folder)
    await local.open()
    return local


@contextlib.asynccontextmanager
async def _postgres(place: PostgresDatabase, stopping: asyncio.Event) -> AsyncIterator[Kept]:
    from meshkit import postgres  # its driver is an extra
    from services.runner.stores.postgres import PostgresStore
    from services.runner.stores.postgres.replicas import PostgresReplicas
    from services.runner.stores.postgres.schema import MIGRATIONS

    database = postgres.Database(place, "runner", MIGRATIONS)
    await database.open()
    try:
        store = PostgresStore(database)
        async with background(store.sweeper.run(), "sweeper", stopping):
            yield Kept(store, PostgresReplicas(database))
    finally:
        await database.close()
