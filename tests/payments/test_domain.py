"""What a good payment looks like."""

import datetime

import pytest

from meshkit.errors import AlreadyExists, Invalid
from services.payments import domain
from services.payments.domain import Payment, State

NOON = datetime.datetime(2030, 1, 1, 12, tzinfo=datetime.UTC)
JOB = "jobs/0123456789abcdef01234567"
OWNER = "users/38f1b7ae-f3d1-4a6d-a02e-5abd0ff175fc"


def payment(*, job: str = JOB, owner: str = OWNER, amount: str = "1000000", unit: str = "lovelace") -> Payment:
    """Return a payment, a good one but for what is given."""
    return domain.new_payment(job=job, owner=owner, amount=amount, unit=unit, now=NOON)


@pytest.mark.parametrize("amount", ["0", "1", "9" * 38])
@pytest.mark.parametrize("unit", ["lovelace", "EUR", "a" * 120])
def test_a_good_payment(amount: str, unit: str) -> None:
    """It has the job's id, and nothing has happened yet."""
    made = payment(amount=amount, unit=unit)

    assert made.payment_id == "0123456789abcdef01234567"
    assert (made.amount, made.unit, made.state, made.created_at) == (amount, unit, State.CREATED, NOON)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("job", value) for value in ["", "jobs/", "jobs/xyz", "0123456789abcdef01234567", JOB + "\n", JOB.upper()]),
        *(("owner", value) for value in ["", "users/ada", OWNER + "/x", "38f1b7ae-f3d1-4a6d-a02e-5abd0ff175fc"]),
        *(("amount", value) for value in ["", "-1", "+1", "1.5", "1e6", "01", " 1", "1\n", "9" * 39, "١", "NaN"]),
        *(("unit", value) for value in ["", "a b", "a\n", "x" * 129, "₳"]),
    ],
)
def test_a_bad_payment_names_its_field(field: str, value: str) -> None:
    """Only decimal digits are an amount: no sign, fraction, exponent, leading zero or other script."""
    with pytest.raises(Invalid) as caught:
        payment(**{field: value})

    assert list(caught.value.fields) == [f"payment.{field}"]


def test_every_bad_field_is_named_at_once() -> None:
    """In the order of the message."""
    with pytest.raises(Invalid) as caught:
        payment(job="", owner="", amount="", unit="")

    assert list(caught.value.fields) == ["payment.job", "payment.owner", "payment.amount", "payment.unit"]


def test_the_same_again_is_what_is_recorded() -> None:
    """A repeated request, later, gets the first answer."""
    first = payment()
    again = domain.new_payment(job=JOB, owner=OWNER, amount="1000000", unit="lovelace", now=NOON.replace(hour=13))

    assert domain.check_same(first, again) is first


@pytest.mark.parametrize(
    "other", [{"amount": "2"}, {"unit": "EUR"}, {"owner": "users/00000000-0000-4000-8000-000000000000"}]
)
def test_something_else_is_refused(other: dict[str, str]) -> None:
    """What is owed for a job does not change."""
    with pytest.raises(AlreadyExists):
        domain.check_same(payment(), payment(**other))
