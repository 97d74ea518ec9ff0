"""Definitions in a SQLite file: one table for the four kinds, whose JSON says the rest."""

import sqlite3
from collections.abc import Callable
from typing import TypeVar

from meshkit import clock
from meshkit.clock import Now
from meshkit.idempotency import Request
from meshkit.sqlite import Database, requests
from services.registry.ports.definitions import Transaction
from services.registry.stores.sql_definitions import SqlTransaction

T = TypeVar("T")

MIGRATION = """
    CREATE TABLE definitions (
        kind TEXT NOT NULL,           -- agents, crews, taskDefs, tools
        id TEXT NOT NULL,             -- UUID of version 7: sorts by creation
        owner TEXT NOT NULL,          -- users/{uuid}
        standing TEXT NOT NULL,       -- ACTIVE, ARCHIVED; of agents also DRAFT, PAUSED
        handle TEXT NOT NULL,         -- slug or name; empty if it has none
        crew TEXT NOT NULL,           -- of a task definition, its crew's id; else empty
        record TEXT NOT NULL,         -- JSON of the whole
        PRIMARY KEY (kind, id)
    ) STRICT;
    CREATE INDEX definitions_of_owner ON definitions (kind, owner, standing, id);
    CREATE INDEX definitions_of_all ON definitions (kind, standing, id);
    CREATE UNIQUE INDEX definitions_by_handle ON definitions (kind, owner, handle)
        WHERE handle <> '' AND standing <> 'ARCHIVED';
    CREATE INDEX definitions_of_crew ON definitions (crew, standing, id) WHERE crew <> '';

    CREATE TABLE crew_agents (        -- of crews that are not archived
        agent TEXT NOT NULL,
        crew TEXT NOT NULL,
        PRIMARY KEY (agent, crew)
    ) STRICT;
    CREATE INDEX crew_agents_by_crew ON crew_agents (crew);

    CREATE TABLE definition_counts (  -- kept by the triggers, so that a total costs no scan
        kind TEXT NOT NULL,
        scope TEXT NOT NULL,          -- users/{uuid}; of task definitions also their crew's id; * is everybody
        standing TEXT NOT NULL,
        count INTEGER NOT NULL,
        PRIMARY KEY (kind, scope, standing)
    ) STRICT;
    CREATE TRIGGER definitions_added AFTER INSERT ON definitions BEGIN
        INSERT INTO definition_counts VALUES
            (new.kind, new.owner, new.standing, 1), (new.kind, '*', new.standing, 1),
            (new.kind, new.crew, new.standing, 1)
            ON CONFLICT DO UPDATE SET count = count + 1;
    END;
    CREATE TRIGGER definitions_moved AFTER UPDATE OF standing, crew ON definitions
        WHEN old.standing <> new.standing OR old.crew <> new.crew BEGIN
        UPDATE definition_counts SET count = count - 1
            WHERE kind = old.kind AND scope IN (old.owner, '*', old.crew) AND standing = old.standing;
        INSERT INTO definition_counts VALUES
            (new.kind, new.owner, new.standing, 1), (new.kind, '*', new.standing, 1),
            (new.kind, new.crew, new.standing, 1)
            ON CONFLICT DO UPDATE SET count = count + 1;
    END;

    CREATE TABLE secrets (
        name TEXT NOT NULL,           -- agents/{id}
        field TEXT NOT NULL,          -- api_key
        key_id TEXT NOT NULL,         -- which key sealed it
        sealed BLOB NOT NULL,         -- meshkit.secrets
        PRIMARY KEY (name, field)
    ) STRICT;
    CREATE INDEX secrets_by_key ON secrets (key_id);
"""
"""For the registry's list of migrations."""


class SqliteDefinitions:
    """A store in a SQLite file; a change is on disk before its caller goes on."""

    def __init__(self, database: Database, now: Now = clock.now) -> None:
        """`database` is open and was made with `MIGRATION`."""
        self._database = database
        self._now = now

    async def request(self, owner: str, request_id: str) -> Request | None:
        """Return a request that has been carried out."""
        return await self._database.read(lambda connection: requests.find(connection, owner, request_id))

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """Return what `work` makes of the definitions as they are at one moment."""

        def at_once(connection: sqlite3.Connection) -> T:
            connection.execute("BEGIN")
            try:
                return work(SqlTransaction(connection, self._now))
            finally:
                connection.execute("COMMIT")

        return await self._database.query(at_once)

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Run `work`, and keep its changes unless it raises."""
        return await self._database.write(lambda connection: work(SqlTransaction(connection, self._now)))
