"""What each side's service does next (NextAction), and how a change on the chain moves it: two tables.

Source: `transition-matrix.fixture.json` of masumi-payment-service.  The API sets
`…Requested`, a worker `…Initiated` when it sends the transaction; chain sync then looks up (action, new state).  A pair
that is not in a table ends in WaitingForManualAction.
"""

import dataclasses
import enum
from collections.abc import Iterable, Mapping

from services.ledger.domain.chain import TERMINAL, Deed, State


class Side(enum.StrEnum):
    """Whose record: `payment` is the seller's, `purchase` the buyer's."""

    PAYMENT = "payment"
    PURCHASE = "purchase"


class Action(enum.StrEnum):
    """What a service does next."""

    NONE = "None"
    IGNORE = "Ignore"
    MANUAL = "WaitingForManualAction"
    EXTERNAL = "WaitingForExternalAction"
    SUBMIT_RESULT_REQUESTED = "SubmitResultRequested"
    SUBMIT_RESULT_INITIATED = "SubmitResultInitiated"
    WITHDRAW_REQUESTED = "WithdrawRequested"
    WITHDRAW_INITIATED = "WithdrawInitiated"
    AUTHORIZE_REFUND_REQUESTED = "AuthorizeRefundRequested"
    AUTHORIZE_REFUND_INITIATED = "AuthorizeRefundInitiated"
    FUNDS_LOCKING_REQUESTED = "FundsLockingRequested"
    FUNDS_LOCKING_INITIATED = "FundsLockingInitiated"
    SET_REFUND_REQUESTED = "SetRefundRequestedRequested"
    SET_REFUND_INITIATED = "SetRefundRequestedInitiated"
    UNSET_REFUND_REQUESTED = "UnSetRefundRequestedRequested"
    UNSET_REFUND_INITIATED = "UnSetRefundRequestedInitiated"
    WITHDRAW_REFUND_REQUESTED = "WithdrawRefundRequested"
    WITHDRAW_REFUND_INITIATED = "WithdrawRefundInitiated"
    AUTHORIZE_WITHDRAWAL_REQUESTED = "AuthorizeWithdrawalRequested"
    """V2 contracts only."""
    AUTHORIZE_WITHDRAWAL_INITIATED = "AuthorizeWithdrawalInitiated"
    """V2 contracts only."""


@dataclasses.dataclass(frozen=True, slots=True)
class Work:
    """One kind of work of a service: its two actions."""

    side: Side
    requested: Action
    initiated: Action


WORKS: Mapping[Deed, Work] = {
    Deed.LOCK: Work(Side.PURCHASE, Action.FUNDS_LOCKING_REQUESTED, Action.FUNDS_LOCKING_INITIATED),
    Deed.REQUEST_REFUND: Work(Side.PURCHASE, Action.SET_REFUND_REQUESTED, Action.SET_REFUND_INITIATED),
    Deed.CANCEL_REFUND: Work(Side.PURCHASE, Action.UNSET_REFUND_REQUESTED, Action.UNSET_REFUND_INITIATED),
    Deed.WITHDRAW_REFUND: Work(Side.PURCHASE, Action.WITHDRAW_REFUND_REQUESTED, Action.WITHDRAW_REFUND_INITIATED),
    Deed.SUBMIT_RESULT: Work(Side.PAYMENT, Action.SUBMIT_RESULT_REQUESTED, Action.SUBMIT_RESULT_INITIATED),
    Deed.WITHDRAW: Work(Side.PAYMENT, Action.WITHDRAW_REQUESTED, Action.WITHDRAW_INITIATED),
    Deed.AUTHORIZE_REFUND: Work(Side.PAYMENT, Action.AUTHORIZE_REFUND_REQUESTED, Action.AUTHORIZE_REFUND_INITIATED),
}
REQUESTED: Mapping[Action, Deed] = {work.requested: deed for deed, work in WORKS.items()}
INITIATED: Mapping[Action, Deed] = {work.initiated: deed for deed, work in WORKS.items()}


@dataclasses.dataclass(frozen=True, slots=True)
class Next:
    """What a side does after a change on the chain."""

    action: Action
    noted: bool = False
    """Whether it is also recorded as an error."""


_A, _S = Action, State
_Table = dict[tuple[Action, State], Next]


def _cells(table: _Table, action: Action, states: Iterable[State], following: Action, noted: bool = False) -> None:
    table.update({(action, state): Next(following, noted) for state in states})


def _waiting() -> _Table:
    """The rows that both sides share."""
    table: _Table = {}
    _cells(table, _A.IGNORE, set(State) - {_S.WITHDRAW_AUTHORIZED, _S.REFUND_AUTHORIZED}, _A.IGNORE)
    _cells(table, _A.EXTERNAL, set(State) - {_S.FUNDS_OR_DATUM_INVALID}, _A.EXTERNAL)
    _cells(table, _A.EXTERNAL, TERMINAL, _A.NONE)
    return table


def _payment() -> _Table:
    table = _waiting()
    live = (_S.FUNDS_LOCKED, _S.RESULT_SUBMITTED, _S.REFUND_REQUESTED, _S.DISPUTED)
    asked, sent = _A.SUBMIT_RESULT_REQUESTED, _A.SUBMIT_RESULT_INITIATED
    _cells(table, asked, live, asked)
    _cells(table, sent, (_S.RESULT_SUBMITTED, _S.DISPUTED), _A.EXTERNAL)
    _cells(table, sent, (_S.FUNDS_LOCKED, _S.REFUND_REQUESTED), asked)
    asked, sent = _A.WITHDRAW_REQUESTED, _A.WITHDRAW_INITIATED
    for action in (asked, sent):
        _cells(table, action, (_S.DISPUTED, _S.WITHDRAW_AUTHORIZED), asked)
    _cells(table, sent, (_S.WITHDRAWN,), _A.NONE)
    asked, sent = _A.AUTHORIZE_REFUND_REQUESTED, _A.AUTHORIZE_REFUND_INITIATED
    _cells(table, asked, (_S.RESULT_SUBMITTED, _S.DISPUTED), asked)
    _cells(table, asked, (_S.REFUND_AUTHORIZED,), _A.EXTERNAL)
    _cells(table, sent, (_S.REFUND_REQUESTED, _S.REFUND_AUTHORIZED), _A.EXTERNAL)
    _cells(table, sent, (_S.DISPUTED,), asked)
    _cells(table, sent, (_S.RESULT_SUBMITTED,), asked, noted=True)
    return table


def _purchase() -> _Table:
    table = _waiting()
    _cells(table, _A.FUNDS_LOCKING_INITIATED, (_S.FUNDS_LOCKED,), _A.EXTERNAL)
    asked, sent = _A.SET_REFUND_REQUESTED, _A.SET_REFUND_INITIATED
    _cells(table, asked, (_S.FUNDS_LOCKED, _S.RESULT_SUBMITTED, _S.REFUND_REQUESTED), asked)
    _cells(table, asked, (_S.DISPUTED,), _A.EXTERNAL)
    _cells(table, sent, (_S.FUNDS_LOCKED, _S.RESULT_SUBMITTED), asked)
    _cells(table, sent, (_S.REFUND_REQUESTED, _S.DISPUTED), _A.EXTERNAL)
    asked, sent = _A.UNSET_REFUND_REQUESTED, _A.UNSET_REFUND_INITIATED
    for action in (asked, sent):
        _cells(table, action, (_S.FUNDS_LOCKED, _S.RESULT_SUBMITTED), _A.EXTERNAL)
        _cells(table, action, (_S.REFUND_REQUESTED, _S.DISPUTED), asked)
    asked, sent = _A.WITHDRAW_REFUND_REQUESTED, _A.WITHDRAW_REFUND_INITIATED
    lost = {_S.FUNDS_OR_DATUM_INVALID, _S.RESULT_SUBMITTED, _S.WITHDRAWN, _S.DISPUTED_WITHDRAWN}
    for action in (asked, sent):
        _cells(table, action, set(State) - lost, asked)
        _cells(table, action, (_S.REFUND_WITHDRAWN,), _A.NONE)
        _cells(table, action, (_S.WITHDRAW_AUTHORIZED,), _A.EXTERNAL)
    asked, sent = _A.AUTHORIZE_WITHDRAWAL_REQUESTED, _A.AUTHORIZE_WITHDRAWAL_INITIATED
    for action in (asked, sent):
        _cells(table, action, (_S.DISPUTED,), asked)
        _cells(table, action, (_S.WITHDRAW_AUTHORIZED,), _A.EXTERNAL)
    return table


TABLES: Mapping[Side, Mapping[tuple[Action, State], Next]] = {Side.PAYMENT: _payment(), Side.PURCHASE: _purchase()}


def after(side: Side, action: Action, state: State) -> Next:
    """Return what a side that was about to do `action` does now that the chain says `state`."""
    return TABLES[side].get((action, state), Next(Action.MANUAL, noted=True))
