"""What a job is told of its locks: without forms, and no more than it can be told."""

import dataclasses

import pytest

from services.runner.domain import Asked, Birth, Change, Lock, LockEnd, LockState, State, pages
from services.runner.ports.store import ASKED_BYTES_MAX, LockQuery
from tests.runner.stores.conftest import Store
from tests.runner.stores.test_stores import job, lock

JOB_ID = job(1).job_id
MEGABYTE = 1024 * 1024


async def opened(store: Store, *locks: Lock) -> None:
    """Have a job open locks."""
    await store.create([Birth(job=job(1, state=State.RUNNING))], None)
    await store.create([Birth(job=job(2, state=State.RUNNING))], None)
    for one in locks:
        await store.update(one.job_id, lambda found, one=one: Change(job=found, opened=(one,)))  # type: ignore[misc]


async def end(store: Store, lock_id: str, state: LockState, **more: object) -> LockEnd:
    """End a lock."""
    ended = LockEnd(lock_id=lock_id, state=state, at=5.0, **more)  # type: ignore[arg-type]
    await store.update(JOB_ID, lambda found: Change(job=found, ended=(ended,)))
    return dataclasses.replace(ended, at=5.0 if state == LockState.ANSWERED else 0.0)


def asked_of(lock: Lock, state: LockState, result_json: str = "", sealed: bytes = b"") -> Asked:
    """Return what a job is told of a lock."""
    return Asked(
        lock_id=lock.lock_id,
        title=lock.title,
        data_json=lock.data_json,
        state=state,
        result_json=result_json,
        sealed=sealed,
    )


async def test_what_was_asked_is_told_in_its_order(store: Store) -> None:
    """Whatever the ids are; not what was closed, and nothing of another job."""
    first, second, third = (lock(n, data_json=f'{{"n":{n}}}') for n in (1, 2, 3))
    first, third = (dataclasses.replace(one, created_at=10.0 - one.created_at) for one in (first, third))
    await opened(store, first, second, third, lock(4), lock(5, job_id=job(2).job_id))
    await end(store, "4", LockState.CLOSED)
    await end(store, "1", LockState.ANSWERED, by="users/b", result_json='"*"', sealed=b"s")
    await end(store, "3", LockState.EXPIRED)

    assert [
        asked_of(second, LockState.PENDING),
        asked_of(third, LockState.EXPIRED),
        asked_of(first, LockState.ANSWERED, '"*"', b"s"),
    ] == await store.asked(JOB_ID)
    assert [] == await store.asked(job(3).job_id)


@pytest.mark.parametrize("form", ["[]", "x" * 2 * MEGABYTE], ids=["plain", "with large forms"])
async def test_no_more_is_read_than_can_be_told(store: Store, form: str) -> None:
    """It ends with the lock that is too much; forms do not count, and closed ones have no part in it."""
    closed = [lock(n, data_json="x" * MEGABYTE, elements_json=form, state=LockState.CLOSED) for n in (1, 2, 3, 4, 5)]
    await opened(store, *closed, *(lock(n, data_json="x" * MEGABYTE, elements_json=form) for n in range(11, 18)))
    await end(store, "13", LockState.ANSWERED, result_json="x" * MEGABYTE)

    asked = await store.asked(JOB_ID)

    assert ["11", "12", "13"] == [one.lock_id for one in asked]
    assert sum(map(pages.bytes_of_asked, asked)) > ASKED_BYTES_MAX


async def test_how_locks_have_ended_is_told_some_at_a_time(store: Store) -> None:
    """In the order of their ids, the closed ones too; not those that are open."""
    await opened(store, *(lock(n, elements_json="x" * MEGABYTE) for n in (1, 2, 3, 4)), lock(5, job_id=job(2).job_id))
    closed = await end(store, "4", LockState.CLOSED)
    answered = await end(store, "1", LockState.ANSWERED, by="users/b", result_json='"a"', sealed=b"s")
    expired = await end(store, "2", LockState.EXPIRED)

    assert [answered, expired, closed] == await store.lock_ends(JOB_ID, "", 10)
    assert [answered, expired] == await store.lock_ends(JOB_ID, "", 2)
    assert [closed] == await store.lock_ends(JOB_ID, "2", 10)
    assert [] == await store.lock_ends(JOB_ID, "4", 10)


async def test_large_answers_are_told_a_page_at_a_time(store: Store) -> None:
    """The next page begins behind the one that was too much."""
    await opened(store, *(lock(n) for n in (1, 2, 3, 4)))
    for lock_id in ("1", "2", "3", "4"):
        await end(store, lock_id, LockState.ANSWERED, by="users/b", result_json="x" * 3 * MEGABYTE)

    pages_of_ids = []
    after = ""
    while ends := await store.lock_ends(JOB_ID, after, 10):
        pages_of_ids.append([one.lock_id for one in ends])
        after = ends[-1].lock_id

    assert [["1", "2"], ["3", "4"]] == pages_of_ids


async def test_lists_of_large_locks_are_in_order_and_bounded(store: Store) -> None:
    """The newest first, up to the one that is too much for a page."""
    await opened(store, *(lock(n, elements_json="x" * 3 * MEGABYTE) for n in (3, 1, 4, 2)))

    first = await store.find_locks(LockQuery(job_id=JOB_ID, ended=True), 10)
    rest = await store.find_locks(LockQuery(job_id=JOB_ID, ended=True, before=(3.0, "3")), 10)

    assert [["4", "3"], ["2", "1"]] == [[one.lock_id for one in found] for found in (first, rest)]
