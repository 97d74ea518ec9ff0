"""Exposes in PostgreSQL, which any number of replicas write."""

import contextlib
from collections.abc import AsyncIterator, Callable

from meshkit import clock, postgres
from meshkit.clock import Now
from meshkit.databases import PostgresDatabase
from meshkit.idempotency import Request
from meshkit.postgres import Connection, Database, requests, turns
from meshkit.postgres.turns import PostgresTurns
from services.registry import rows
from services.registry.domain.exposes import Expose, missing, taken
from services.registry.ports.exposes import Asked
from services.registry.stores import postgres_definitions
from services.registry.stores.postgres_definitions import PostgresDefinitions

MIGRATIONS = (
    """
    CREATE TABLE exposes (
        name text COLLATE "C" PRIMARY KEY,
        display_name text,
        network text,
        enabled integer NOT NULL,     -- as a row of SQLite says it
        bootstrap text NOT NULL,
        meta text,                    -- JSON list of FlowMeta; NULL if never given
        created_at text NOT NULL,     -- ISO 8601, UTC, microseconds
        updated_at text NOT NULL,
        flows text NOT NULL,          -- JSON list of FoundFlow
        booted_etag text NOT NULL,
        failure text NOT NULL,
        sealed text NOT NULL
    );
    """,
    requests.MIGRATION,
    postgres_definitions.MIGRATION,
    turns.MIGRATION,
)


class PostgresStore:
    """A store in PostgreSQL; a change is on disk before its caller goes on."""

    def __init__(self, database: Database, now: Now = clock.now) -> None:
        """`database` is open and was made with `MIGRATIONS`."""
        self._database = database
        self._now = now

    async def get(self, name: str) -> Expose:
        """Return the expose, or raise `NotFound`."""
        row = await self._database.fetchrow(f"SELECT {_COLUMNS} FROM exposes WHERE name = $1", name)
        if row is None:
            raise missing(name)
        return rows.load(tuple(row))

    async def select(self, after: str = "", limit: int | None = None) -> list[Expose]:
        """Return exposes by name, those behind `after`, at most `limit`."""
        sql = f"SELECT {_COLUMNS} FROM exposes WHERE name > $1 ORDER BY name LIMIT $2"
        return [rows.load(tuple(row)) for row in await self._database.fetch(sql, after, limit)]

    async def request(self, owner: str, request_id: str) -> Request | None:
        """Return a request that has been carried out."""
        return await self._database.read(lambda connection: requests.find(connection, owner, request_id))

    async def put(
        self, name: str, original: str, decide: Callable[[Expose | None], Expose], asked: Asked | None = None
    ) -> Expose:
        """Keep what `decide` makes of the stored expose, and who `asked`."""
        source = original or name

        async def work(connection: Connection) -> Expose:
            for each in sorted({source, name}):  # one that is not there has no row to be locked
                await postgres.lock(connection, f"exposes/{each}")
            stored = await _locked(connection, source)
            if source != name:
                if stored is None:
                    raise missing(source)
                if await _locked(connection, name) is not None:
                    raise taken(name)
            expose = decide(stored)
            if source != name:
                await connection.execute("DELETE FROM exposes WHERE name = $1", source)
            await _write(connection, expose)
            if asked is not None:
                await requests.keep(connection, asked(expose), self._now())
            return expose

        return await self._database.write(work)

    async def change(self, name: str, change: Callable[[Expose], Expose]) -> Expose:
        """Keep what `change` makes of the stored expose."""

        async def work(connection: Connection) -> Expose:
            await postgres.lock(connection, f"exposes/{name}")
            before = await _locked(connection, name)
            if before is None:
                raise missing(name)
            after = change(before)
            if after != before:
                await _write(connection, after)
            return after

        return await self._database.write(work, key=name)

    async def delete(self, name: str) -> None:
        """Forget the expose."""

        async def work(connection: Connection) -> None:
            await postgres.lock(connection, f"exposes/{name}")
            if await connection.fetchval("DELETE FROM exposes WHERE name = $1 RETURNING 1", name) is None:
                raise missing(name)

        await self._database.write(work)


_COLUMNS = ", ".join(rows.FIELDS)


async def _locked(connection: Connection, name: str) -> Expose | None:
    row = await connection.fetchrow(f"SELECT {_COLUMNS} FROM exposes WHERE name = $1 FOR UPDATE", name)
    return None if row is None else rows.load(tuple(row))


async def _write(connection: Connection, expose: Expose) -> None:
    marks = ", ".join(f"${number}" for number in range(1, len(rows.FIELDS) + 1))
    changes = ", ".join(f"{field} = excluded.{field}" for field in rows.FIELDS if field != "name")
    sql = f"INSERT INTO exposes ({_COLUMNS}) VALUES ({marks}) ON CONFLICT (name) DO UPDATE SET {changes}"
    await connection.execute(sql, *rows.dump(expose))


@contextlib.asynccontextmanager
async def opened(place: PostgresDatabase) -> AsyncIterator[tuple[PostgresStore, PostgresDefinitions, PostgresTurns]]:
    """Keep exposes and definitions there for the length of the block."""
    async with postgres.opened(place, "registry", MIGRATIONS) as database:
        yield PostgresStore(database), PostgresDefinitions(database), PostgresTurns(database)
