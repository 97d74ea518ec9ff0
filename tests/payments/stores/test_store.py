"""Every payment store keeps the same promises."""

import asyncio
import dataclasses
import pathlib
import sqlite3
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from meshkit.databases import PostgresDatabase
from meshkit.errors import AlreadyExists, Invalid, NotFound
from meshkit.idempotency import Request
from meshkit.sqlite import Database
from services.payments.domain import Payment, State
from services.payments.ports.store import PaymentStore
from services.payments.stores import postgres
from services.payments.stores.memory import MemoryStore
from services.payments.stores.sqlite import MIGRATIONS, SqliteStore
from tests.payments.terms import NOON, OWNER, at, terms
from tests.payments.terms import payment as new_payment

BOB = OWNER[:-1] + "0"


@pytest_asyncio.fixture(params=["memory", "sqlite", "postgres"])
async def store(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> AsyncIterator[PaymentStore]:
    """Each kind of store, empty."""
    if request.param == "memory":
        yield MemoryStore()
        return
    if request.param == "postgres":
        place = PostgresDatabase(request.getfixturevalue("postgres"))
        async with postgres.opened(place) as (kept, _):
            yield kept
        return
    database = Database(tmp_path / "payments.db", MIGRATIONS)
    database.open()
    yield SqliteStore(database)
    await database.close()


def payment(number: int = 1, owner: str = OWNER, network: str = "Preprod", now: int = NOON) -> Payment:
    """Return a payment."""
    return new_payment(f"jobs/{number:024x}", owner, now, network=network)


def full(number: int = 1, **given: object) -> Payment:
    """Return one in which every field says something."""
    locked = at(payment(number), "FundsLocked", result_hash="ff", error_type="Unknown", error_note="note")
    more = {"asked_amounts": ((9**35, "unit"),), "result_hash": "ee", "refund_intended": True, **given}
    return dataclasses.replace(locked, **more)  # type: ignore[arg-type]


async def test_a_payment_comes_back_as_it_went_in(store: PaymentStore) -> None:
    """Every field, to the last digit."""
    assert full() == await store.record(full())
    assert full() == await store.get(f"{1:024x}")


async def test_a_job_has_one_payment(store: PaymentStore) -> None:
    """The same again gives the first one; something else is refused and changes nothing."""
    await store.record(payment())

    assert payment() == await store.record(payment(now=NOON + 3_600_000), terms())
    with pytest.raises(AlreadyExists):
        await store.record(payment(owner=BOB))
    assert payment() == await store.get(payment().payment_id)
    assert len(await store.page("", 0, 10)) == 1


async def test_of_many_at_once_one_is_recorded(store: PaymentStore) -> None:
    """Whoever asks gets the same."""
    recorded = await asyncio.gather(*(store.record(payment(now=NOON + n), terms()) for n in range(20)))

    assert len(set(recorded)) == 1


async def test_an_absent_payment_is_not_found(store: PaymentStore) -> None:
    """As the error says."""
    with pytest.raises(NotFound):
        await store.get("no")
    with pytest.raises(NotFound):
        await store.update("no", lambda old: old)


async def test_an_update_is_one_step(store: PaymentStore) -> None:
    """Of many at once none is lost; what came before and after is told."""
    recorded = await store.record(payment())

    def count(old: Payment) -> Payment:
        return dataclasses.replace(old, changed_at=old.changed_at + 1)

    steps = await asyncio.gather(*(store.update(recorded.payment_id, count) for _ in range(50)))

    assert [(before.changed_at, after.changed_at) for before, after in steps] == [(n, n + 1) for n in range(50)]
    assert (await store.get(recorded.payment_id)).changed_at == 50


async def test_a_rule_that_refuses_changes_nothing(store: PaymentStore) -> None:
    """Its error comes out."""
    recorded = await store.record(payment())

    def refuse(old: Payment) -> Payment:
        raise Invalid("no")

    with pytest.raises(Invalid):
        await store.update(recorded.payment_id, refuse)
    assert recorded == await store.get(recorded.payment_id)


async def test_payments_are_found_by_their_identifier(store: PaymentStore) -> None:
    """On their network; one that has none yet is not found by none."""
    await store.record(full(1))
    await store.record(payment(2))

    assert await store.by_identifier("Preprod", "bb") == full(1)
    assert await store.by_identifier("Mainnet", "bb") is None
    assert await store.by_identifier("Preprod", "") is None


async def test_what_has_not_ended_is_listed_by_id(store: PaymentStore) -> None:
    """In pages, of one network or of all; what ends leaves."""
    for number in range(5):
        await store.record(payment(number, network="Preprod" if number % 2 else "Mainnet"))
    await store.update(f"{3:024x}", lambda old: dataclasses.replace(old, state=State.FAILED))

    def numbers(found: list[Payment]) -> list[int]:
        return [int(each.payment_id, 16) for each in found]

    assert numbers(await store.unended()) == [0, 1, 2, 4]
    assert numbers(await store.unended("Preprod")) == [1]
    assert numbers(await store.unended(limit=2)) == [0, 1]
    assert numbers(await store.unended(after=f"{1:024x}", limit=2)) == [2, 4]


async def test_changes_are_numbered(store: PaymentStore) -> None:
    """Each gets a number above all before; a payment that changed often comes once, where it changed last."""
    assert await store.revision() == 0
    for number in range(3):
        await store.record(payment(number))
    await store.record(payment(1))  # it is there: nothing changes
    seen = await store.revision()
    first = await store.changed(0, 2)
    await store.update(f"{0:024x}", lambda old: dataclasses.replace(old, changed_at=1))
    await store.update(f"{2:024x}", lambda old: dataclasses.replace(old, changed_at=1))
    await store.update(f"{0:024x}", lambda old: dataclasses.replace(old, changed_at=2))
    await store.update(f"{1:024x}", lambda old: old)  # a rule that has nothing to say
    changed = await store.changed(seen, 10)

    assert [int(found.payment_id, 16) for _, found in first] == [0, 1]
    assert [(int(found.payment_id, 16), found.changed_at) for _, found in changed] == [(2, 1), (0, 2)]
    assert await store.revision() == changed[-1][0] > changed[0][0] > seen
    assert await store.changed(changed[-1][0], 10) == []


async def test_a_request_is_kept_with_its_payment(store: PaymentStore) -> None:
    """Also with one that was there; a request that was made before records nothing."""
    asked = Request(owner="services/runner", request_id="r1", body_hash="h", answer=b"1")
    await store.record(payment(1))
    await store.record(payment(1), terms(), asked)
    with pytest.raises(AlreadyExists):
        await store.record(payment(2), None, asked)

    assert asked == await store.request("services/runner", "r1")
    assert await store.request("users/eve", "r1") is None
    with pytest.raises(NotFound):
        await store.get(f"{2:024x}")


async def test_cursors_are_kept_by_network(store: PaymentStore) -> None:
    """0 at first."""
    await store.save_cursor("Preprod", 5)
    await store.save_cursor("Preprod", 7)

    assert (await store.cursor("Preprod"), await store.cursor("Mainnet")) == (7, 0)


async def test_payments_come_newest_first(store: PaymentStore) -> None:
    """Of one owner or of all, a page at a time; what is recorded meanwhile moves nothing."""
    for number in range(6):
        await store.record(payment(number, OWNER if number % 2 else BOB))
    first = await store.page("", 0, 4)
    await store.record(payment(99))
    rest = await store.page("", first[-1][0], 4)

    assert [int(found.payment_id, 16) for _, found in first + rest] == [5, 4, 3, 2, 1, 0]
    assert [int(found.payment_id, 16) for _, found in await store.page(BOB, 0, 9)] == [4, 2, 0]
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


async def test_what_the_first_version_recorded_is_kept(tmp_path: pathlib.Path) -> None:
    """It had an amount and nobody to ask: it shows up as failed, in its place, and is not worked on."""
    path = tmp_path / "payments.db"
    connection = sqlite3.connect(path)
    connection.executescript(f"{MIGRATIONS[0]}; PRAGMA user_version = 1;")
    with connection:
        connection.execute(
            "INSERT INTO payments VALUES (7, 'old', 'users/ada', '5', 'lovelace', 'created', 1700000000123456)"
        )
    connection.close()
    database = Database(path, MIGRATIONS)
    database.open()
    store = SqliteStore(database)
    [(number, found)] = await store.page("", 0, 9)
    await store.record(payment())

    assert (number, found.payment_id, found.state, found.amounts) == (7, "old", State.FAILED, ((5, ""),))
    assert found.created_at == 1_700_000_000_123
    assert [each.payment_id for each in await store.unended()] == [payment().payment_id]
    assert [number for number, _ in await store.page("", 0, 9)] == [8, 7]
    await database.close()
