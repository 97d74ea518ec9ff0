"""Payments in PostgreSQL, which any number of replicas write.  Times are milliseconds since 1970.

Locks are taken in this order: the payment's row, `revisions`.
"""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from meshkit import clock, postgres
from meshkit.databases import PostgresDatabase
from meshkit.idempotency import Request
from meshkit.postgres import Connection, Database, requests, turns
from meshkit.postgres.turns import PostgresTurns
from services.payments import domain
from services.payments.domain import Payment, Terms
from services.payments.ports.store import Rule
from services.payments.stores import rows

MIGRATIONS = [
    """
    CREATE TABLE payments (
        number bigserial PRIMARY KEY,              -- order of recording
        payment_id text COLLATE "C" NOT NULL UNIQUE,
        owner text NOT NULL,
        network text NOT NULL,
        provider text NOT NULL,
        state text NOT NULL,
        agent_identifier text NOT NULL,
        purchaser_identifier text NOT NULL,
        input_hash text NOT NULL,
        pay_by_time bigint NOT NULL,               -- this and every time: milliseconds since 1970, UTC
        submit_result_time bigint NOT NULL,
        unlock_time bigint NOT NULL,
        external_dispute_unlock_time bigint NOT NULL,
        asked_amounts text NOT NULL,               -- JSON: [["1000000", ""], ...]
        amounts text NOT NULL,
        blockchain_identifier text NOT NULL,
        seller_vkey text NOT NULL,
        locked_at bigint NOT NULL,
        result_hash text NOT NULL,
        refund_intended boolean NOT NULL,
        error text NOT NULL,
        on_chain_state text,
        next_action text NOT NULL,
        error_type text NOT NULL,
        chain_result_hash text NOT NULL,
        changed_at bigint NOT NULL,
        provider_updated_at bigint NOT NULL,
        created_at bigint NOT NULL,
        updated_at bigint NOT NULL,
        ended boolean NOT NULL,
        revision bigint NOT NULL UNIQUE,           -- of the last change: higher than any that was committed before
        EXCLUDE USING hash ((network || '/' || blockchain_identifier) WITH =) WHERE (blockchain_identifier <> '')
    );
    CREATE INDEX payments_owner ON payments (owner, number);
    CREATE INDEX payments_open ON payments (payment_id) WHERE NOT ended;
    CREATE TABLE cursors (                         -- up to where changes have been taken in
        source text PRIMARY KEY,                   -- network/provider
        since bigint NOT NULL
    );
    """,
    requests.MIGRATION,
    turns.MIGRATION,
]


class PostgresStore:
    """Keeps payments in a `meshkit.postgres.Database` made with `MIGRATIONS`, which the caller opens and closes."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def request(self, owner: str, request_id: str) -> Request | None:
        """Return a request that has been carried out."""
        return await self._db.read(lambda connection: requests.find(connection, owner, request_id))

    async def record(self, payment: Payment, given: Terms | None = None, request: Request | None = None) -> Payment:
        """Keep the payment unless the job has one."""
        columns = f"{rows.COLUMNS}, ended, revision"
        marks = ", ".join(f"${number}" for number in range(1, len(rows.FIELDS) + 3))
        sql = f"INSERT INTO payments ({columns}) VALUES ({marks}) ON CONFLICT (payment_id) DO NOTHING"

        async def work(connection: Connection) -> Payment:
            await requests.keep(connection, request, clock.now())  # not by the provider's: that may jump
            values = rows.values_of(payment)
            await connection.execute(sql, *values, await _next_revision(connection))
            kept = await _get(connection, payment.payment_id)
            return domain.check_same(kept, payment.owner, given or payment.terms)

        return await self._db.write(work)

    async def update(self, payment_id: str, rule: Rule) -> tuple[Payment, Payment]:
        """Apply a rule under the payment's lock."""
        sets = ", ".join(f"{field} = ${number}" for number, field in enumerate((*rows.FIELDS, "ended"), start=3))
        sql = f"UPDATE payments SET {sets}, revision = $2 WHERE payment_id = $1"

        async def work(connection: Connection) -> tuple[Payment, Payment]:
            before = await _get(connection, payment_id, lock="FOR UPDATE")
            after = rule(before)
            if after != before:
                revision = await _next_revision(connection)
                await connection.execute(sql, payment_id, revision, *rows.values_of(after))
            return before, after

        return await self._db.write(work, key=payment_id)

    async def get(self, payment_id: str) -> Payment:
        """Return the payment, or raise `NotFound`."""
        return await self._db.read(lambda connection: _get(connection, payment_id))

    async def by_identifier(self, network: str, blockchain_identifier: str) -> Payment | None:
        """Return the payment with this identifier."""
        # The conditions are the index's own: without them it is not used.
        sql = (
            f"SELECT {rows.COLUMNS} FROM payments"
            " WHERE network || '/' || blockchain_identifier = $1 AND blockchain_identifier <> ''"
        )
        row = await self._db.fetchrow(sql, f"{network}/{blockchain_identifier}")
        return rows.payment_of(tuple(row)) if row is not None else None

    async def unended(self, network: str = "", after: str = "", limit: int = 500) -> list[Payment]:
        """Return payments that have not ended, by id."""
        sql = (
            f"SELECT {rows.COLUMNS} FROM payments WHERE NOT ended AND $1 IN ('', network) AND payment_id > $2"
            " ORDER BY payment_id LIMIT $3"
        )
        return [rows.payment_of(tuple(row)) for row in await self._db.fetch(sql, network, after, limit)]

    async def revision(self) -> int:
        """Return the number of the last change."""
        return int(await self._db.fetchval("SELECT coalesce(max(revision), 0) FROM payments"))

    async def changed(self, after: int, limit: int) -> list[tuple[int, Payment]]:
        """Return payments that have changed since."""
        sql = f"SELECT revision, {rows.COLUMNS} FROM payments WHERE revision > $1 ORDER BY revision LIMIT $2"
        return _numbered(await self._db.fetch(sql, after, limit))

    async def page(self, owner: str, before: int, limit: int) -> list[tuple[int, Payment]]:
        """Return a page, newest first."""
        narrow = "owner = $3 AND " if owner else ""
        sql = f"SELECT number, {rows.COLUMNS} FROM payments WHERE {narrow}number < $1 ORDER BY number DESC LIMIT $2"
        return _numbered(await self._db.fetch(sql, before or 2**62, limit, *([owner] if owner else [])))

    async def cursor(self, source: str) -> int:
        """Return up to when the changes have been taken in."""
        return int(await self._db.fetchval("SELECT since FROM cursors WHERE source = $1", source) or 0)

    async def save_cursor(self, source: str, since: int) -> None:
        """Keep it."""
        sql = "INSERT INTO cursors VALUES ($1, $2) ON CONFLICT (source) DO UPDATE SET since = excluded.since"
        await self._db.write(lambda connection: connection.execute(sql, source, since))


async def _get(connection: Connection, payment_id: str, lock: str = "") -> Payment:
    row = await connection.fetchrow(f"SELECT {rows.COLUMNS} FROM payments WHERE payment_id = $1 {lock}", payment_id)
    if row is None:
        raise domain.no_payment(payment_id)
    return rows.payment_of(tuple(row))


async def _next_revision(connection: Connection) -> int:
    await postgres.lock(connection, "revisions")  # or a higher one would be seen before a lower, which is then missed
    return int(await connection.fetchval("SELECT coalesce(max(revision), 0) + 1 FROM payments"))


def _numbered(found: list[Any]) -> list[tuple[int, Payment]]:
    return [(row[0], rows.payment_of(tuple(row)[1:])) for row in found]


@contextlib.asynccontextmanager
async def opened(place: PostgresDatabase) -> AsyncIterator[tuple[PostgresStore, PostgresTurns]]:
    """Keep everything there for the length of the block."""
    async with postgres.opened(place, "payments", MIGRATIONS) as database:
        yield PostgresStore(database), PostgresTurns(database)
