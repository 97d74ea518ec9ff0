"""Payments as rows: texts and numbers, as a table keeps them."""

import dataclasses
import json
from typing import Any

from services.payments.domain import ENDS, Payment, State

FIELDS = [field.name for field in dataclasses.fields(Payment)]
COLUMNS = ", ".join(FIELDS)


def values_of(payment: Payment) -> list[Any]:
    """Return what is written of a payment: its fields, and whether it has ended."""
    fields = {name: getattr(payment, name) for name in FIELDS}
    for name in ("asked_amounts", "amounts"):
        fields[name] = json.dumps([[str(amount), unit] for amount, unit in fields[name]])
    return [*fields.values(), payment.state in ENDS]


def payment_of(row: tuple[Any, ...]) -> Payment:
    """Return the payment of a row of `COLUMNS`."""
    fields = dict(zip(FIELDS, row, strict=True))
    for name in ("asked_amounts", "amounts"):
        fields[name] = tuple((int(amount), unit) for amount, unit in json.loads(fields[name]))
    fields["state"] = State(fields["state"])
    fields["refund_intended"] = bool(fields["refund_intended"])
    return Payment(**fields)
