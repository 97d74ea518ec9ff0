"""What comes at once is written as if it came one after the other, by every store; PostgreSQL writes it together."""

import asyncio
import dataclasses
from collections.abc import Callable

from meshkit.errors import AlreadyExists, FailedPrecondition, NotFound
from meshkit.idempotency import Request
from services.runner.domain import Birth, Change, Event, Job, Lock, LockEnd, LockState, Role, State
from services.runner.ports.store import TooManyOpen
from tests.runner.stores.conftest import Store
from tests.runner.stores.test_records import conversation, said
from tests.runner.stores.test_stores import job
from tests.runner.stores.test_webhooks import kinds, webhook

Rule = Callable[[Job], Change]
_LARGE = "x" * 3_000_000


def says(payload: str, **more: object) -> Rule:
    """Return a rule that appends an event, and has its job count what has happened to it."""

    def rule(found: Job) -> Change:
        event = Event(kind="debug", payload=payload, time=2.0)
        return Change(job=dataclasses.replace(found, epoch=found.epoch + 1), events=(event,), **more)  # type: ignore[arg-type]

    return rule


def refuses(found: Job) -> Change:
    """Refuse to change a job."""
    raise FailedPrecondition("no")


async def log(store: Store, number: int) -> list[tuple[int, str]]:
    """Return the log of a job: number and payload of each line."""
    return [(event.seq, event.payload) for event in await store.events(job(number).job_id, 0, 100)]


async def test_jobs_that_are_born_at_once(store: Store) -> None:
    """Who goes beyond a share, takes an id twice or repeats a request is refused alone; the others are there whole."""
    await store.conversations.add(conversation(1), None)
    request = Request(owner="users/a", request_id="r", body_hash="h", answer=b"answer")
    first = Event(kind="status", payload="queued", time=1.0)

    def born(*numbers: int, owner: str = "users/a", **more: object) -> list[Birth]:
        return [
            Birth(job=job(number, owner), events=(first,), brief=b"brief", **more)  # type: ignore[arg-type]
            for number in numbers
        ]

    outcomes = await asyncio.gather(
        store.create(born(1), None, open_max=6),
        store.create(born(2, 3), request, open_max=6),
        store.create(born(4, said=(said(4, Role.USER, "why?", 2.0),)), None, open_max=6),
        store.create(born(5, 6, 7, 8), None, open_max=6),
        store.create(born(9, owner="users/b"), None, open_max=1),
        store.create(born(10), None, open_max=6),
        return_exceptions=True,
    )
    repeated = await asyncio.gather(
        store.create(born(11), None, open_max=6),
        store.create(born(12), request, open_max=7),
        store.create(born(13, 2), None),
        return_exceptions=True,
    )

    assert [list, list, list, TooManyOpen, list, list] == [type(outcome) for outcome in outcomes]
    assert [list, AlreadyExists, AlreadyExists] == [type(outcome) for outcome in repeated]
    born_ids = [job(number).job_id for number in (1, 2, 3, 4, 9, 10, 11)]
    assert born_ids == [one.job_id for one in await store.open_jobs()]
    assert [b"brief"] * 7 == [await store.brief(job_id) for job_id in born_ids]
    assert [[(1, "queued")]] * 6 == [await log(store, number) for number in (1, 2, 3, 4, 10, 11)]
    assert ["why?"] == [one.content for one in await store.conversations.messages("c1", -1, 10)]


async def test_changes_that_come_at_once(store: Store) -> None:
    """Each sees what those before it have made of its job, whatever else is refused, large, or about other rows."""
    await store.conversations.add(conversation(1), None)
    await store.webhooks.add(webhook(1), None)
    births = [Birth(job=job(number, inputs_json=_LARGE if number == 4 else "{}")) for number in range(1, 6)]
    await store.create(births, None)
    request = Request(owner="users/a", request_id="r", body_hash="h", answer=b"x")
    lock = Lock(
        lock_id="l", job_id=job(5).job_id, owner="users/a", title="T", elements_json="[]", data_json="{}",
        created_at=1.0, expires_at=2.0,
    )  # fmt: skip
    changes: list[tuple[int, Rule, Request | None]] = [
        (1, says("a"), None),
        (2, says("a", said=(said(2, Role.ASSISTANT, "so", 2.0),)), None),
        (1, refuses, None),
        (9, says("?"), None),
        (4, says("a"), None),
        (5, says("a", opened=(lock,)), None),
        (3, says("a"), request),
        (3, says("b"), request),
        (1, says("b"), None),
        (2, says("b"), None),
        (4, says("b"), None),
        (5, says("b", ended=(LockEnd(lock_id="l", state=LockState.ANSWERED, at=3.0),)), None),
        (1, lambda found: Change(job=dataclasses.replace(found, state=State.RUNNING, attempt=1)), None),
    ]

    outcomes = await asyncio.gather(
        *(store.update(job(number).job_id, rule, request) for number, rule, request in changes), return_exceptions=True
    )

    failed = {2: FailedPrecondition, 3: NotFound, 7: AlreadyExists}
    assert failed == {place: type(one) for place, one in enumerate(outcomes) if isinstance(one, Exception)}
    both, only = [(1, "a"), (2, "b")], [(1, "a")]
    assert [both, both, only, both, both] == [await log(store, number) for number in range(1, 6)]
    found = [await store.get(job(number).job_id) for number in range(1, 6)]
    assert [(2, 2), (2, 2), (1, 1), (2, 2), (2, 2)] == [(one.epoch, one.last_seq) for one in found]
    assert (State.RUNNING, found[0]) == (found[0].state, outcomes[12][0])  # type: ignore[index]
    assert ["so"] == [one.content for one in await store.conversations.messages("c1", -1, 10)]
    assert LockState.ANSWERED == (await store.get_lock("l")).state
    told = ["job.created"] * 5 + ["job.started", "lock.answered", "lock.created"]
    assert told == sorted(await kinds(store))
    assert await store.stored_bytes("users/a") >= sum(one.stored_bytes for one in found)
