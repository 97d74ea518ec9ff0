"""The escrow contract (V1): its states, and the arrows between them, as data.

Source: the text of Masumi's escrow validator (V1).  "rh" is the hash of the result on the chain.
"""

import enum
from collections.abc import Mapping

MINUTE_MS = 60_000


class State(enum.StrEnum):
    """Where an escrow stands on the chain; before the lock it stands nowhere (None)."""

    FUNDS_LOCKED = "FundsLocked"
    FUNDS_OR_DATUM_INVALID = "FundsOrDatumInvalid"
    RESULT_SUBMITTED = "ResultSubmitted"
    REFUND_REQUESTED = "RefundRequested"
    DISPUTED = "Disputed"
    WITHDRAW_AUTHORIZED = "WithdrawAuthorized"
    """V2 contracts only."""
    REFUND_AUTHORIZED = "RefundAuthorized"
    """V2 contracts only."""
    WITHDRAWN = "Withdrawn"
    REFUND_WITHDRAWN = "RefundWithdrawn"
    DISPUTED_WITHDRAWN = "DisputedWithdrawn"


TERMINAL = frozenset({State.WITHDRAWN, State.REFUND_WITHDRAWN, State.DISPUTED_WITHDRAWN})
ENDED = TERMINAL | {State.FUNDS_OR_DATUM_INVALID}
"""Nothing leads out of these."""


class Deed(enum.StrEnum):
    """What a transaction does to an escrow."""

    LOCK = "lock"
    SUBMIT_RESULT = "submit-result"
    REQUEST_REFUND = "request-refund"
    CANCEL_REFUND = "cancel-refund"
    WITHDRAW_REFUND = "withdraw-refund"
    AUTHORIZE_REFUND = "authorize-refund"
    WITHDRAW = "withdraw"
    SETTLE = "settle"
    """Of the admins, for a dispute."""


_LOCKED, _SUBMITTED = State.FUNDS_LOCKED, State.RESULT_SUBMITTED
_REQUESTED, _DISPUTED = State.REFUND_REQUESTED, State.DISPUTED

# (deed, from, whether rh is set) -> to.  What is not here, the validator refuses.
ARROWS: Mapping[tuple[Deed, State, bool], State] = {
    (Deed.SUBMIT_RESULT, _LOCKED, False): _SUBMITTED,
    (Deed.SUBMIT_RESULT, _SUBMITTED, True): _SUBMITTED,
    (Deed.SUBMIT_RESULT, _REQUESTED, False): _DISPUTED,
    (Deed.SUBMIT_RESULT, _DISPUTED, True): _DISPUTED,
    (Deed.REQUEST_REFUND, _LOCKED, False): _REQUESTED,
    (Deed.REQUEST_REFUND, _SUBMITTED, True): _DISPUTED,
    (Deed.REQUEST_REFUND, _DISPUTED, True): _DISPUTED,
    (Deed.CANCEL_REFUND, _REQUESTED, False): _LOCKED,
    (Deed.CANCEL_REFUND, _DISPUTED, True): _SUBMITTED,
    (Deed.WITHDRAW_REFUND, _LOCKED, False): State.REFUND_WITHDRAWN,
    (Deed.WITHDRAW_REFUND, _REQUESTED, False): State.REFUND_WITHDRAWN,
    (Deed.AUTHORIZE_REFUND, _DISPUTED, True): _REQUESTED,
    (Deed.WITHDRAW, _SUBMITTED, True): State.WITHDRAWN,
    (Deed.SETTLE, _DISPUTED, True): State.DISPUTED_WITHDRAWN,
}


def target(deed: Deed, state: State | None, has_result: bool) -> State | None:
    """Return the state a deed leads to, or None if the validator refuses it.  Deadlines are not looked at."""
    return ARROWS.get((deed, state, has_result)) if state is not None else None


SELLERS = frozenset({Deed.SUBMIT_RESULT, Deed.AUTHORIZE_REFUND, Deed.WITHDRAW})
BUYERS = frozenset({Deed.LOCK, Deed.REQUEST_REFUND, Deed.CANCEL_REFUND, Deed.WITHDRAW_REFUND})

# -- the service's margins around the validator's deadlines ----------------------------------------------------------

LOCK_PAY_MARGIN_MS = 57_000
LOCK_SUBMIT_MARGIN_MS = 5 * MINUTE_MS
SUBMIT_MARGIN_MS = 5 * MINUTE_MS
REFUND_REQUEST_MARGIN_MS = 3 * MINUTE_MS
UNPAID_GRACE_MS = 5 * MINUTE_MS
WITHDRAW_AFTER_MS = 10 * MINUTE_MS
"""Automatic withdrawals and refunds wait so long behind their deadline."""
COOLDOWN_MS = 17 * MINUTE_MS
"""A deed's author gets a cooldown of 7 minutes, counted from 10 minutes ahead (the transaction's upper bound)."""
COOLDOWN_MARGIN_MS = 7 * MINUTE_MS
"""The worker waits for so much more than the cooldown."""
FEE_PERMILLE = 50
COLLATERAL_MIN_LOVELACE = 1_435_230
"""A lock with less lovelace than this is topped up by the buyer, who gets it back (the real minimum depends on the
size of the output; the ledger takes the smallest that was seen)."""
