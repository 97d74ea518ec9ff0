"""Every store of the runner keeps the same promises."""

import dataclasses
import functools

import pytest

from meshkit.errors import AlreadyExists, FailedPrecondition, NotFound
from meshkit.idempotency import Request
from services.runner.domain import (
    Birth,
    Change,
    Event,
    Job,
    Lock,
    LockEnd,
    LockState,
    PaymentStep,
    PlacedApp,
    State,
)
from services.runner.ports.store import DELETED_KEPT_S, LockQuery, TooManyOpen, Written
from tests.runner.stores.conftest import Store


def job(number: int, owner: str = "users/a", **more: object) -> Job:
    """Return a queued job; larger numbers are newer."""
    fields = {"flow": "flows/demo", "state": State.QUEUED, "created_at": 1.0, "updated_at": 1.0, **more}
    return Job(job_id=f"{number:024x}", owner=owner, **fields)  # type: ignore[arg-type]


async def create(store: Store, new: Job, events: list[Event], request: Request | None) -> Written:
    """Keep one job."""
    (written,) = await store.create([Birth(job=new, events=tuple(events))], request)
    return written


def event(payload: str) -> Event:
    """Return a debug event."""
    return Event(kind="debug", payload=payload, time=2.0, detail="d")


async def test_a_created_job_is_found_with_its_log(store: Store) -> None:
    """The head of the log is numbered from 1."""
    kept, events = await create(store, job(1), [event("a"), event("b")], None)

    assert kept == await store.get(kept.job_id)
    assert 2 == kept.last_seq
    assert events == await store.events(kept.job_id, 0, 10)
    assert [1, 2] == [e.seq for e in events]


async def test_an_id_is_taken_once(store: Store) -> None:
    """A second job of the same id is refused and changes nothing."""
    await create(store, job(1), [event("a")], None)

    with pytest.raises(AlreadyExists):
        await create(store, job(1), [event("b")], None)

    assert ["a"] == [e.payload for e in await store.events(job(1).job_id, 0, 10)]


async def test_a_request_is_made_once(store: Store) -> None:
    """The second create of a request leaves no job; another owner's request is another."""
    request = Request(owner="users/a", request_id="r", body_hash="h", answer=b"answer")
    await create(store, job(1), [], request)

    with pytest.raises(AlreadyExists):
        await create(store, job(2), [], request)
    await create(store, job(3), [], dataclasses.replace(request, owner="users/b"))

    assert request == await store.request("users/a", "r")
    assert await store.request("users/a", "other") is None
    with pytest.raises(NotFound):
        await store.get(job(2).job_id)


def _append(payload: str, found: Job) -> Change:
    return Change(job=found, events=(event(payload),))


async def test_requests_are_not_kept_for_ever(store: Store) -> None:
    """An id that is old enough may be used anew; the job it made stays."""
    request = Request(owner="users/a", request_id="r", body_hash="h", answer=b"answer")
    await create(store, job(1, created_at=10.0), [], request)

    await store.forget_requests(10.0)
    kept = await store.request("users/a", "r")
    await store.forget_requests(10.5)
    forgotten = await store.request("users/a", "r")
    await create(store, job(2), [], request)

    assert request == kept
    assert forgotten is None
    assert 10.0 == (await store.get(job(1).job_id)).created_at


async def test_updates_append_without_gaps(store: Store) -> None:
    """The store numbers what a rule appends, and the job's `last_seq` follows."""
    await create(store, job(1), [event("0")], None)
    for number in range(1, 5):
        await store.update(job(1).job_id, functools.partial(_append, str(number)))

    log = await store.events(job(1).job_id, 0, 10)

    assert [("0", 1), ("1", 2), ("2", 3), ("3", 4), ("4", 5)] == [(e.payload, e.seq) for e in log]
    assert 5 == (await store.get(job(1).job_id)).last_seq
    assert ["3", "4"] == [e.payload for e in await store.events(job(1).job_id, 3, 10)]
    assert ["1", "2"] == [e.payload for e in await store.events(job(1).job_id, 1, 2)]


async def test_a_rule_that_raises_changes_nothing(store: Store) -> None:
    """The exception comes out; the job and its log are as before."""
    kept, _ = await create(store, job(1), [], None)

    def refuse(found: Job) -> Change:
        raise FailedPrecondition("no")

    with pytest.raises(FailedPrecondition):
        await store.update(kept.job_id, refuse)

    assert kept == await store.get(kept.job_id)


async def test_what_is_not_there_is_not_found(store: Store) -> None:
    """Get, update and delete say so; a log that is not there is empty."""
    with pytest.raises(NotFound):
        await store.get("f" * 24)
    with pytest.raises(NotFound):
        await store.update("f" * 24, lambda found: Change(job=found))
    with pytest.raises(NotFound):
        await store.delete("f" * 24, 0.0)

    assert [] == await store.events("f" * 24, 0, 10)


async def test_lists_are_newest_first_and_narrowed(store: Store) -> None:
    """By owner, by text in any case, and behind a job."""
    for number in range(1, 5):
        await create(store, job(number, inputs_json=f'{{"topic":"Number {number}"}}'), [], None)
    await create(store, job(9, owner="users/b"), [], None)

    async def ids(owner: str | None, query: str, before: str, limit: int) -> list[int]:
        return [int(found.job_id, 16) for found in await store.find(owner, query, before, limit)]

    assert [4, 3, 2, 1] == await ids("users/a", "", "", 10)
    assert [9, 4] == await ids(None, "", "", 2)
    assert [3] == await ids("users/a", "nUMBER 3", "", 10)
    assert [2, 1] == await ids("users/a", "", job(3).job_id, 10)


async def test_pages_are_bounded_by_bytes(store: Store) -> None:
    """A list ends with the job that makes it too large, a log with the event that does; both go on behind it."""
    large = "é" * 1_000_000  # a little less than 2 MiB
    for number in range(1, 7):
        await create(store, job(number, inputs_json=large), [event(large)] * 6, None)

    jobs = await store.find(None, "", "", 100)
    more = await store.find("users/a", "", jobs[-1].job_id, 100)
    events = await store.events(jobs[0].job_id, 0, 100)
    rest = await store.events(jobs[0].job_id, events[-1].seq, 100)

    assert [6, 5, 4] == [int(job.job_id, 16) for job in jobs]
    assert [3, 2, 1] == [int(job.job_id, 16) for job in more]
    assert [1, 2, 3] == [event.seq for event in events]
    assert [4, 5, 6] == [event.seq for event in rest]


async def test_open_jobs_are_those_that_have_not_ended(store: Store) -> None:
    """Oldest first."""
    for number, state in enumerate((State.RUNNING, State.SUCCEEDED, State.QUEUED, State.CANCELLED, State.FAILED), 1):
        await create(store, job(number, state=state), [], None)

    assert [1, 3] == [int(found.job_id, 16) for found in await store.open_jobs()]


async def test_an_owners_open_jobs_are_limited(store: Store) -> None:
    """All or none of a launch; what has ended or is forgotten counts no more, and nobody else's does."""

    async def begin(*numbers: int, owner: str = "users/a") -> bool:
        births = [Birth(job=job(number, owner=owner), events=()) for number in numbers]
        try:
            return bool(await store.create(births, None, open_max=3))
        except TooManyOpen:
            return False

    taken = [await begin(1, 2), await begin(3, 4), await begin(3), await begin(4), await begin(5, owner="users/b")]
    await store.update(job(1).job_id, lambda now: Change(job=dataclasses.replace(now, state=State.STARTING)))
    still = await begin(4)
    await store.update(job(1).job_id, lambda now: Change(job=dataclasses.replace(now, state=State.FAILED)))
    await store.update(job(1).job_id, lambda now: Change(job=dataclasses.replace(now, error="why")))
    ended = [await begin(4), await begin(6)]
    await store.delete(job(1).job_id, 0.0)
    await store.delete(job(2).job_id, 0.0)
    gone = [await begin(6), await begin(7)]

    assert ([True, False, True, False, True], False) == (taken, still)
    assert ([True, False], [True, False]) == (ended, gone)
    assert await store.create([Birth(job=job(8), events=())], None)
    with pytest.raises(NotFound):
        await store.get(job(7).job_id)


async def test_a_deleted_job_is_gone_with_its_log(store: Store) -> None:
    """Nothing of it is left."""
    await create(store, job(1), [event("a")], None)

    await store.delete(job(1).job_id, 0.0)

    with pytest.raises(NotFound):
        await store.get(job(1).job_id)
    assert [] == await store.events(job(1).job_id, 0, 10)


async def test_a_deleted_job_is_remembered_for_a_while(store: Store) -> None:
    """To its owner, from a moment on, the last first; after a week nothing is left of it."""
    for number, owner in enumerate(("users/a", "users/a", "users/b", "users/a"), 1):
        await create(store, job(number, owner=owner), [], None)
    for number in (1, 2, 3):
        await store.delete(job(number).job_id, 100.0 + number)

    assert [job(2).job_id, job(1).job_id] == await store.deleted("users/a", 0.0, 10)
    assert [job(2).job_id] == await store.deleted("users/a", 102.0, 10)
    assert [job(2).job_id] == await store.deleted("users/a", 0.0, 1)

    await store.delete(job(4).job_id, 102.5 + DELETED_KEPT_S)

    assert [job(4).job_id] == await store.deleted("users/a", 0.0, 10)
    assert [job(3).job_id] == await store.deleted("users/b", 0.0, 10)


async def test_apps_are_kept_by_expose(store: Store) -> None:
    """The newest stands; one that is deleted is gone."""
    app = PlacedApp(
        expose="b", import_path="m:a", runtime_env_json="{}", deployments_json="[]", fork=False, host_ids=("b-1",)
    )
    await store.save_app(dataclasses.replace(app, host_ids=("b-0", "b-2")))
    await store.save_app(app)
    await store.save_app(dataclasses.replace(app, expose="a"))

    assert [dataclasses.replace(app, expose="a"), app] == await store.apps()
    await store.delete_app("a")
    await store.delete_app("a")
    assert [app] == await store.apps()


def lock(number: int, job_id: str = job(1).job_id, **more: object) -> Lock:
    """Return a pending lock; larger numbers are newer and expire sooner."""
    fields = {"owner": "users/a", "title": "t", "elements_json": "[]", "data_json": "{}", **more}
    return Lock(lock_id=str(number), job_id=job_id, created_at=float(number), expires_at=100.0 - number, **fields)  # type: ignore[arg-type]


async def test_locks_change_with_their_job(store: Store) -> None:
    """They are opened and ended in the same step, and listed newest first or by their expiry."""
    await create(store, job(1), [], None)
    await store.update(job(1).job_id, lambda found: Change(job=found, opened=(lock(1), lock(2), lock(3))))
    end = LockEnd(lock_id="2", state=LockState.ANSWERED, at=5.0, by="users/b", result_json="1")
    await store.update(job(1).job_id, lambda found: Change(job=found, ended=(end,)))

    answered = dataclasses.replace(
        lock(2), state=LockState.ANSWERED, answered_at=5.0, answered_by="users/b", result_json="1"
    )
    assert answered == await store.get_lock("2")
    assert ["1", "2", "3"] == [asked.lock_id for asked in await store.asked(job(1).job_id)]
    assert ["3", "1"] == await store.pending_locks()
    assert [lock(3), lock(1)] == await store.find_locks(LockQuery(owner="users/a"), 10)
    assert [answered, lock(1)] == await store.find_locks(LockQuery(ended=True, before=(3.0, "3")), 10)
    assert [] == await store.find_locks(LockQuery(owner="users/x"), 10)
    with pytest.raises(NotFound):
        await store.get_lock("9")


async def test_locks_go_with_their_job(store: Store) -> None:
    """A deleted job leaves none."""
    await create(store, job(1), [], None)
    await store.update(job(1).job_id, lambda found: Change(job=found, opened=(lock(1),)))

    await store.delete(job(1).job_id, 0.0)

    assert [] == await store.pending_locks()


async def test_what_must_be_told_is_found_again(store: Store) -> None:
    """Jobs whose end the payments service has not heard, and what they keep for it."""
    told = dataclasses.replace(job(1), payment_json="{}", pending_locks=("a", "b"), payment_step=PaymentStep.LOCKED)
    await create(store, told, [], None)
    await create(store, job(2), [], None)
    await store.update(
        told.job_id, lambda found: Change(job=dataclasses.replace(found, payment_todo="refund", due_at=7.0))
    )

    (found_id,) = await store.todo_jobs("", 10)
    found = await store.get(found_id)

    assert ("refund", 7.0, ("a", "b"), PaymentStep.LOCKED) == (
        found.payment_todo,
        found.due_at,
        found.pending_locks,
        found.payment_step,
    )


async def test_an_update_may_be_a_request_too(store: Store) -> None:
    """A second update of the same request changes nothing."""
    await create(store, job(1), [], None)
    request = Request(owner="users/a", request_id="r", body_hash="h", answer=b"x")
    await store.update(job(1).job_id, functools.partial(_append, "1"), request)

    with pytest.raises(AlreadyExists):
        await store.update(job(1).job_id, functools.partial(_append, "2"), request)

    assert ["1"] == [e.payload for e in await store.events(job(1).job_id, 0, 10)]
