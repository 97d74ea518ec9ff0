"""Where a payment stands by the provider's view of its escrow.

A payment moves only by `believe`, which is given a whole view of the escrow and not a step, so it does not matter how
many on-chain states went by between two looks.
"""

import dataclasses
import re

from meshkit.errors import AlreadyExists, FailedPrecondition, Invalid
from services.payments.domain.records import STATES, UNPAID, Escrow, Payment, State

ERROR_CHARS_MAX = 1000
_HASH = re.compile(r"[0-9a-f]{64}")


def mismatch(payment: Payment, escrow: Escrow) -> str:
    """Return in what the provider's escrow differs from what was agreed; empty if in nothing."""
    wanted: dict[str, object] = {
        "agent_identifier": payment.agent_identifier,
        "input_hash": payment.input_hash,
        "pay_by_time": payment.pay_by_time,
        "submit_result_time": payment.submit_result_time,
    }
    for field in ("blockchain_identifier", "seller_vkey", "unlock_time", "external_dispute_unlock_time"):
        if getattr(payment, field):  # else it was left to the provider, and this is the first answer
            wanted[field] = getattr(payment, field)
    differing = [field for field, value in wanted.items() if getattr(escrow, field) != value]
    known = payment.amounts or payment.asked_amounts
    if known and sorted(escrow.amounts) != sorted(known):
        differing.append("amounts")
    if not escrow.blockchain_identifier:
        differing.append("blockchain_identifier")
    times_ordered = escrow.submit_result_time < escrow.unlock_time < escrow.external_dispute_unlock_time
    if not times_ordered:
        differing.append("unlock_time")
    return ", ".join(dict.fromkeys(differing))


def believe(payment: Payment, escrow: Escrow, now: int) -> Payment:
    """Return the payment by this view of its escrow, or the very same object if it says nothing new.

    The view must have passed `mismatch`.  An older view than the last is ignored, and so is any after the end.
    """
    if payment.ended or escrow.changed_at < payment.changed_at:
        return payment
    state = STATES.get(escrow.on_chain_state, payment.state)
    locked_at = payment.locked_at
    if not locked_at and state not in UNPAID and state is not State.FAILED:
        locked_at = now  # also when FundsLocked went by unseen: what came after it cannot be without it
    seen = dataclasses.replace(
        payment,
        state=state,
        unlock_time=escrow.unlock_time,
        external_dispute_unlock_time=escrow.external_dispute_unlock_time,
        amounts=escrow.amounts,
        blockchain_identifier=escrow.blockchain_identifier,
        seller_vkey=escrow.seller_vkey,
        locked_at=locked_at,
        on_chain_state=escrow.on_chain_state,
        next_action=escrow.next_action,
        error_type=escrow.error_type,
        error=_error(escrow, state),
        chain_result_hash=escrow.result_hash,
        changed_at=escrow.changed_at,
        provider_updated_at=escrow.updated_at,
    )
    return payment if seen == payment else dataclasses.replace(seen, updated_at=now)


def _error(escrow: Escrow, state: State) -> str:
    if escrow.on_chain_state not in STATES:
        return f"the provider reports a state we do not know: {escrow.on_chain_state}"[:ERROR_CHARS_MAX]
    if state is State.FAILED:
        return (escrow.error_note or "the payment came too late or is not as agreed (FundsOrDatumInvalid)")[
            :ERROR_CHARS_MAX
        ]
    if escrow.next_action == "WaitingForManualAction" or escrow.error_type:
        note = escrow.error_note or escrow.error_type or "the provider waits for a person and does not say why"
        return note[:ERROR_CHARS_MAX]
    return ""


def failed(payment: Payment, error: str, now: int) -> Payment:
    """Return the payment ended without money; one that has ended or has money stays as it is."""
    if payment.state not in UNPAID:
        return payment
    return dataclasses.replace(payment, state=State.FAILED, error=error[:ERROR_CHARS_MAX], updated_at=now)


def troubled(payment: Payment, error: str, now: int) -> Payment:
    """Return the payment with what went wrong just now; the state stays."""
    error = error[:ERROR_CHARS_MAX]
    if payment.ended or payment.error == error:
        return payment
    return dataclasses.replace(payment, error=error, updated_at=now)


def with_result(payment: Payment, result_hash: str, now: int) -> Payment:
    """Return the payment with the hash of the job's result to submit.

    Raises `Invalid` for what is no hash, `AlreadyExists` if another is recorded, `FailedPrecondition` if no money was
    ever locked or a refund is intended.  One that comes after the end is kept, for the record.
    """
    if not _HASH.fullmatch(result_hash):
        text = "must be 64 lower-case hexadecimal digits"
        raise Invalid(f"result_hash {text}", {"result_hash": [text]})
    name = f"payments/{payment.payment_id}"
    if payment.result_hash == result_hash:
        return payment
    if payment.result_hash:
        raise AlreadyExists("the payment has another result hash: it cannot be changed", resource=name)
    if not payment.locked_at:
        raise FailedPrecondition(f"no money is in escrow (the payment is {payment.state})", resource=name)
    if payment.refund_intended:
        raise FailedPrecondition("a refund is intended: a result can no longer be submitted", resource=name)
    error = "the result came after the escrow had ended" if payment.ended else payment.error
    return dataclasses.replace(payment, result_hash=result_hash, error=error, updated_at=now)


def with_refund(payment: Payment, now: int) -> Payment:
    """Return the payment with the intent to authorise a refund; one that has it, or has ended, stays as it is."""
    if payment.refund_intended or payment.ended:
        return payment
    return dataclasses.replace(payment, refund_intended=True, updated_at=now)
