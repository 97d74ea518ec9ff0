"""What to do about a payment now, and when to look at it again: pure, from the record and the provider's time.

Margins are those of a real payment service: it submits no result in the last 5 minutes before
`submit_result_time`, gives up on an unpaid request 5 minutes after `pay_by_time`, and withdraws or refunds by itself
10 minutes after the time for it.
"""

import dataclasses
import enum

from services.payments.domain.moves import troubled
from services.payments.domain.records import MINUTE_MS, UNPAID, Payment

NEVER = 2**62
SUBMIT_MARGIN_MS = 5 * MINUTE_MS
EXPIRY_GRACE_MS = 5 * MINUTE_MS + 30_000
"""Half a minute more than the provider's own: its word on an unpaid request goes before ours."""
SETTLE_GRACE_MS = 10 * MINUTE_MS
_WAITING = "WaitingForExternalAction"
_MANUAL = "WaitingForManualAction"
_LIVE = frozenset({"FundsLocked", "RefundRequested", "Disputed"})
_OVERDUE = "the result was not on the chain in time: the purchaser gets the money back"
_REQUESTED = frozenset({"SubmitResultRequested", "SubmitResultInitiated"})


class Step(enum.Enum):
    """What to do next."""

    WAIT = "wait"
    """Nothing, until the time that comes with it or the provider's next word."""
    ASK = "ask"
    """Ask the provider for the escrow, or find the one that was asked for."""
    SUBMIT = "submit"
    AUTHORIZE = "authorize"
    RECOVER = "recover"
    EXPIRE = "expire"
    """Nobody paid: look once more, then end it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """A step, and for `WAIT` when it is over (the provider's time)."""

    step: Step
    at: int = 0


def plan(payment: Payment, now: int) -> Plan:
    """Return what to do about the payment."""
    if payment.ended:
        return Plan(Step.WAIT, NEVER)
    if not payment.blockchain_identifier:
        return Plan(Step.ASK)
    if payment.state in UNPAID:
        expires = payment.pay_by_time + EXPIRY_GRACE_MS
        return Plan(Step.EXPIRE) if now >= expires else Plan(Step.WAIT, expires)
    if payment.next_action == _MANUAL and payment.error_type:
        return Plan(Step.RECOVER)
    if may_submit(payment, now):
        return Plan(Step.SUBMIT)
    if payment.refund_intended and payment.on_chain_state == "Disputed" and payment.next_action == _WAITING:
        # Only from Disputed: the route takes RefundRequested too, but the contract does not, and it hangs (§6).
        return Plan(Step.AUTHORIZE)
    return Plan(Step.WAIT, next_deadline(payment, now))


def may_submit(payment: Payment, now: int) -> bool:
    """Return whether the result's hash can be submitted now."""
    return (
        bool(payment.result_hash)
        and payment.chain_result_hash != payment.result_hash
        and payment.on_chain_state in _LIVE
        and payment.next_action == _WAITING
        and not payment.refund_intended
        and now < payment.submit_result_time - SUBMIT_MARGIN_MS
    )


def noted(payment: Payment, now: int) -> Payment:
    """Return the payment, with a word if its result can no longer reach the chain.

    A real service takes such a result and leaves it requested for ever: nobody else says so.
    """
    overdue = (
        bool(payment.result_hash)
        and payment.chain_result_hash != payment.result_hash
        and payment.on_chain_state in _LIVE
        and now >= payment.submit_result_time - SUBMIT_MARGIN_MS
    )
    return troubled(payment, _OVERDUE, now) if overdue else payment


def recovery_retries(payment: Payment, now: int) -> bool:
    """Return whether the action that failed is worth queuing again, and not only to be cleared."""
    if payment.refund_intended:
        return payment.on_chain_state == "Disputed"
    return bool(payment.result_hash) and now < payment.submit_result_time - SUBMIT_MARGIN_MS


def urgent(payment: Payment) -> bool:
    """Return whether somebody waits for the next change: money to come in, or a hash to reach the chain."""
    if payment.ended:
        return False
    return (
        payment.state in UNPAID
        or payment.next_action in _REQUESTED
        or (bool(payment.result_hash) and not payment.chain_result_hash)
        or payment.refund_intended
    )


def next_deadline(payment: Payment, now: int) -> int:
    """Return the next moment (the provider's time) at which a look is due whatever the polls say."""
    deadlines = (
        payment.submit_result_time - SUBMIT_MARGIN_MS,
        payment.submit_result_time + SETTLE_GRACE_MS,
        payment.unlock_time + SETTLE_GRACE_MS,
        payment.external_dispute_unlock_time + SETTLE_GRACE_MS,
    )
    return min((at for at in deadlines if at > now), default=NEVER)
