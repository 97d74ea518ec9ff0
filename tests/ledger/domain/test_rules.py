"""The time rules, in their order and words, and what a price must be."""

import pytest

from services.ledger.domain import rules
from services.ledger.domain.chain import MINUTE_MS
from services.ledger.domain.errors import BadRequest, LedgerError, Lost

NOW = 1_765_445_305_000
GOOD = rules.times(NOW + 20 * MINUTE_MS, NOW + 60 * MINUTE_MS, None, None)


def test_good_times_pass() -> None:
    """With unlock 6 hours and dispute 12 hours after the result."""
    rules.check_times(GOOD, NOW)

    assert 6 * 60 * MINUTE_MS == GOOD.unlock - GOOD.submit_result
    assert 12 * 60 * MINUTE_MS == GOOD.external_dispute - GOOD.submit_result


@pytest.mark.parametrize(
    ("pay", "submit", "unlock", "dispute", "message"),
    [
        (56, 60, 75, 90, "Pay by time must be before submit result time (min. 5 minutes)"),
        (-6, 60, 75, 90, "Pay by time must be in the future (max. 5 minutes)"),
        (
            20,
            60,
            75,
            89,
            "External dispute unlock time must be after unlock time (min. 15 minutes difference)",
        ),
        (0, 14, 75, 90, "Submit result time must be in the future (min. 15 minutes)"),
        (
            20,
            60,
            74,
            90,
            "Submit result time must be before unlock time with at least 15 minutes difference",
        ),
        (60, 0, 0, 0, "Pay by time must be before submit result time (min. 5 minutes)"),
        (-6, 10, 0, 0, "Pay by time must be in the future (max. 5 minutes)"),
        (0, 10, 0, 0, "External dispute unlock time must be after unlock time (min. 15 minutes difference)"),
        (0, 10, 0, 15, "Submit result time must be in the future (min. 15 minutes)"),
    ],
)
def test_the_first_broken_rule_is_named(pay: int, submit: int, unlock: int, dispute: int, message: str) -> None:
    """In minutes from now."""
    given = rules.times(*[NOW + minutes * MINUTE_MS for minutes in (pay, submit, unlock, dispute)])

    with pytest.raises(BadRequest) as caught:
        rules.check_times(given, NOW)

    assert message == str(caught.value)


def test_exactly_at_every_limit_is_good() -> None:
    """The minima are inclusive."""
    rules.check_times(rules.times(*[NOW + minutes * MINUTE_MS for minutes in (-5, 15, 30, 45)]), NOW)
    rules.check_times(rules.times(*[NOW + minutes * MINUTE_MS for minutes in (10, 15, 30, 45)]), NOW)


def test_an_error_carries_its_http_status() -> None:
    """Through any number of hops."""
    error: LedgerError = BadRequest("no")

    assert "400" == error.metadata["http"]
    assert "504" == Lost("late").metadata["http"]
