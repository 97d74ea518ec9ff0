"""What is done about a payment, by where it stands and what time it is."""

import dataclasses
from typing import Any

import pytest

from services.payments.domain import MINUTE_MS, Payment, planning
from services.payments.domain.planning import NEVER, Plan, Step
from tests.payments.terms import NOON, RESULT, at, payment

PAY_BY = NOON + 20 * MINUTE_MS
SUBMIT_BY = NOON + 60 * MINUTE_MS
MANUAL = {"next_action": "WaitingForManualAction", "error_type": "Unknown"}


def after(on_chain_state: str | None, given: dict[str, Any], seen: dict[str, Any]) -> Payment:
    """Return a payment as last seen, with what is wanted of it."""
    return dataclasses.replace(at(payment(), on_chain_state, **seen), **given)


RESULTED = {"result_hash": RESULT}
REFUNDING = {"refund_intended": True}
TABLE: list[tuple[str | None, dict[str, Any], dict[str, Any], int, Plan]] = [
    # before the money
    (None, {}, {}, NOON, Plan(Step.WAIT, PAY_BY + 330_000)),
    (None, {}, {}, PAY_BY + 329_999, Plan(Step.WAIT, PAY_BY + 330_000)),
    (None, {}, {}, PAY_BY + 330_000, Plan(Step.EXPIRE)),
    # the job runs
    ("FundsLocked", {}, {}, NOON, Plan(Step.WAIT, SUBMIT_BY - 300_000)),
    ("FundsLocked", {}, MANUAL, NOON, Plan(Step.RECOVER)),
    ("RefundRequested", {}, {}, NOON, Plan(Step.WAIT, SUBMIT_BY - 300_000)),
    # there is a result
    ("FundsLocked", RESULTED, {}, NOON, Plan(Step.SUBMIT)),
    ("RefundRequested", RESULTED, {}, NOON, Plan(Step.SUBMIT)),
    ("Disputed", RESULTED, {}, NOON, Plan(Step.SUBMIT)),
    ("FundsLocked", RESULTED, {}, SUBMIT_BY - 300_001, Plan(Step.SUBMIT)),
    ("FundsLocked", RESULTED, {}, SUBMIT_BY - 300_000, Plan(Step.WAIT, SUBMIT_BY + 600_000)),
    ("FundsLocked", RESULTED, {"next_action": "SubmitResultRequested"}, NOON, Plan(Step.WAIT, SUBMIT_BY - 300_000)),
    ("FundsLocked", RESULTED, MANUAL, NOON, Plan(Step.RECOVER)),
    ("Disputed", RESULTED, RESULTED, NOON, Plan(Step.WAIT, SUBMIT_BY - 300_000)),
    ("ResultSubmitted", RESULTED, RESULTED, SUBMIT_BY + 600_000, Plan(Step.WAIT, SUBMIT_BY + 370 * MINUTE_MS)),
    # a refund is intended
    ("FundsLocked", REFUNDING, {}, NOON, Plan(Step.WAIT, SUBMIT_BY - 300_000)),
    ("RefundRequested", REFUNDING, {}, NOON, Plan(Step.WAIT, SUBMIT_BY - 300_000)),
    ("Disputed", REFUNDING, {}, NOON, Plan(Step.AUTHORIZE)),
    ("Disputed", {**REFUNDING, **RESULTED}, {}, NOON, Plan(Step.AUTHORIZE)),
    ("Disputed", REFUNDING, {"next_action": "AuthorizeRefundRequested"}, NOON, Plan(Step.WAIT, SUBMIT_BY - 300_000)),
    # the end
    *(
        (end, RESULTED, MANUAL, NOON, Plan(Step.WAIT, NEVER))
        for end in ("Withdrawn", "RefundWithdrawn", "DisputedWithdrawn")
    ),
    ("FundsOrDatumInvalid", {}, MANUAL, NOON, Plan(Step.WAIT, NEVER)),
    ("Disputed", {}, {}, SUBMIT_BY + 10_000 * MINUTE_MS, Plan(Step.WAIT, NEVER)),
]


@pytest.mark.parametrize(("on_chain_state", "given", "seen", "now", "planned"), TABLE)
def test_the_plan(
    on_chain_state: str | None, given: dict[str, Any], seen: dict[str, Any], now: int, planned: Plan
) -> None:
    """One step, or how long there is none."""
    assert planning.plan(after(on_chain_state, given, seen), now) == planned


def test_an_intent_is_asked_for() -> None:
    """Whatever the time: the tracker says when it is too late."""
    assert planning.plan(payment(), NOON) == Plan(Step.ASK)
    assert planning.plan(payment(), PAY_BY * 2) == Plan(Step.ASK)


@pytest.mark.parametrize(
    ("on_chain_state", "given", "seen", "urgent"),
    [
        (None, {}, {}, True),
        ("FundsLocked", {}, {}, False),
        ("FundsLocked", RESULTED, {}, True),
        ("FundsLocked", {}, {"next_action": "SubmitResultRequested"}, True),
        ("ResultSubmitted", RESULTED, RESULTED, False),
        ("Disputed", REFUNDING, {}, True),
        ("Withdrawn", RESULTED, RESULTED, False),
    ],
)
def test_who_is_in_a_hurry(
    on_chain_state: str | None, given: dict[str, Any], seen: dict[str, Any], urgent: bool
) -> None:
    """Somebody waits for money, or for a hash to reach the chain."""
    assert planning.urgent(after(on_chain_state, given, seen)) is urgent


def test_a_result_that_is_late_is_told() -> None:
    """From the moment at which no real service submits it any more; not if it is there already."""
    late = SUBMIT_BY - 300_000

    assert planning.noted(after("FundsLocked", RESULTED, {}), late - 1).error == ""
    assert "in time" in planning.noted(after("FundsLocked", RESULTED, {}), late).error
    assert planning.noted(after("ResultSubmitted", RESULTED, RESULTED), late).error == ""
    assert planning.noted(after("FundsLocked", {}, {}), late).error == ""
