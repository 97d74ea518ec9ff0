"""What is deleted is gone for readers at once, and leaves the tables in slices that others write between."""

import asyncio
import dataclasses
import pathlib

import pytest

from meshkit.errors import AlreadyExists, NotFound
from meshkit.idempotency import Request
from meshkit.sqlite import Database
from services.runner.domain import Birth, Change, Event, Layer, LockEnd, LockState, Role
from services.runner.domain.webhooks import Delivery, DeliveryState
from services.runner.ports.store import DELETED_KEPT_S, LockQuery
from services.runner.stores.memory import MemoryStore
from services.runner.stores.postgres import PostgresStore
from services.runner.stores.remains import FIRST, JOBS, ROWS_MAX, Left, Sweeper
from services.runner.stores.sqlite import SqliteStore
from services.runner.stores.sqlite.schema import MIGRATIONS
from tests.runner.sealing import SEALING
from tests.runner.stores.conftest import Store
from tests.runner.stores.test_records import conversation, memory, said
from tests.runner.stores.test_stores import job, lock
from tests.runner.stores.test_webhooks import webhook

MEGABYTE = 1024 * 1024
MANY = ROWS_MAX + 500
DEADLINE_S = 30


async def rows(store: Store, table: str) -> int:
    """Return how many rows a table has."""
    statement = f"SELECT count(*) FROM {table}"
    if isinstance(store, PostgresStore):
        return int(await store._database.fetchval(statement))
    assert isinstance(store, SqliteStore)
    return int(await store._database.query(lambda connection: connection.execute(statement).fetchone()[0]))


async def execute(store: SqliteStore | PostgresStore, statement: str) -> None:
    """Carry out a statement."""
    if isinstance(store, PostgresStore):
        await store._database.write(lambda connection: connection.execute(statement))
    else:
        await store._database.write(lambda connection: connection.execute(statement))


async def swept(store: Store, *tables: str) -> None:
    """Have swept what is left, of which there is some in each table, and nothing then."""
    if isinstance(store, MemoryStore):
        return
    assert all([await rows(store, table) for table in tables])
    await store.sweeper.settle()
    assert [0, 0] == [sum([await rows(store, table) for table in tables]), await rows(store, "remains")]


async def filled(store: Store, events: list[Event], locks: int = 0) -> None:
    """Have a job with a log and locks that have ended."""
    opened = tuple(dataclasses.replace(lock(number), lock_id=f"{number:06d}") for number in range(locks))
    ended = tuple(LockEnd(lock_id=one.lock_id, state=LockState.ANSWERED, at=2.0) for one in opened)
    await store.create([Birth(job=job(1))], None)
    await store.update(job(1).job_id, lambda found: Change(job=found, events=tuple(events), opened=opened))
    await store.update(job(1).job_id, lambda found: Change(job=found, ended=ended))


async def test_a_long_log_is_gone_at_once(store: Store) -> None:
    """Nobody reads it, nor what was asked, while it is swept; the owner has the room again, and others their logs."""
    line = Event(kind="stdout", payload="x", time=1.0)
    await filled(store, [line] * MANY, locks=MANY)

    await store.delete(job(1).job_id, 5.0)

    assert [] == await store.events(job(1).job_id, 0, 10)
    assert [] == await store.events_of(job(1).job_id, ("stdout",))
    assert [] == await store.find_locks(LockQuery(ended=True), 10)
    for absent in (store.get(job(1).job_id), store.get_lock("000000"), store.get_lock(f"{MANY - 1:06d}")):
        with pytest.raises(NotFound):
            await absent
    assert 0 == await store.stored_bytes("users/a")
    assert [job(1).job_id] == await store.deleted("users/a", 0.0, 10)
    await swept(store, "events", "locks")
    await store.create([Birth(job=job(2), events=(line,))], None)
    assert 1 == len(await store.events(job(2).job_id, 0, 10))


@pytest.mark.parametrize("count", [1, MANY])
async def test_the_id_of_a_job_that_was_deleted_stays_taken(store: Store, count: int) -> None:
    """Apps choose ids: what is left of the first would be read with the second, which would be swept with it."""
    line = Event(kind="stdout", payload="x", time=1.0)
    await filled(store, [line] * count)
    await store.delete(job(1).job_id, 5.0)

    for _ in range(2):  # before and after it is swept
        with pytest.raises(AlreadyExists):
            await store.create([Birth(job=job(2)), Birth(job=job(1), events=(line,))], None)
        if not isinstance(store, MemoryStore):
            await store.sweeper.settle()

    for number in (1, 2):
        with pytest.raises(NotFound):
            await store.get(job(number).job_id)
        assert [] == await store.events(job(number).job_id, 0, 10)
    await store.create([Birth(job=job(2))], None)


async def test_what_is_left_takes_an_id_though_its_job_is_remembered_no_more(store: Store) -> None:
    """Whatever keeps the sweeper from it for weeks."""
    await filled(store, [Event(kind="stdout", payload="x", time=1.0)] * MANY)
    await store.create([Birth(job=job(2))], None)
    await store.delete(job(1).job_id, 5.0)
    await store.delete(job(2).job_id, 6.0 + DELETED_KEPT_S)

    if not isinstance(store, MemoryStore):  # it keeps nothing of one
        with pytest.raises(AlreadyExists):
            await store.create([Birth(job=job(1))], None)
        await store.sweeper.settle()

    await store.create([Birth(job=job(1), events=(Event(kind="stdout", payload="y", time=9.0),))], None)
    assert ["y"] == [event.payload for event in await store.events(job(1).job_id, 0, 10)]


async def test_a_log_of_large_events_is_swept_by_its_bytes(store: Store) -> None:
    """A thousand of them may be gigabytes."""
    await filled(store, [Event(kind="stdout", payload="x" * MEGABYTE, time=1.0)] * 12)

    await store.delete(job(1).job_id, 5.0)

    assert [] == await store.events(job(1).job_id, 0, 10)
    await swept(store, "events")


async def test_a_long_conversation_is_gone_at_once(store: Store) -> None:
    """What its messages count for goes with them."""
    await store.conversations.add(conversation(1), None)
    await store.create([Birth(job=job(1))], None)
    counted = await store.stored_bytes("users/a") - 1000
    words = tuple(said(1, Role.USER, "why?", 2.0) for _ in range(MANY))
    await store.update(job(1).job_id, lambda found: Change(job=found, said=words))

    await store.conversations.delete("c1")

    assert [] == await store.conversations.messages("c1", -1, 10)
    assert [] == await store.conversations.last_messages("c1", job(2).job_id, 10)
    with pytest.raises(NotFound):
        await store.conversations.get("c1")
    await swept(store, "messages")
    assert counted == await store.stored_bytes("users/a")


async def test_a_webhook_that_has_much_to_say_is_gone_at_once(store: Store) -> None:
    """Nothing more of it is due, and nobody waits for it to be."""
    await store.webhooks.add(webhook(1), None)
    for number in range(MANY):
        due = Delivery(
            delivery_id=f"d{number:06d}", webhook_id="w1", owner="users/a", kind="test", job_id="", payload="{}",
            state=DeliveryState.PENDING, created_at=1.0, next_at=1.0, tried_until=9.0,
        )  # fmt: skip
        await store.webhooks.put(due)
    last = due

    await store.webhooks.delete("w1")

    assert ([], None) == (await store.webhooks.due(5.0), await store.webhooks.next_due())
    assert [] == await store.webhooks.deliveries("w1", "", 10)
    assert [] == await store.webhooks.claim("w1", 5.0, 6.0, 10)
    with pytest.raises(NotFound):
        await store.webhooks.delivery("w1", last.delivery_id)
    await swept(store, "deliveries")
    assert 0 == await store.stored_bytes("users/a")


async def test_what_is_left_is_swept_after_the_next_start(tmp_path: pathlib.Path) -> None:
    """Who was killed in the midst of it goes on."""
    for start in range(2):
        database = Database(tmp_path / "runner.db", MIGRATIONS, SEALING)
        database.open()
        store = SqliteStore(database)
        try:
            if not start:
                await filled(store, [Event(kind="stdout", payload="x", time=1.0)] * MANY)
                await store.delete(job(1).job_id, 5.0)
            else:
                await swept(store, "events")
        finally:
            await database.close()


async def test_what_cannot_be_swept_keeps_nothing_else(store: Store) -> None:
    """Nor does it end the service, at each start anew: it stays, such as what a later version has left."""
    if isinstance(store, MemoryStore):
        return
    await filled(store, [Event(kind="stdout", payload="x", time=1.0)] * MANY)
    await store.delete(job(1).job_id, 5.0)
    for kind in ("inventions", "zeppelins"):  # before jobs in the order, and behind
        await execute(store, f"INSERT INTO remains (kind, name, owner) VALUES ('{kind}', 'a', 'users/a')")

    for _ in range(2):
        await store.sweeper.settle()

    assert [0, 2] == [await rows(store, table) for table in ("events", "remains")]


async def test_a_sweeper_looks_when_something_is_left() -> None:
    """And before, for what somebody else has left."""
    slices, done = 3, asyncio.Event()

    async def behind(left: Left) -> Left | None:
        return (JOBS, "a") if left == FIRST and slices else None

    async def sweep(left: Left) -> bool:
        nonlocal slices
        slices -= 1
        if not slices:
            done.set()
        return slices > 0

    sweeper = Sweeper(behind, sweep, pause_s=0.0)
    running = asyncio.ensure_future(sweeper.run())
    try:
        async with asyncio.timeout(DEADLINE_S):
            await done.wait()
            slices = 2
            done.clear()
            sweeper.left()
            await done.wait()
    finally:
        running.cancel()


async def test_memory_is_cleared_and_requests_are_forgotten_to_the_last(store: Store) -> None:
    """However many slices that takes."""
    many = tuple(memory("x", layer=Layer.LONG) for _ in range(450))
    await store.create([Birth(job=job(1))], None)
    await store.update(job(1).job_id, lambda found: Change(job=found, remembered=many))
    for number in range(2, MANY // 10):
        asked = Request(owner="users/a", request_id=f"r{number}", body_hash="h", answer=b"a")
        await store.create([Birth(job=job(number))], asked)

    await store.forget_requests(1e12)

    assert 450 == await store.memories.clear("users/a", "crews/c", None)
    assert [] == await store.memories.find("users/a", "crews/c", None, 0, 10)
    assert await store.request("users/a", "r2") is None
