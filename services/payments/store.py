"""Where payments are kept: the port, in memory, and in SQLite.  `tests/payments/test_store.py` holds both to it."""

import datetime
import sqlite3
from typing import Any, Protocol

from meshkit.errors import NotFound
from meshkit.sqlite import Database
from services.payments import domain
from services.payments.domain import Payment, State

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
    """
]
_COLUMNS = "payment_id, owner, amount, unit, state, created_at"
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_US = datetime.timedelta(microseconds=1)


class PaymentStore(Protocol):
    """Keeps payments."""

    async def record(self, payment: Payment) -> Payment:
        """Keep the payment unless the job has one; return the one it has.

        Raises `AlreadyExists` if that one is for something else (`domain.check_same`).
        """

    async def get(self, payment_id: str) -> Payment:
        """Return the payment, or raise `NotFound`."""

    async def page(self, owner: str, before: int, limit: int) -> list[tuple[int, Payment]]:
        """Return up to `limit` payments with their numbers, newest first: those below `before` (0: from the top).

        `owner` narrows to one user; empty means everybody's.
        """


class MemoryStore:
    """A store that is gone with its process."""

    def __init__(self) -> None:
        self._payments: dict[str, Payment] = {}

    async def record(self, payment: Payment) -> Payment:
        """Keep the payment unless the job has one."""
        return domain.check_same(self._payments.setdefault(payment.payment_id, payment), payment)

    async def get(self, payment_id: str) -> Payment:
        """Return the payment, or raise `NotFound`."""
        try:
            return self._payments[payment_id]
        except KeyError:
            raise no_payment(payment_id) from None

    async def page(self, owner: str, before: int, limit: int) -> list[tuple[int, Payment]]:
        """Return a page, newest first."""
        numbered = list(enumerate(self._payments.values(), start=1))[::-1]
        mine = [(number, payment) for number, payment in numbered if not owner or payment.owner == owner]
        return [(number, payment) for number, payment in mine if not before or number < before][:limit]


class SqliteStore:
    """Keeps payments in a `meshkit.sqlite.Database` made with `MIGRATIONS`, which the caller opens and closes."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def record(self, payment: Payment) -> Payment:
        """Keep the payment unless the job has one."""
        values = (
            payment.payment_id,
            payment.owner,
            payment.amount,
            payment.unit,
            payment.state.value,
            (payment.created_at - _EPOCH) // _US,
        )

        def work(connection: sqlite3.Connection) -> Payment:
            sql = f"INSERT INTO payments ({_COLUMNS}) VALUES (?,?,?,?,?,?) ON CONFLICT (payment_id) DO NOTHING"
            connection.execute(sql, values)
            return domain.check_same(_get(connection, payment.payment_id), payment)

        return await self._db.write(work)

    async def get(self, payment_id: str) -> Payment:
        """Return the payment, or raise `NotFound`."""
        return self._db.read(lambda connection: _get(connection, payment_id))

    async def page(self, owner: str, before: int, limit: int) -> list[tuple[int, Payment]]:
        """Return a page, newest first."""
        condition = "owner = :owner AND " if owner else ""
        sql = f"SELECT number, {_COLUMNS} FROM payments WHERE {condition}number < :before ORDER BY number DESC"
        values = {"owner": owner, "before": before or 2**62, "limit": limit}
        rows = self._db.read(lambda connection: connection.execute(f"{sql} LIMIT :limit", values).fetchall())
        return [(row[0], _payment(row[1:])) for row in rows]


def no_payment(payment_id: str) -> NotFound:
    """Return the error for a payment that does not exist."""
    name = f"payments/{payment_id[:64]}"
    return NotFound(f"{name} not found", resource=name)


def _get(connection: sqlite3.Connection, payment_id: str) -> Payment:
    row = connection.execute(f"SELECT {_COLUMNS} FROM payments WHERE payment_id = ?", (payment_id,)).fetchone()
    if row is None:
        raise no_payment(payment_id)
    return _payment(row)


def _payment(row: tuple[Any, ...]) -> Payment:
    payment_id, owner, amount, unit, state, created_at = row
    return Payment(
        payment_id=payment_id,
        owner=owner,
        amount=amount,
        unit=unit,
        state=State(state),
        created_at=_EPOCH + created_at * _US,
    )
