"""Payments: the record, and what a good one looks like."""

import dataclasses
import datetime
import enum
import re

from meshkit.errors import AlreadyExists, Invalid

AMOUNT_DIGITS_MAX = 38
UNIT_CHARS_MAX = 128
"""A Cardano asset is 56 + 64 hexadecimal digits; `lovelace` and ISO 4217 codes are short."""

_JOB = re.compile(r"jobs/[0-9a-f]{24}")
_OWNER = re.compile(r"users/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_AMOUNT = re.compile(rf"0|[1-9][0-9]{{0,{AMOUNT_DIGITS_MAX - 1}}}")
_UNIT = re.compile(rf"[!-~]{{1,{UNIT_CHARS_MAX}}}")


class State(enum.StrEnum):
    """Where a payment stands.  Nothing beyond recording it is built yet."""

    CREATED = "created"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """The escrow of one job."""

    payment_id: str
    """The job's id: there is one payment for a job."""
    owner: str
    """`users/{uuid}` of the job's owner."""
    amount: str
    """In the unit's smallest denomination: decimal digits without sign or leading zeros."""
    unit: str
    state: State = State.CREATED
    created_at: datetime.datetime


def new_payment(*, job: str, owner: str, amount: str, unit: str, now: datetime.datetime) -> Payment:
    """Return a payment to record.  Raises `Invalid`, naming every wrong field."""
    checks = {
        "payment.job": (_JOB, job, "must look like jobs/{24 hexadecimal digits}"),
        "payment.owner": (_OWNER, owner, "must look like users/{uuid}"),
        "payment.amount": (_AMOUNT, amount, f"must be up to {AMOUNT_DIGITS_MAX} decimal digits, no leading zeros"),
        "payment.unit": (_UNIT, unit, f"must be 1 to {UNIT_CHARS_MAX} printable ASCII characters without spaces"),
    }
    wrong = {field: [text] for field, (pattern, value, text) in checks.items() if not pattern.fullmatch(value)}
    if wrong:
        field, texts = next(iter(wrong.items()))
        raise Invalid(f"{field} {texts[0]}", wrong)
    return Payment(payment_id=job.removeprefix("jobs/"), owner=owner, amount=amount, unit=unit, created_at=now)


def check_same(recorded: Payment, asked: Payment) -> Payment:
    """Return what is recorded if `asked` asks for the same again; raise `AlreadyExists` if for something else."""
    for field in ("amount", "unit", "owner"):
        if getattr(recorded, field) != getattr(asked, field):
            raise AlreadyExists(
                f"the job has a payment with another {field}: a payment cannot be changed",
                resource=f"payments/{recorded.payment_id}",
                field=field,
            )
    return recorded
