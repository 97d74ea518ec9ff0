"""What good terms are, and how a payment follows its escrow."""

import dataclasses
import itertools
from typing import Any

import pytest

from meshkit.errors import AlreadyExists, FailedPrecondition, Invalid
from services.payments import domain
from services.payments.domain import ENDS, MINUTE_MS, STATES, UNPAID, State
from tests.payments.terms import JOB, NOON, OWNER, RESULT, at, escrow, payment, terms


@pytest.mark.parametrize("identifier", ["ab" * 7, "AB" * 13, "aabbaabb11221122aabb"])
@pytest.mark.parametrize("network", ["Preprod", "Mainnet"])
def test_a_good_payment(identifier: str, network: str) -> None:
    """It has the job's id, nothing has happened yet, and times that nobody gave are the windows'."""
    made = payment(purchaser_identifier=identifier, network=network)

    assert made.payment_id == JOB.removeprefix("jobs/")
    assert (made.state, made.created_at, made.locked_at, made.blockchain_identifier) == (State.CREATED, NOON, 0, "")
    assert (made.pay_by_time, made.submit_result_time) == (NOON + 20 * MINUTE_MS, NOON + 60 * MINUTE_MS)


BAD: list[tuple[str, dict[str, Any]]] = [
    *(("job", {"job": value}) for value in ["", "jobs/", "jobs/xyz", JOB + "\n", JOB.upper()]),
    *(("owner", {"owner": value}) for value in ["", "users/ada", OWNER + "/x"]),
    *(("agent_identifier", {"agent_identifier": value}) for value in ["", "ab" * 28, "zz" * 60, "ab" * 126]),
    *(
        ("purchaser_identifier", {"purchaser_identifier": value})
        for value in [
            "",
            "a" * 13,
            "ab" * 6,
            "a" * 15,
            "a" * 27,
            "ab" * 14,
            "default_purchaser_id",
            "ab" * 7 + "\n",
            "１" * 14,
        ]
    ),
    *(("input_hash", {"input_hash": value}) for value in ["", "a", "xy", "ab" * 126]),
    ("amounts", {"amounts": ((0, ""),)}),
    ("amounts", {"amounts": ((1, ""),) * 8}),
]


@pytest.mark.parametrize(("field", "given"), BAD)
def test_bad_terms_name_their_field(field: str, given: dict[str, Any]) -> None:
    """And say what would be right."""
    with pytest.raises(Invalid, match="must") as caught:
        payment(**given)

    assert list(caught.value.fields) == [field]


def test_every_bad_field_is_named_at_once() -> None:
    """In the order of the message."""
    with pytest.raises(Invalid) as caught:
        payment(job="", owner="", agent_identifier="", purchaser_identifier="", input_hash="")

    assert list(caught.value.fields) == ["job", "owner", "agent_identifier", "purchaser_identifier", "input_hash"]


@pytest.mark.parametrize(
    ("field", "minutes"),
    [
        ("pay_by_time", {"pay_by_time": 56, "submit_result_time": 60}),
        ("pay_by_time", {"pay_by_time": -6, "submit_result_time": 60}),
        ("submit_result_time", {"pay_by_time": 1, "submit_result_time": 14}),
        ("unlock_time", {"submit_result_time": 60, "unlock_time": 74}),
        ("external_dispute_unlock_time", {"unlock_time": 100, "external_dispute_unlock_time": 114}),
    ],
)
def test_times_that_no_provider_takes(field: str, minutes: dict[str, int]) -> None:
    """Each margin of Masumi's payment service."""
    times: dict[str, Any] = {name: NOON + value * MINUTE_MS for name, value in minutes.items()}
    with pytest.raises(Invalid) as caught:
        payment(**times)

    assert list(caught.value.fields) == [field]


def test_times_at_the_very_margin_are_taken() -> None:
    """Minima are inclusive."""
    minutes = {"pay_by_time": 55, "submit_result_time": 60, "unlock_time": 75, "external_dispute_unlock_time": 90}

    times: dict[str, Any] = {name: NOON + value * MINUTE_MS for name, value in minutes.items()}
    payment(**times)


def test_the_same_again_is_what_is_recorded() -> None:
    """A repeated request, at any later time, gets the first answer."""
    first = payment()

    assert domain.check_same(first, OWNER, terms()) is first
    assert domain.check_same(first, OWNER, terms(pay_by_time=first.pay_by_time)) is first


@pytest.mark.parametrize(
    "other",
    [
        {"network": "Mainnet"},
        {"agent_identifier": "ab" * 60},
        {"purchaser_identifier": "ab" * 7},
        {"input_hash": "ff"},
        {"pay_by_time": 1},
        {"unlock_time": 1},
        {"amounts": ((1, ""),)},
    ],
)
def test_other_terms_are_refused(other: dict[str, Any]) -> None:
    """What was agreed for a job does not change."""
    with pytest.raises(AlreadyExists):
        domain.check_same(payment(), OWNER, terms(**other))


def test_another_owner_is_refused() -> None:
    """However the terms."""
    with pytest.raises(AlreadyExists, match="another owner"):
        domain.check_same(payment(), OWNER[:-1] + "0", terms())


# -- following the escrow


@pytest.mark.parametrize(("on_chain", "state"), [*STATES.items()])
def test_each_on_chain_state_is_one_of_ours(on_chain: str | None, state: State) -> None:
    """Seen as the first word about a payment that was only intended."""
    seen = at(payment(), on_chain)

    assert seen.state is state
    assert bool(seen.locked_at) == (state not in UNPAID and state is not State.FAILED)


@pytest.mark.parametrize(("before", "after"), [*itertools.product(STATES, STATES)])
def test_any_state_may_follow_any_other(before: str | None, after: str | None) -> None:
    """Between two looks anything may have gone by; only an end is an end."""
    first = at(payment(), before)
    second = at(first, after, changed_at=NOON + 1)

    assert second.state is (first.state if first.state in ENDS else STATES[after])


def test_a_lock_that_went_by_unseen_was_a_lock() -> None:
    """From nothing to the result on the chain: the money was there, once, and stays noted."""
    seen = at(at(payment(), "ResultSubmitted"), "RefundRequested", changed_at=NOON + 1)

    assert seen.state is State.REFUND_REQUESTED
    assert seen.locked_at == NOON + 1000


def test_an_older_view_is_not_believed() -> None:
    """Answers may overtake each other."""
    locked = at(payment(), "FundsLocked", changed_at=NOON + 5)

    assert domain.believe(locked, escrow(locked, on_chain_state=None, changed_at=NOON + 4), NOON) == locked


def test_the_same_view_changes_nothing() -> None:
    """Not even the time of the last change."""
    locked = at(payment(), "FundsLocked")

    assert domain.believe(locked, escrow(locked, on_chain_state="FundsLocked"), NOON + 99) is locked


def test_an_unknown_state_moves_nothing_and_is_told() -> None:
    """A newer contract may have more."""
    seen = at(at(payment(), "FundsLocked"), "Teleported", changed_at=NOON + 1)

    assert seen.state is State.FUNDS_LOCKED
    assert "Teleported" in seen.error


def test_what_the_provider_says_went_wrong_is_kept() -> None:
    """Its note fails the payment, or stands beside its state until it is over."""
    failed = at(payment(), "FundsOrDatumInvalid", error_note="Payment amounts do not match")
    stuck = at(payment(), "FundsLocked", next_action="WaitingForManualAction", error_type="NetworkError")

    assert (failed.state, failed.error) == (State.FAILED, "Payment amounts do not match")
    assert (stuck.state, stuck.error) == (State.FUNDS_LOCKED, "NetworkError")
    assert at(stuck, "FundsLocked", changed_at=NOON + 1).error == ""


@pytest.mark.parametrize(
    "other",
    [
        {"agent_identifier": "ab" * 60},
        {"input_hash": "ff"},
        {"pay_by_time": 1},
        {"submit_result_time": 1},
        {"unlock_time": 1},
        {"blockchain_identifier": ""},
    ],
)
def test_an_escrow_of_something_else_is_told_apart(other: dict[str, Any]) -> None:
    """Every field that was agreed."""
    assert domain.mismatch(payment(), escrow(payment())) == ""
    assert next(iter(other)) in domain.mismatch(payment(), escrow(payment(), **other))


@pytest.mark.parametrize(
    "other",
    [{"blockchain_identifier": "cc"}, {"seller_vkey": "ff" * 28}, {"amounts": ((1, ""),)}, {"unlock_time": NOON}],
)
def test_an_escrow_may_not_change_once_it_is_known(other: dict[str, Any]) -> None:
    """Identifier, key, price and times are fixed by the first answer."""
    known = at(payment(), None)

    assert domain.mismatch(known, escrow(known)) == ""
    assert domain.mismatch(known, escrow(known, **other)).startswith(next(iter(other)))


# -- results and refunds


def test_a_result_is_recorded_once() -> None:
    """The same again changes nothing; another is refused."""
    done = domain.with_result(at(payment(), "FundsLocked"), RESULT, NOON)

    assert done.result_hash == RESULT
    assert domain.with_result(done, RESULT, NOON) is done
    with pytest.raises(AlreadyExists):
        domain.with_result(done, "ef" * 32, NOON)


@pytest.mark.parametrize("result", ["", "ab" * 31, "AB" * 32, "zz" * 32, RESULT + "\n"])
def test_a_result_is_sixty_four_digits(result: str) -> None:
    """As `submit-result` demands."""
    with pytest.raises(Invalid):
        domain.with_result(at(payment(), "FundsLocked"), result, NOON)


@pytest.mark.parametrize("before", [None, "FundsOrDatumInvalid"])
def test_without_money_there_is_no_result(before: str | None) -> None:
    """A job that was not paid for has not run."""
    with pytest.raises(FailedPrecondition):
        domain.with_result(at(payment(), before), RESULT, NOON)


def test_a_result_after_the_end_is_kept_all_the_same() -> None:
    """With the reason why nobody will see it on the chain."""
    late = domain.with_result(at(payment(), "RefundWithdrawn"), RESULT, NOON)

    assert (late.state, late.result_hash) == (State.REFUNDED, RESULT)
    assert "after" in late.error


def test_a_refund_is_intended_once_and_excludes_a_result() -> None:
    """The second time changes nothing."""
    intended = domain.with_refund(at(payment(), "FundsLocked"), NOON)

    assert intended.refund_intended
    assert domain.with_refund(intended, NOON) is intended
    with pytest.raises(FailedPrecondition):
        domain.with_result(intended, RESULT, NOON)


def test_a_failure_is_only_for_what_is_not_paid() -> None:
    """Money in escrow is never called failed by us."""
    locked = at(payment(), "FundsLocked")

    assert domain.failed(locked, "late", NOON) is locked
    assert domain.failed(payment(), "late", NOON) == dataclasses.replace(payment(), state=State.FAILED, error="late")
