"""Exposes in a SQLite file."""

import sqlite3
from collections.abc import Callable

from meshkit import clock
from meshkit.clock import Now
from meshkit.idempotency import Request
from meshkit.sqlite import Database, requests
from services.registry import rows
from services.registry.domain.exposes import Expose, missing, taken
from services.registry.ports.exposes import Asked
from services.registry.stores import sqlite_definitions

MIGRATIONS = (
    """
    CREATE TABLE exposes (
        name TEXT PRIMARY KEY,
        display_name TEXT,
        network TEXT,
        enabled INTEGER NOT NULL,
        bootstrap TEXT NOT NULL,
        meta TEXT,                    -- JSON list of FlowMeta; NULL if never given
        created_at TEXT NOT NULL,     -- ISO 8601, UTC, microseconds
        updated_at TEXT NOT NULL,
        flows TEXT NOT NULL,          -- JSON list of FoundFlow
        booted_etag TEXT NOT NULL,
        failure TEXT NOT NULL
    ) STRICT;
    """,
    requests.MIGRATION,
    sqlite_definitions.MIGRATION,
    """
    ALTER TABLE exposes ADD COLUMN sealed TEXT NOT NULL DEFAULT '';
    -- What stood here before secrets were sealed.  The two functions are given by who opens the file.
    UPDATE exposes SET sealed = sealed_bootstrap(name, bootstrap), bootstrap = masked_bootstrap(bootstrap);
    DELETE FROM requests WHERE instr(CAST(answer AS TEXT), 'env_vars') > 0;
    """,
)


class SqliteStore:
    """A store in a SQLite file; a change is on disk before its caller goes on."""

    def __init__(self, database: Database, now: Now = clock.now) -> None:
        """`database` is open and was made with `MIGRATIONS`."""
        self._database = database
        self._now = now

    async def get(self, name: str) -> Expose:
        """Return the expose, or raise `NotFound`."""
        return await self._database.read(lambda connection: _get(connection, name))

    async def select(self, after: str = "", limit: int | None = None) -> list[Expose]:
        """Return exposes by name, those behind `after`, at most `limit`."""
        sql = f"SELECT {_COLUMNS} FROM exposes WHERE name > ? ORDER BY name LIMIT ?"
        parameters = (after, -1 if limit is None else limit)

        def work(connection: sqlite3.Connection) -> list[Expose]:
            return [rows.load(row) for row in connection.execute(sql, parameters)]

        return await self._database.query(work)

    async def request(self, owner: str, request_id: str) -> Request | None:
        """Return a request that has been carried out."""
        return await self._database.read(lambda connection: requests.find(connection, owner, request_id))

    async def put(
        self, name: str, original: str, decide: Callable[[Expose | None], Expose], asked: Asked | None = None
    ) -> Expose:
        """Keep what `decide` makes of the stored expose, and who `asked`."""

        def work(connection: sqlite3.Connection) -> Expose:
            source = original or name
            stored = _find(connection, source)
            if source != name:
                if stored is None:
                    raise missing(source)
                if _find(connection, name) is not None:
                    raise taken(name)
            expose = decide(stored)
            if source != name:
                connection.execute("DELETE FROM exposes WHERE name = ?", (source,))
            _write(connection, expose)
            if asked is not None:
                requests.keep(connection, asked(expose), self._now())
            return expose

        return await self._database.write(work)

    async def change(self, name: str, change: Callable[[Expose], Expose]) -> Expose:
        """Keep what `change` makes of the stored expose."""

        def work(connection: sqlite3.Connection) -> Expose:
            before = _get(connection, name)
            after = change(before)
            if after != before:
                _write(connection, after)
            return after

        return await self._database.write(work)

    async def delete(self, name: str) -> None:
        """Forget the expose."""

        def work(connection: sqlite3.Connection) -> None:
            if connection.execute("DELETE FROM exposes WHERE name = ?", (name,)).rowcount == 0:
                raise missing(name)

        await self._database.write(work)


_COLUMNS = ", ".join(rows.FIELDS)


def _find(connection: sqlite3.Connection, name: str) -> Expose | None:
    row = connection.execute(f"SELECT {_COLUMNS} FROM exposes WHERE name = ?", (name,)).fetchone()
    return None if row is None else rows.load(row)


def _get(connection: sqlite3.Connection, name: str) -> Expose:
    expose = _find(connection, name)
    if expose is None:
        raise missing(name)
    return expose


def _write(connection: sqlite3.Connection, expose: Expose) -> None:
    marks = ", ".join("?" for _ in rows.FIELDS)
    connection.execute(f"INSERT OR REPLACE INTO exposes ({_COLUMNS}) VALUES ({marks})", rows.dump(expose))
