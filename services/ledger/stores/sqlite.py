"""The ledger in a SQLite file."""

from collections.abc import Callable
from typing import TypeVar

from meshkit.sqlite import Database, requests
from services.ledger.domain.options import Options
from services.ledger.ports.store import Session
from services.ledger.stores.session import SqlSession

T = TypeVar("T")
MIGRATIONS = [
    """
    CREATE TABLE clock (one INTEGER PRIMARY KEY CHECK (one = 1), wall INTEGER, at INTEGER, scale REAL) STRICT;
    CREATE TABLE wallets (
        vkey TEXT PRIMARY KEY,
        network TEXT NOT NULL,
        kind TEXT NOT NULL,                -- selling or purchasing
        key_id TEXT NOT NULL,              -- whose
        id TEXT NOT NULL,
        seed BLOB NOT NULL                 -- the private key, of imitated money only
    ) STRICT;
    CREATE INDEX wallets_owner ON wallets (key_id, network, kind);
    CREATE TABLE api_keys (id TEXT PRIMARY KEY, token_hash TEXT NOT NULL UNIQUE, doc TEXT NOT NULL) STRICT;
    CREATE TABLE agents (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        agent_identifier TEXT NOT NULL,
        network TEXT NOT NULL,
        doc TEXT NOT NULL,
        UNIQUE (network, agent_identifier)
    ) STRICT;
    CREATE TABLE deals (
        id TEXT PRIMARY KEY,
        blockchain_identifier TEXT NOT NULL UNIQUE,
        due INTEGER,                       -- when it next moves by itself
        doc TEXT NOT NULL
    ) STRICT;
    CREATE INDEX deals_due ON deals (due) WHERE due IS NOT NULL;
    CREATE TABLE records (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        deal TEXT NOT NULL REFERENCES deals (id),
        side TEXT NOT NULL,
        network TEXT NOT NULL,
        key_id TEXT NOT NULL,
        metadata TEXT,
        state TEXT,
        action TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        action_at INTEGER NOT NULL,
        state_at INTEGER NOT NULL,
        either_at INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX records_action ON records (side, network, action_at, id);
    CREATE INDEX records_state ON records (side, network, state_at, id);
    CREATE INDEX records_either ON records (side, network, either_at, id);
    CREATE INDEX records_metadata ON records (side, metadata);
    CREATE INDEX records_number ON records (side, network, number);
    CREATE TABLE balances (account TEXT, unit TEXT, amount TEXT NOT NULL, PRIMARY KEY (account, unit)) STRICT;
    CREATE TABLE postings (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        at INTEGER NOT NULL,
        source TEXT NOT NULL,
        target TEXT NOT NULL,
        unit TEXT NOT NULL,
        amount TEXT NOT NULL,              -- text: more digits than SQLite's integers have
        why TEXT NOT NULL
    ) STRICT;
    """,
    requests.MIGRATION,
]


class SqliteStore:
    """Keeps the ledger in a `meshkit.sqlite.Database` made with `MIGRATIONS`, which the caller opens and closes."""

    def __init__(self, database: Database, options: Options) -> None:
        self._db = database
        self._options = options

    async def read(self, work: Callable[[Session], T]) -> T:
        """Run a short query."""
        return await self._db.read(lambda connection: work(SqlSession(connection, self._options)))

    async def write(self, work: Callable[[Session], T]) -> T:
        """Run work in a transaction."""
        return await self._db.write(lambda connection: work(SqlSession(connection, self._options)))
