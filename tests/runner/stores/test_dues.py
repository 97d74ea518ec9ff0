"""What is looked for at each wake: ids and numbers, some at a time, however large the rows are that they stand in."""

import dataclasses
import pathlib
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import pytest
import pytest_asyncio

from meshkit.sqlite import Database
from services.runner.domain import Birth, Change, LockEnd, LockState, PaymentStep, State, attempts
from services.runner.stores.sqlite import SqliteStore
from services.runner.stores.sqlite.schema import MIGRATIONS
from tests.runner.sealing import SEALING
from tests.runner.stores.conftest import Store
from tests.runner.stores.test_stores import job, lock

T = TypeVar("T")


def numbers(job_ids: list[str]) -> list[int]:
    """Return the numbers that ids were made of."""
    return [int(job_id, 16) for job_id in job_ids]


async def keep(store: Store, number: int, state: State, **more: object) -> None:
    """Keep a job."""
    await store.create([Birth(job=job(number, state=state, **more))], None)  # type: ignore[arg-type]


async def test_what_payments_must_hear_is_found_some_at_a_time(store: Store) -> None:
    """A job whose purchaser was not asked, or whose end was not told; each once, and the oldest first."""
    await keep(store, 5, State.AWAITING_PAYMENT)
    await keep(store, 4, State.SUCCEEDED, payment_todo="refund")
    await keep(store, 3, State.AWAITING_PAYMENT, payment_step=PaymentStep.INITIALIZED)
    await keep(store, 2, State.AWAITING_PAYMENT, payment_todo="refund")
    await keep(store, 1, State.RUNNING)

    assert [2, 4, 5] == numbers(await store.todo_jobs("", 10))
    assert [2, 4] == numbers(await store.todo_jobs("", 2))
    assert [4, 5] == numbers(await store.todo_jobs(job(2).job_id, 10))
    assert [] == await store.todo_jobs(job(5).job_id, 10)


async def test_who_has_not_paid_is_found_some_at_a_time(store: Store) -> None:
    """A purchaser was asked, and the job waits; the oldest first, whoever owns them."""
    await keep(store, 1, State.AWAITING_PAYMENT)
    await keep(store, 2, State.AWAITING_PAYMENT, payment_step=PaymentStep.INITIALIZED, owner="users/b")
    await keep(store, 3, State.RUNNING, payment_step=PaymentStep.LOCKED)
    await keep(store, 4, State.AWAITING_PAYMENT, payment_step=PaymentStep.INITIALIZED)
    await keep(store, 5, State.CANCELLED, payment_step=PaymentStep.INITIALIZED)

    assert [2, 4] == numbers(await store.unpaid_jobs("", 10))
    assert [2] == numbers(await store.unpaid_jobs("", 1))
    assert [4] == numbers(await store.unpaid_jobs(job(2).job_id, 1))


async def test_when_a_job_is_started_again_is_known_without_it(store: Store) -> None:
    """As the job itself says."""
    policy = '{"attempts":5,"pause_s":2.0,"pause_s_max":60.0,"jitter":0.5,"on":[]}'
    kept = job(1, state=State.RETRYING, updated_at=7.0, epoch=5, attempt=2, failures=2, retries_json=policy)
    await store.create([Birth(job=kept)], None)

    (found,) = await store.retrying_jobs("", 10)

    assert attempts.due_at(kept) == attempts.due_at(found) > 7.0


async def test_locks_that_are_due_are_named_with_their_jobs(store: Store) -> None:
    """The first to expire first, and none that has ended."""
    await keep(store, 1, State.RUNNING)
    await store.update(job(1).job_id, lambda found: Change(job=found, opened=(lock(1), lock(2), lock(3), lock(4))))
    end = LockEnd(lock_id="3", state=LockState.CLOSED, at=5.0)
    await store.update(job(1).job_id, lambda found: Change(job=found, ended=(end,)))

    assert [("4", job(1).job_id), ("2", job(1).job_id)] == await store.due_locks(98.0, 10)
    assert [("4", job(1).job_id)] == await store.due_locks(98.0, 1)
    assert [] == await store.due_locks(95.0, 10)


async def test_locks_of_a_time_to_come_are_brought_back(store: Store) -> None:
    """They were opened while the clock was fast, and wait as long as they would have; others, and ended ones, stay."""
    await keep(store, 1, State.RUNNING)
    opened = [dataclasses.replace(lock(number), created_at=10.0 * number, expires_at=90.0) for number in range(1, 5)]
    await store.update(job(1).job_id, lambda found: Change(job=found, opened=tuple(opened)))
    end = LockEnd(lock_id="4", state=LockState.CLOSED, at=41.0)
    await store.update(job(1).job_id, lambda found: Change(job=found, ended=(end,)))
    await store.bring_back_locks(20.0)

    kept = [await store.get_lock(each.lock_id) for each in opened]
    assert [(10.0, 90.0), (20.0, 90.0), (20.0, 80.0), (40.0, 90.0)] == [
        (each.created_at, each.expires_at) for each in kept
    ]


class _Aside(Database):
    """A file of which the loop's own thread reads nothing."""

    async def read(self, work: Callable[[Any], T]) -> T:
        """Refuse."""
        raise AssertionError("read on the loop")


@pytest_asyncio.fixture
async def aside(tmp_path: pathlib.Path) -> AsyncIterator[SqliteStore]:
    """Yield a store that cannot read on the loop's thread."""
    database = _Aside(tmp_path / "runner.db", MIGRATIONS, SEALING)
    database.open()
    yield SqliteStore(database)
    await database.close()


@pytest.mark.parametrize("state", [State.RETRYING, State.AWAITING_PAYMENT])
async def test_the_loop_reads_no_rows_that_may_be_large(aside: SqliteStore, state: State) -> None:
    """Reading threads do, while everybody else goes on."""
    await aside.create([Birth(job=job(1, state=state))], None)
    await aside.update(job(1).job_id, lambda found: Change(job=found, opened=(lock(1),)))

    retrying = [one.job_id for one in await aside.retrying_jobs("", 10)]

    assert [job(1).job_id] == [*retrying, *await aside.todo_jobs("", 10), *await aside.unpaid_jobs("", 10)]
    assert [("1", job(1).job_id)] == await aside.due_locks(99.0, 10)
    assert ["1"] == [asked.lock_id for asked in await aside.asked(job(1).job_id)]
    assert [] == await aside.lock_ends(job(1).job_id, "", 10)
    assert lock(1) == await aside.get_lock("1")
