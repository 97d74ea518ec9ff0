"""Definitions in PostgreSQL: one table for the four kinds, whose JSON says the rest."""

from collections.abc import Callable
from typing import TypeVar

import asyncpg

from meshkit import clock, postgres
from meshkit.clock import Now
from meshkit.idempotency import Request
from meshkit.postgres import Connection, Database, requests
from meshkit.postgres.blocking import blocking
from services.registry.ports.definitions import Transaction
from services.registry.stores.sql_definitions import SqlTransaction

T = TypeVar("T")
MIGRATION = """
    CREATE TABLE definitions (
        kind text NOT NULL,                    -- agents, crews, taskDefs, tools
        id text COLLATE "C" NOT NULL,          -- UUID of version 7: sorts by creation
        owner text NOT NULL,                   -- users/{uuid}
        standing text NOT NULL,                -- ACTIVE, ARCHIVED; of agents also DRAFT, PAUSED
        handle text NOT NULL,                  -- slug or name; empty if it has none
        crew text COLLATE "C" NOT NULL,        -- of a task definition, its crew's id; else empty
        record text NOT NULL,                  -- JSON of the whole
        PRIMARY KEY (kind, id)
    );
    CREATE INDEX definitions_of_owner ON definitions (kind, owner, standing, id);
    CREATE INDEX definitions_of_all ON definitions (kind, standing, id);
    CREATE UNIQUE INDEX definitions_by_handle ON definitions (kind, owner, handle)
        WHERE handle <> '' AND standing <> 'ARCHIVED';
    CREATE INDEX definitions_of_crew ON definitions (crew, standing, id) WHERE crew <> '';

    CREATE TABLE crew_agents (                 -- of crews that are not archived
        agent text COLLATE "C" NOT NULL,
        crew text COLLATE "C" NOT NULL,
        PRIMARY KEY (agent, crew)
    );
    CREATE INDEX crew_agents_by_crew ON crew_agents (crew);

    CREATE TABLE definition_counts (           -- kept by the triggers, so that a total costs no scan
        kind text NOT NULL,
        scope text NOT NULL,                   -- users/{uuid}; of task definitions also their crew's id; * is everybody
        standing text NOT NULL,
        count bigint NOT NULL,
        PRIMARY KEY (kind, scope, standing)
    );
    CREATE FUNCTION count_definition() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF TG_OP = 'UPDATE' THEN
            UPDATE definition_counts SET count = count - 1
                WHERE kind = OLD.kind AND scope IN (OLD.owner, '*', OLD.crew) AND standing = OLD.standing;
        END IF;
        INSERT INTO definition_counts AS counts VALUES
            (NEW.kind, NEW.owner, NEW.standing, 1), (NEW.kind, '*', NEW.standing, 1),
            (NEW.kind, NEW.crew, NEW.standing, 1)
            ON CONFLICT (kind, scope, standing) DO UPDATE SET count = counts.count + 1;
        RETURN NULL;
    END $$;
    CREATE TRIGGER definitions_added AFTER INSERT ON definitions FOR EACH ROW EXECUTE FUNCTION count_definition();
    CREATE TRIGGER definitions_moved AFTER UPDATE OF standing, crew ON definitions FOR EACH ROW
        WHEN (OLD.standing <> NEW.standing OR OLD.crew <> NEW.crew) EXECUTE FUNCTION count_definition();

    CREATE TABLE secrets (
        name text NOT NULL,                    -- agents/{id}
        field text NOT NULL,                   -- api_key
        key_id text NOT NULL,                  -- which key sealed it
        sealed bytea NOT NULL,                 -- meshkit.secrets
        PRIMARY KEY (name, field)
    );
    CREATE INDEX secrets_by_key ON secrets (key_id);
"""
"""For the registry's list of migrations."""
_WRITING = "definitions"


class _Transaction(SqlTransaction):
    taken = asyncpg.UniqueViolationError


class PostgresDefinitions:
    """A store in PostgreSQL, which any number of replicas write."""

    def __init__(self, database: Database, now: Now = clock.now) -> None:
        """`database` is open and was made with `MIGRATION`."""
        self._database = database
        self._now = now

    async def request(self, owner: str, request_id: str) -> Request | None:
        """Return a request that has been carried out."""
        return await self._database.read(lambda connection: requests.find(connection, owner, request_id))

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """Return what `work` makes of the definitions as they are at one moment."""
        return await self._database.read(blocking(lambda sql: work(_Transaction(sql, self._now))), snapshot=True)

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Run `work`, while no other replica writes definitions, and keep its changes unless it raises."""
        run = blocking(lambda sql: work(_Transaction(sql, self._now)))

        async def alone(connection: Connection) -> T:
            # A work looks at several (a crew, its agents, its tasks): none may change under it.  People write them.
            await postgres.lock(connection, _WRITING)
            return await run(connection)

        return await self._database.write(alone, key=_WRITING)
