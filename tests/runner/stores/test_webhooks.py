"""Webhooks: every store keeps the same promises, and tells them of jobs in the jobs' own writes."""

import dataclasses
import functools
from collections.abc import Callable

import pytest

from meshkit.errors import AlreadyExists, NotFound
from meshkit.idempotency import Request
from services.runner.domain import Birth, Change, Job, Lock, LockEnd, LockState, PaymentStep, Reason, State
from services.runner.domain import webhooks as rules
from services.runner.domain.webhooks import Answer, Delivery, DeliveryState, Webhook
from services.runner.ports.webhooks import TooManyWebhooks
from tests.runner.stores.conftest import Store
from tests.runner.stores.test_stores import job


def webhook(number: int = 1, **more: object) -> Webhook:
    """Return a webhook; larger numbers are newer."""
    fields = {"owner": "users/a", "display_name": "", "url": "https://example.com", "kinds": (), "targets": (), **more}
    return Webhook(webhook_id=f"w{number}", created_at=1.0, updated_at=1.0, **fields)  # type: ignore[arg-type]


async def kinds(store: Store, number: int = 1) -> list[str]:
    """Return what a webhook is to be told, the oldest first."""
    return [each.kind for each in (await store.webhooks.deliveries(f"w{number}", "", 100))[::-1]]


async def test_a_webhook_is_kept_as_it_is(store: Store) -> None:
    """Every field of it; an owner has so many at most, and a request is made once."""
    made = webhook(kinds=("job.*",), targets=("flows/é",), sealed=b"\0s", sealed_before=b"b", before_until=2.0)
    request = Request(owner="users/a", request_id="r", body_hash="h", answer=b"w1")
    await store.webhooks.add(made, request, count_max=1)

    assert made == await store.webhooks.get("w1")
    with pytest.raises(TooManyWebhooks):
        await store.webhooks.add(webhook(2), None, count_max=1)
    with pytest.raises(AlreadyExists):
        await store.webhooks.add(webhook(2), request)
    await store.webhooks.add(webhook(3, owner="users/b"), None, count_max=1)
    assert ["w3", "w1"] == [each.webhook_id for each in await store.webhooks.find(None, "", 10)]
    assert ["w1"] == [each.webhook_id for each in await store.webhooks.find("users/a", "w3", 10)]
    await store.webhooks.delete("w1")
    with pytest.raises(NotFound):
        await store.webhooks.get("w1")


async def test_what_happens_is_told_in_the_write_in_which_it_happens(store: Store) -> None:
    """To the owner's webhooks that want to hear of it; what a rule refuses has not happened."""
    await store.webhooks.add(webhook(1), None)
    await store.webhooks.add(webhook(2, kinds=("job.failed", "lock.*")), None)
    await store.webhooks.add(webhook(3, owner="users/b"), None)
    await store.webhooks.add(webhook(4, targets=("flows/other",)), None)
    await store.webhooks.add(webhook(5, enabled=False), None)
    born = job(1, state=State.AWAITING_PAYMENT)
    await store.create([Birth(job=born)], None)
    lock = Lock(
        lock_id="l", job_id=born.job_id, owner="users/a", title="T", elements_json="[]", data_json="{}",
        created_at=1.0, expires_at=2.0,
    )  # fmt: skip
    answered = LockEnd(lock_id="l", state=LockState.ANSWERED)

    async def move(opened: tuple[Lock, ...] = (), ended: tuple[LockEnd, ...] = (), **fields: object) -> None:
        def rule(before: Job) -> Change:
            after = dataclasses.replace(before, **fields)  # type: ignore[arg-type]
            return Change(job=after, opened=opened, ended=ended)

        await store.update(born.job_id, rule)

    await move(payment_step=PaymentStep.INITIALIZED)
    await move(payment_step=PaymentStep.LOCKED, state=State.QUEUED)
    await move(state=State.RUNNING, attempt=1)
    await move(state=State.AWAITING_INPUT, opened=(lock,))
    await move(state=State.RUNNING, ended=(answered,))
    await move(progress=5.0)
    await move(state=State.RETRYING)
    await move(state=State.FAILED, attempt=2, reason=Reason.PAYMENT_TIMEOUT)

    assert [
        "job.created", "job.awaiting_payment", "payment.requested", "payment.locked", "job.started",
        "job.awaiting_input", "lock.created", "lock.answered", "job.retrying", "job.started", "job.failed",
        "payment.failed",
    ] == await kinds(store)  # fmt: skip
    assert ["lock.created", "lock.answered", "job.failed"] == await kinds(store, 2)
    assert [[], [], []] == [await kinds(store, number) for number in (3, 4, 5)]


def answered(claimed: Delivery, **answer: object) -> Callable[[Webhook, Delivery], tuple[Webhook, Delivery]]:
    """Return the rule by which who has claimed a delivery writes what came of it."""
    said = Answer(**answer)  # type: ignore[arg-type]
    return functools.partial(rules.settled, answer=said, now=5.0, chance=0.5, claimed=claimed)


async def test_a_delivery_is_claimed_by_one(store: Store) -> None:
    """Until its time is over; what came of it is written with what that does to the webhook."""
    await store.webhooks.add(webhook(), None)
    await store.create([Birth(job=job(1))], None)
    assert (["w1"], 1.0) == (await store.webhooks.due(1.0), await store.webhooks.next_due())

    (late,) = await store.webhooks.claim("w1", 2.0, 60.0, 10)

    assert [] == await store.webhooks.claim("w1", 2.0, 60.0, 10)
    assert ([], 60.0) == (await store.webhooks.due(2.0), await store.webhooks.next_due())
    (mine,) = await store.webhooks.claim("w1", 60.0, 90.0, 10)
    assert late.delivery_id == mine.delivery_id

    sent = await store.webhooks.settle(mine, answered(mine, status_code=500, error="no", text="t", latency_ms=3))

    assert (DeliveryState.PENDING, 1, 10.0) == (sent.state, sent.attempt_count, sent.next_at)
    assert sent == await store.webhooks.delivery("w1", mine.delivery_id)
    assert 5.0 == (await store.webhooks.get("w1")).failing_since


async def test_an_answer_that_is_late_changes_nothing(store: Store) -> None:
    """Another has claimed the delivery, or somebody wants it sent once more; one of a disabled webhook is noted."""
    await store.webhooks.add(webhook(), None)
    await store.create([Birth(job=job(1))], None)
    (late,) = await store.webhooks.claim("w1", 2.0, 60.0, 10)
    (mine,) = await store.webhooks.claim("w1", 60.0, 90.0, 10)

    assert mine == await store.webhooks.settle(late, answered(late, status_code=410, error="gone"))
    assert (await store.webhooks.get("w1")).enabled
    refused = await store.webhooks.settle(mine, answered(mine, status_code=500, error="no"))
    assert refused == await store.webhooks.settle(mine, answered(mine, status_code=200))
    again = dataclasses.replace(refused, next_at=6.0, claim="")
    await store.webhooks.put(again)
    assert again == await store.webhooks.settle(refused, answered(refused, status_code=200))
    await store.webhooks.change("w1", lambda before: rules.disabled(before, "why", 9.0))
    taken = await store.webhooks.settle(again, answered(again, status_code=200))
    assert (DeliveryState.DELIVERED, 2) == (taken.state, taken.attempt_count)


async def test_an_answer_counts_though_its_delivery_was_brought_back_meanwhile(store: Store) -> None:
    """The clock is set back while a request is on its way: nobody else has claimed it."""
    await store.webhooks.add(webhook(), None)
    await store.create([Birth(job=job(1, created_at=80.0, updated_at=80.0))], None)
    (mine,) = await store.webhooks.claim("w1", 81.0, 141.0, 10)
    await store.webhooks.bring_back(2.0)

    assert [] == await store.webhooks.claim("w1", 3.0, 63.0, 10)
    refused = await store.webhooks.settle(mine, answered(mine, status_code=500, error="no"))
    assert (1, 500, 10.0) == (refused.attempt_count, refused.status_code, refused.next_at)
    assert 5.0 == (await store.webhooks.get("w1")).failing_since


async def test_a_disabled_webhook_is_sent_nothing(store: Store) -> None:
    """What was pending has failed, and counts among what is kept until it is forgotten."""
    await store.webhooks.add(webhook(), None)
    await store.create([Birth(job=job(1))], None)
    kept = await store.stored_bytes("users/a") - (await store.get(job(1).job_id)).stored_bytes

    await store.webhooks.change("w1", lambda before: rules.disabled(before, "why", 9.0))

    (failed,) = await store.webhooks.deliveries("w1", "", 10)
    assert (DeliveryState.FAILED, "the webhook was disabled") == (failed.state, failed.error)
    assert 300 + len(failed.payload) == kept
    assert (0, 1) == (await store.webhooks.forget_ended(1.0, 10), await store.webhooks.forget_ended(1.1, 10))
    assert (await store.get(job(1).job_id)).stored_bytes == await store.stored_bytes("users/a")


async def test_deliveries_of_a_time_to_come_are_brought_back(store: Store) -> None:
    """They were made or tried while the clock was fast: they are sent as long after now, and tried for as long."""
    await store.webhooks.add(webhook(), None)
    for number, (created_at, attempted_at) in enumerate(((10.0, 0.0), (10.0, 90.0), (80.0, 0.0)), 1):
        made = Delivery(
            delivery_id=f"d{number}", webhook_id="w1", owner="users/a", kind="job.created", job_id="j", payload="{}",
            created_at=created_at, attempted_at=attempted_at, next_at=95.0, tried_until=1000.0,
        )  # fmt: skip
        await store.webhooks.put(made)
    await store.webhooks.bring_back(20.0)

    kept = [await store.webhooks.delivery("w1", f"d{number}") for number in (1, 2, 3)]
    assert [(10.0, 0.0, 95.0, 1000.0), (10.0, 20.0, 25.0, 930.0), (20.0, 0.0, 35.0, 940.0)] == [
        (each.created_at, each.attempted_at, each.next_at, each.tried_until) for each in kept
    ]


async def test_an_old_delivery_is_brought_back_that_waits_longer_than_any(store: Store) -> None:
    """It was claimed, or was to be sent anew, while the clock was fast.  One on its way is left until it has ended."""
    await store.webhooks.add(webhook(), None)
    fast = 7 * 86_400.0
    waits = (rules.LONGEST_S + rules.CLAIM_S, fast, fast + rules.CLAIM_S)
    for number, wait_s in enumerate(waits, 1):
        made = Delivery(
            delivery_id=f"d{number}", webhook_id="w1", owner="users/a", kind="job.created", job_id="j", payload="{}",
            created_at=10.0, attempted_at=15.0, next_at=20.0 + wait_s, tried_until=20.0 + rules.TRIED_FOR_S + wait_s,
        )  # fmt: skip
        await store.webhooks.put(dataclasses.replace(made, tried_until=500.0) if number == 3 else made)
    await store.webhooks.bring_back(20.0)

    kept = [await store.webhooks.delivery("w1", f"d{number}") for number in (1, 2, 3)]
    soon, latest = 20.0 + rules.CLAIM_S, 20.0 + rules.TRIED_FOR_S
    assert [(20.0 + waits[0], latest + waits[0]), (soon, latest), (soon, 500.0)] == [
        (each.next_at, each.tried_until) for each in kept
    ]
    assert {(10.0, 15.0)} == {(each.created_at, each.attempted_at) for each in kept}


def test_waits_grow_and_end() -> None:
    """From seconds to an hour, for a day; three days without a success end the webhook."""
    delivery = Delivery(
        delivery_id="d", webhook_id="w1", owner="users/a", kind="job.created", job_id="j", payload="{}",
        created_at=0.0, next_at=0.0, tried_until=rules.TRIED_FOR_S,
    )  # fmt: skip
    hook, now, waits = webhook(), 0.0, []
    while delivery.state == DeliveryState.PENDING:
        hook, delivery = rules.settled(hook, delivery, Answer(error="no"), now, 0.5, claimed=delivery)
        waits.append(delivery.next_at - now)
        now = delivery.next_at or now

    assert [5.0, 10.0, 20.0] == waits[:3]
    assert 3600.0 == max(waits)
    assert (DeliveryState.FAILED, True) == (delivery.state, hook.enabled)
    again = dataclasses.replace(delivery, state=DeliveryState.PENDING, tried_until=1e9)
    hook = dataclasses.replace(hook, failing_since=1.0)
    hook, _ = rules.settled(hook, again, Answer(error="no"), 4 * 86400.0, 0.5, claimed=again)
    assert (False, True) == (hook.enabled, "every request has failed" in hook.message)
