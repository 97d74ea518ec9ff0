"""The rules by which a job waits: for answers, and for money."""

import dataclasses
import json

import pytest

from meshkit.errors import FailedPrecondition
from services.runner import domain
from services.runner.domain import (
    Change,
    End,
    Job,
    Lease,
    Lock,
    LockState,
    OpenLock,
    PaymentStep,
    Reason,
    State,
    Terms,
    webhooks,
)

TERMS = Terms(
    agent_identifier="a" * 60, network="Preprod", purchaser_identifier="aabbaabb11221122aabb", input_hash="0" * 64
)
JOB = Job(
    job_id="0" * 24,
    flow="flows/demo",
    owner="users/u",
    state=State.RUNNING,
    host_id="demo-1",
    epoch=1,
    created_at=1.0,
    updated_at=1.0,
)
PAID = dataclasses.replace(
    JOB, host_id="", state=State.AWAITING_PAYMENT, payment_json=json.dumps(dataclasses.asdict(TERMS))
)
OPENING = OpenLock(lock_id="l1", title="greeting", elements_json="[]", data_json="{}", timeout_s=60)


def opened(job: Job = JOB, opening: OpenLock = OPENING) -> tuple[Job, Lock]:
    """Open a lock; return the job and the lock as they are then."""
    change = domain.report(job, Lease("demo-1", 1), job.source_seq + 1, [], None, 10.0, opening)
    return change.job, change.opened[0]


def test_a_job_waits_until_its_last_lock_has_ended() -> None:
    """AWAITING_INPUT with one pending, RUNNING with none."""
    waiting, first = opened()
    waiting, second = opened(waiting, dataclasses.replace(OPENING, lock_id="l2"))
    one_left = domain.locks.answer(waiting, first, '{"a":1}', "users/b", 20.0)
    none_left = domain.locks.expire(one_left.job, second.lock_id, 70.0)

    assert [State.AWAITING_INPUT, State.AWAITING_INPUT, State.RUNNING] == [
        waiting.state,
        one_left.job.state,
        none_left.job.state,
    ]
    assert ["lease"] == [event.kind for event in one_left.events]
    assert [LockState.ANSWERED, LockState.EXPIRED] == [one_left.ended[0].state, none_left.ended[0].state]


def test_a_lock_takes_one_answer() -> None:
    """Whoever comes second is told so, whether to answer or to expire it."""
    waiting, lock = opened()
    answered = domain.locks.answer(waiting, lock, "1", "users/a", 20.0).job

    with pytest.raises(FailedPrecondition):
        domain.locks.answer(answered, lock, "2", "users/b", 21.0)
    with pytest.raises(FailedPrecondition):
        domain.locks.expire(answered, lock.lock_id, 70.0)


@pytest.mark.parametrize(
    ("timeout_s", "due_at", "expires_at"),
    [(60, 0.0, 70.0), (0, 0.0, 10.0 + 3 * 3600), (3600, 10.0 + 1800, 10.0 + 900), (60, 100.0, 10.0)],
)
def test_a_lock_ends_before_the_result_is_due(timeout_s: float, due_at: float, expires_at: float) -> None:
    """Its own timeout, or 15 minutes before the payment's deadline, whichever comes first."""
    _, lock = opened(dataclasses.replace(JOB, due_at=due_at), dataclasses.replace(OPENING, timeout_s=timeout_s))

    assert expires_at == lock.expires_at


def test_a_lock_that_cannot_be_opened_is_closed_at_once() -> None:
    """One of a job that is being stopped, or one too many."""
    stopping = dataclasses.replace(JOB, state=State.STOPPING)
    full = dataclasses.replace(
        JOB, state=State.AWAITING_INPUT, pending_locks=tuple(str(n) for n in range(domain.locks.PENDING_MAX))
    )

    for job in (stopping, full):
        after, lock = opened(job)
        assert LockState.CLOSED == lock.state
        assert job.pending_locks == after.pending_locks


def test_the_end_of_a_job_closes_its_locks() -> None:
    """Whatever the end is, also a success that left a question open."""
    waiting, lock = opened()
    for end in (End(state=State.SUCCEEDED, result_json="1"), End(state=State.FAILED, error="x")):
        change = domain.finish(waiting, end, 20.0)
        assert ((lock.lock_id, LockState.CLOSED),) == tuple((e.lock_id, e.state) for e in change.ended)
        assert () == change.job.pending_locks


def test_a_job_runs_only_on_locked_funds() -> None:
    """It is asked for once, and queued when the money is there; both rules do nothing the second time."""
    asked = domain.payments.note_request(PAID, {"network": "Preprod"}, 2.0)
    again = domain.payments.note_request(asked.job, {"network": "Preprod"}, 3.0)
    paid = domain.payments.note_funds(again.job, 99.0, 4.0)
    twice = domain.payments.note_funds(paid.job, 99.0, 5.0)

    assert ["payment"] == [event.kind for event in asked.events]
    assert () == again.events
    assert (State.QUEUED, PaymentStep.LOCKED, 99.0) == (paid.job.state, paid.job.payment_step, paid.job.due_at)
    assert Change(job=paid.job) == twice


@pytest.mark.parametrize("end", ["withdrawn", "refunded", "dispute_settled"])
def test_how_a_sale_has_ended_is_told_once(end: str) -> None:
    """Of a job that has ended before; what is heard behind the end changes nothing."""
    paid = domain.payments.note_funds(PAID, 99.0, 4.0).job
    ended = domain.finish(paid, End(state=State.FAILED, error="x"), 5.0).job
    over = domain.payments.note_over(ended, PaymentStep(end), 9.0)
    again = domain.payments.note_over(over.job, PaymentStep.OVER, 10.0)

    assert [(f"payment.{end}", 9.0)] == [(each.kind, each.at) for each in webhooks.notices(ended, over.job, over)]
    assert [] == list(webhooks.notices(over.job, again.job, again))
    assert f"payment.{end}" in webhooks.KINDS


def test_what_payments_must_hear_is_written_with_the_end() -> None:
    """The result's hash before the result, or that a refund is due; it stands until it has been heard."""
    running = dataclasses.replace(PAID, state=State.RUNNING)
    succeeded = domain.finish(running, End(state=State.SUCCEEDED, result_json='{"str":"plain"}'), 9.0)
    failed = domain.finish(running, End(state=State.FAILED, reason=Reason.ERROR, error="x"), 9.0)
    heard = domain.payments.told(succeeded.job, succeeded.job.payment_todo)

    digest = "3b5038133501539ae87221bfd7ebeae68e605e61f1fe438558df07d31dd7338b"
    assert ["payment", "final", "status"] == [event.kind for event in succeeded.events]
    assert {"dict": {"step": "final_result", "result_hash": digest}} == json.loads(succeeded.events[0].payload)
    assert (f"submit:{digest}", "refund", "") == (
        succeeded.job.payment_todo,
        failed.job.payment_todo,
        heard.job.payment_todo,
    )
    assert "" == domain.finish(JOB, End(state=State.FAILED, error="x"), 9.0).job.payment_todo


@pytest.mark.parametrize(
    ("result_json", "digest"),
    [
        ('{"str":"plain"}', "3b5038133501539ae87221bfd7ebeae68e605e61f1fe438558df07d31dd7338b"),
        (
            json.dumps({"Markdown": {"body": 'a\nb\t"q" \\ back'}}),
            "05941e631cc31c38e5729ec96074849e7237e7c1a914abc22a723b5770dbc872",
        ),
        ('{"Text":{"body":""}}', "55a0785d5b0635322fb211ecd93907a30156d22cf64cdf4bf345372bb9b04f24"),
    ],
)
def test_results_are_hashed_as_buyers_do(result_json: str, digest: str) -> None:
    """F2 with the vectors of its specification (MIP-004)."""
    assert digest == domain.payments.result_hash(TERMS, result_json)


@pytest.mark.parametrize(
    ("result_json", "digest"),
    [
        (
            '{"Markdown":{"body":"You say Hello from HITL Demo!, I say **goodbye**."}}',
            "d3ca4ae36032e3090854468c314ad1869479be795e7164e0cb3f115b612f768d",
        ),
        ('{"dict":{"ok":true}}', "6bc0da1f42f96fc37b8bd7ed20ba57606d2a0da5cda2b135c7854fbdc985b8a3"),
    ],
)
def test_results_are_hashed_as_the_notebook_prints(result_json: str, digest: str) -> None:
    """F4, for whoever turns it on."""
    assert digest == domain.payments.result_hash(dataclasses.replace(TERMS, hashes="kodosumi"), result_json)
