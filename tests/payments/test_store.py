"""Every payment store keeps the same promises."""

import asyncio
import dataclasses
import datetime
import pathlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from meshkit.errors import AlreadyExists, NotFound
from meshkit.sqlite import Database
from services.payments.domain import Payment
from services.payments.store import MIGRATIONS, MemoryStore, PaymentStore, SqliteStore

ADA, BOB = "users/ada", "users/bob"
NOON = datetime.datetime(2030, 1, 1, 12, 0, 0, 123_457, tzinfo=datetime.UTC)


@pytest_asyncio.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> AsyncIterator[PaymentStore]:
    """Each kind of store, empty."""
    if request.param == "memory":
        yield MemoryStore()
        return
    database = Database(tmp_path / "payments.db", MIGRATIONS)
    database.open()
    yield SqliteStore(database)
    await database.close()


def payment(payment_id: str = "1", owner: str = ADA, amount: str = "9" * 38) -> Payment:
    """Return a payment."""
    return Payment(payment_id=payment_id, owner=owner, amount=amount, unit="lovelace", created_at=NOON)


async def test_a_payment_comes_back_as_it_went_in(store: PaymentStore) -> None:
    """To the last digit and microsecond."""
    assert payment() == await store.record(payment())
    assert payment() == await store.get("1")


async def test_a_job_has_one_payment(store: PaymentStore) -> None:
    """The same again gives the first one; something else is refused and changes nothing."""
    await store.record(payment())
    later = dataclasses.replace(payment(), created_at=NOON + datetime.timedelta(hours=1))

    assert payment() == await store.record(later)
    with pytest.raises(AlreadyExists):
        await store.record(payment(amount="1"))
    assert payment() == await store.get("1")
    assert len(await store.page("", 0, 10)) == 1


async def test_of_many_at_once_one_is_recorded(store: PaymentStore) -> None:
    """Whoever asks gets the same."""
    tries = [dataclasses.replace(payment(), created_at=NOON + datetime.timedelta(hours=n)) for n in range(20)]
    recorded = await asyncio.gather(*(store.record(attempt) for attempt in tries))

    assert len(set(recorded)) == 1


async def test_an_absent_payment_is_not_found(store: PaymentStore) -> None:
    """As the error says."""
    with pytest.raises(NotFound):
        await store.get("no")


async def test_payments_come_newest_first(store: PaymentStore) -> None:
    """Of one owner or of all, a page at a time; what is recorded meanwhile moves nothing."""
    for number in range(6):
        await store.record(payment(f"{number}", ADA if number % 2 else BOB))
    first = await store.page("", 0, 4)
    await store.record(payment("new"))
    rest = await store.page("", first[-1][0], 4)

    assert [found.payment_id for _, found in first + rest] == ["5", "4", "3", "2", "1", "0"]
    assert [found.payment_id for _, found in await store.page(BOB, 0, 9)] == ["4", "2", "0"]
    assert await store.page("users/eve", 0, 9) == []


async def test_payments_survive_a_restart(tmp_path: pathlib.Path) -> None:
    """An answer means on disk."""
    for _ in range(2):
        database = Database(tmp_path / "payments.db", MIGRATIONS)
        database.open()
        store = SqliteStore(database)
        assert payment() == await store.record(payment())
        assert len(await store.page("", 0, 9)) == 1
        await database.close()
