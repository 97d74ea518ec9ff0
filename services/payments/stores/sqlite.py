"""Payments in a SQLite file.  Times in it are integers: milliseconds since 1970."""

import sqlite3
from typing import Any

from meshkit import clock
from meshkit.idempotency import Request
from meshkit.sqlite import Database, requests
from services.payments import domain
from services.payments.domain import Payment, Terms
from services.payments.ports.store import Rule
from services.payments.stores import rows

MIGRATIONS = [
    """
    CREATE TABLE payments (
        number INTEGER PRIMARY KEY AUTOINCREMENT,  -- order of recording
        payment_id TEXT NOT NULL UNIQUE,
        owner TEXT NOT NULL,
        amount TEXT NOT NULL,                      -- text: more digits than an integer has
        unit TEXT NOT NULL,
        state TEXT NOT NULL,
        created_at INTEGER NOT NULL                -- microseconds since 1970, UTC
    ) STRICT;
    CREATE INDEX payments_owner ON payments (owner, number);
    """,
    """
    ALTER TABLE payments RENAME TO intents;
    DROP INDEX payments_owner;
    CREATE TABLE payments (
        number INTEGER PRIMARY KEY AUTOINCREMENT,  -- order of recording
        payment_id TEXT NOT NULL UNIQUE,
        owner TEXT NOT NULL,
        network TEXT NOT NULL,
        provider TEXT NOT NULL,
        state TEXT NOT NULL,
        agent_identifier TEXT NOT NULL,
        purchaser_identifier TEXT NOT NULL,
        input_hash TEXT NOT NULL,
        pay_by_time INTEGER NOT NULL,              -- this and every time: milliseconds since 1970, UTC
        submit_result_time INTEGER NOT NULL,
        unlock_time INTEGER NOT NULL,
        external_dispute_unlock_time INTEGER NOT NULL,
        asked_amounts TEXT NOT NULL,               -- JSON: [["1000000", ""], ...]
        amounts TEXT NOT NULL,
        blockchain_identifier TEXT NOT NULL,
        seller_vkey TEXT NOT NULL,
        locked_at INTEGER NOT NULL,
        result_hash TEXT NOT NULL,
        refund_intended INTEGER NOT NULL,
        error TEXT NOT NULL,
        on_chain_state TEXT,
        next_action TEXT NOT NULL,
        error_type TEXT NOT NULL,
        chain_result_hash TEXT NOT NULL,
        changed_at INTEGER NOT NULL,
        provider_updated_at INTEGER NOT NULL,
        created_at INTEGER NOT NULL,
        updated_at INTEGER NOT NULL,
        ended INTEGER NOT NULL
    ) STRICT;
    -- What the first version recorded was never asked of anybody, and cannot be: it has no terms.
    INSERT INTO payments
        SELECT number, payment_id, owner, '', '', 'failed', '', '', '', 0, 0, 0, 0, '[]',
            json_array(json_array(amount, CASE lower(unit) WHEN 'lovelace' THEN '' ELSE unit END)), '', '', 0, '', 0,
            'recorded before payments could be made', NULL, '', '', '', 0, 0, created_at / 1000, created_at / 1000, 1
        FROM intents;
    DROP TABLE intents;
    CREATE INDEX payments_owner ON payments (owner, number);
    CREATE INDEX payments_open ON payments (payment_id) WHERE ended = 0;
    CREATE UNIQUE INDEX payments_identifier ON payments (network, blockchain_identifier)
        WHERE blockchain_identifier <> '';
    CREATE TABLE cursors (                         -- up to where changes have been taken in
        source TEXT PRIMARY KEY,                   -- network/provider
        since INTEGER NOT NULL
    ) STRICT;
    """,
    """
    ALTER TABLE payments ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;  -- of the last change: higher than any before
    UPDATE payments SET revision = number;
    CREATE UNIQUE INDEX payments_revision ON payments (revision);
    """,
    requests.MIGRATION,
]
_NEXT = "(SELECT COALESCE(MAX(revision), 0) + 1 FROM payments)"


class SqliteStore:
    """Keeps payments in a `meshkit.sqlite.Database` made with `MIGRATIONS`, which the caller opens and closes."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def request(self, owner: str, request_id: str) -> Request | None:
        """Return a request that has been carried out."""
        return await self._db.read(lambda connection: requests.find(connection, owner, request_id))

    async def record(self, payment: Payment, given: Terms | None = None, request: Request | None = None) -> Payment:
        """Keep the payment unless the job has one."""

        def work(connection: sqlite3.Connection) -> Payment:
            requests.keep(connection, request, clock.now())  # not by the provider's: that may jump
            marks = ", ".join("?" * (len(rows.FIELDS) + 1))
            sql = f"INSERT INTO payments ({rows.COLUMNS}, ended, revision) VALUES ({marks}, {_NEXT})"
            connection.execute(f"{sql} ON CONFLICT (payment_id) DO NOTHING", rows.values_of(payment))
            return domain.check_same(_get(connection, payment.payment_id), payment.owner, given or payment.terms)

        return await self._db.write(work)

    async def update(self, payment_id: str, rule: Rule) -> tuple[Payment, Payment]:
        """Apply a rule in one step."""

        def work(connection: sqlite3.Connection) -> tuple[Payment, Payment]:
            before = _get(connection, payment_id)
            after = rule(before)
            if after != before:
                sets = ", ".join(f"{field} = ?" for field in (*rows.FIELDS, "ended"))
                sql = f"UPDATE payments SET {sets}, revision = {_NEXT} WHERE payment_id = ?"
                connection.execute(sql, (*rows.values_of(after), payment_id))
            return before, after

        return await self._db.write(work)

    async def get(self, payment_id: str) -> Payment:
        """Return the payment, or raise `NotFound`."""
        return await self._db.read(lambda connection: _get(connection, payment_id))

    async def by_identifier(self, network: str, blockchain_identifier: str) -> Payment | None:
        """Return the payment with this identifier."""
        # The last condition is the index's own: without it the index is not used.
        sql = (
            f"SELECT {rows.COLUMNS} FROM payments"
            " WHERE network = ? AND blockchain_identifier = ? AND blockchain_identifier <> ''"
        )
        found = await self._rows(sql, (network, blockchain_identifier))
        return rows.payment_of(found[0]) if found else None

    async def unended(self, network: str = "", after: str = "", limit: int = 500) -> list[Payment]:
        """Return payments that have not ended, by id."""
        narrow = "network = :network AND " if network else ""
        sql = f"SELECT {rows.COLUMNS} FROM payments WHERE {narrow}ended = 0 AND payment_id > :after ORDER BY payment_id"
        found = await self._rows(f"{sql} LIMIT :limit", {"network": network, "after": after, "limit": limit})
        return [rows.payment_of(row) for row in found]

    async def revision(self) -> int:
        """Return the number of the last change."""
        return int((await self._rows("SELECT COALESCE(MAX(revision), 0) FROM payments", ()))[0][0])

    async def changed(self, after: int, limit: int) -> list[tuple[int, Payment]]:
        """Return payments that have changed since."""
        sql = f"SELECT revision, {rows.COLUMNS} FROM payments WHERE revision > ? ORDER BY revision LIMIT ?"
        return [(row[0], rows.payment_of(row[1:])) for row in await self._rows(sql, (after, limit))]

    async def page(self, owner: str, before: int, limit: int) -> list[tuple[int, Payment]]:
        """Return a page, newest first."""
        condition = "owner = :owner AND " if owner else ""
        sql = f"SELECT number, {rows.COLUMNS} FROM payments WHERE {condition}number < :before ORDER BY number DESC"
        found = await self._rows(f"{sql} LIMIT :limit", {"owner": owner, "before": before or 2**62, "limit": limit})
        return [(row[0], rows.payment_of(row[1:])) for row in found]

    async def cursor(self, source: str) -> int:
        """Return up to when the changes have been taken in."""
        found = await self._rows("SELECT since FROM cursors WHERE source = ?", (source,))
        return int(found[0][0]) if found else 0

    async def save_cursor(self, source: str, since: int) -> None:
        """Keep it."""
        sql = "INSERT INTO cursors VALUES (?, ?) ON CONFLICT (source) DO UPDATE SET since = excluded.since"
        await self._db.write(lambda connection: connection.execute(sql, (source, since)))

    async def _rows(self, sql: str, values: Any) -> list[tuple[Any, ...]]:
        return await self._db.read(lambda connection: connection.execute(sql, values).fetchall())


def _get(connection: sqlite3.Connection, payment_id: str) -> Payment:
    row = connection.execute(f"SELECT {rows.COLUMNS} FROM payments WHERE payment_id = ?", (payment_id,)).fetchone()
    if row is None:
        raise domain.no_payment(payment_id)
    return rows.payment_of(row)
