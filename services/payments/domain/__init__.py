"""Payments: the records and their rules, from the intent to the end of the escrow.  Everything here is pure."""

from services.payments.domain.intents import check_same, new_payment
from services.payments.domain.moves import (
    ERROR_CHARS_MAX,
    believe,
    failed,
    mismatch,
    troubled,
    with_refund,
    with_result,
)
from services.payments.domain.records import (
    ENDS,
    MINUTE_MS,
    NETWORKS,
    STATES,
    UNPAID,
    Amount,
    Escrow,
    Payment,
    State,
    Terms,
    Windows,
    no_payment,
)

__all__ = [
    "ENDS",
    "ERROR_CHARS_MAX",
    "MINUTE_MS",
    "NETWORKS",
    "STATES",
    "UNPAID",
    "Amount",
    "Escrow",
    "Payment",
    "State",
    "Terms",
    "Windows",
    "believe",
    "check_same",
    "failed",
    "mismatch",
    "new_payment",
    "no_payment",
    "troubled",
    "with_refund",
    "with_result",
]
