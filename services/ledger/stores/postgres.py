"""The ledger in PostgreSQL, which any number of replicas write: one transaction at a time, as in the file of SQLite."""

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from meshkit import postgres
from meshkit.databases import PostgresDatabase
from meshkit.postgres import Connection, Database, requests
from meshkit.postgres.blocking import blocking
from services.ledger.domain.options import Options
from services.ledger.ports.store import Session
from services.ledger.stores.session import SqlSession

T = TypeVar("T")
MIGRATIONS = [
    r"""
    CREATE TABLE clock (
        one integer PRIMARY KEY CHECK (one = 1),
        wall bigint NOT NULL,
        at bigint NOT NULL,
        scale double precision NOT NULL
    );
    CREATE TABLE wallets (
        rowid bigserial,                   -- the order of their making; SQLite has one in every table
        vkey text PRIMARY KEY,
        network text NOT NULL,
        kind text NOT NULL,                -- selling or purchasing
        key_id text NOT NULL,              -- whose
        id text NOT NULL,
        seed bytea NOT NULL                -- the private key, of imitated money only
    );
    CREATE INDEX wallets_owner ON wallets (key_id, network, kind);
    CREATE TABLE api_keys (rowid bigserial, id text PRIMARY KEY, token_hash text NOT NULL UNIQUE, doc text NOT NULL);
    CREATE TABLE agents (
        number bigserial PRIMARY KEY,
        id text NOT NULL UNIQUE,
        agent_identifier text NOT NULL,
        network text NOT NULL,
        doc text NOT NULL,
        UNIQUE (network, agent_identifier)
    );
    CREATE TABLE deals (
        id text PRIMARY KEY,
        blockchain_identifier text NOT NULL,
        due bigint,                        -- when it next moves by itself
        doc text NOT NULL,
        EXCLUDE USING hash (blockchain_identifier WITH =)  -- one is longer than an index that is UNIQUE takes
    );
    CREATE INDEX deals_due ON deals (due) WHERE due IS NOT NULL;
    CREATE TABLE records (
        number bigserial PRIMARY KEY,
        id text COLLATE "C" NOT NULL UNIQUE,
        deal text NOT NULL REFERENCES deals (id),
        side text NOT NULL,
        network text NOT NULL,
        key_id text NOT NULL,
        metadata text,
        state text,
        action text NOT NULL,
        created_at bigint NOT NULL,
        action_at bigint NOT NULL,
        state_at bigint NOT NULL,
        either_at bigint NOT NULL
    );
    CREATE INDEX records_action ON records (side, network, action_at, id);
    CREATE INDEX records_state ON records (side, network, state_at, id);
    CREATE INDEX records_either ON records (side, network, either_at, id);
    CREATE INDEX records_metadata ON records USING hash (metadata);
    CREATE INDEX records_number ON records (side, network, number);
    CREATE TABLE balances (
        account text COLLATE "C" NOT NULL, unit text COLLATE "C" NOT NULL, amount text NOT NULL,
        PRIMARY KEY (account, unit)
    );
    CREATE TABLE postings (
        number bigserial PRIMARY KEY,
        at bigint NOT NULL,
        source text NOT NULL,
        target text NOT NULL,
        unit text NOT NULL,
        amount text NOT NULL,              -- text: more digits than integers have
        why text NOT NULL
    );
    -- As SQLite calls them.  Where a document says NUL, which no text of PostgreSQL can, it is left out.
    CREATE FUNCTION instr(whole text, part text) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT strpos(whole, part)';
    CREATE FUNCTION json_extract(document text, path text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
        SELECT regexp_replace(document, '(?<!\\)((?:\\\\)*)\\u0000', '\1', 'g')::json ->> substr(path, 3)
    $$;
    """,
    requests.MIGRATION,
]
_WRITING = "writing"


class PostgresStore:
    """Keeps the ledger in a `meshkit.postgres.Database` made with `MIGRATIONS`, which the caller opens and closes."""

    def __init__(self, database: Database, options: Options) -> None:
        self._db = database
        self._options = options

    async def read(self, work: Callable[[Session], T]) -> T:
        """Run a short query."""
        return await self._db.read(blocking(lambda sql: work(SqlSession(sql, self._options))), snapshot=True)

    async def write(self, work: Callable[[Session], T]) -> T:
        """Run work in a transaction, while no other replica does."""
        run = blocking(lambda sql: work(SqlSession(sql, self._options)))

        async def alone(connection: Connection) -> T:
            # The rules look at many rows (balances, keys, wallets, the clock): none may change under them.
            await postgres.lock(connection, _WRITING)
            return await run(connection)

        return await self._db.write(alone, key=_WRITING)


@contextlib.asynccontextmanager
async def opened(place: PostgresDatabase, options: Options) -> AsyncIterator[PostgresStore]:
    """Keep everything there for the length of the block."""
    async with postgres.opened(place, "ledger", MIGRATIONS) as database:
        yield PostgresStore(database, options)
