"""The tables: every cell, written out from the originals and not taken from the code."""

import itertools

import pytest

from services.ledger.domain import chain
from services.ledger.domain.actions import INITIATED, REQUESTED, WORKS, Action, Side, after
from services.ledger.domain.chain import Deed, State

A, S = Action, State
L, I, R, Q, D = S.FUNDS_LOCKED, S.FUNDS_OR_DATUM_INVALID, S.RESULT_SUBMITTED, S.REFUND_REQUESTED, S.DISPUTED  # noqa: E741 # short in a table
WA, RA, W, RW, DW = (
    S.WITHDRAW_AUTHORIZED,
    S.REFUND_AUTHORIZED,
    S.WITHDRAWN,
    S.REFUND_WITHDRAWN,
    S.DISPUTED_WITHDRAWN,
)
EXTERNAL = {
    **dict.fromkeys((L, R, Q, D, WA, RA), A.EXTERNAL),
    **dict.fromkeys((W, RW, DW), A.NONE),
}
IGNORE = dict.fromkeys((L, I, R, Q, D, W, RW, DW), A.IGNORE)
BACK = {
    **dict.fromkeys((L, Q, D, RA), A.WITHDRAW_REFUND_REQUESTED),
    RW: A.NONE,
    WA: A.EXTERNAL,
}
UNSET = {L: A.EXTERNAL, R: A.EXTERNAL, Q: A.UNSET_REFUND_REQUESTED, D: A.UNSET_REFUND_REQUESTED}
TABLE: dict[Side, dict[Action, dict[State, Action]]] = {
    Side.PAYMENT: {
        A.EXTERNAL: EXTERNAL,
        A.IGNORE: IGNORE,
        A.SUBMIT_RESULT_REQUESTED: dict.fromkeys((L, R, Q, D), A.SUBMIT_RESULT_REQUESTED),
        A.SUBMIT_RESULT_INITIATED: {
            R: A.EXTERNAL,
            D: A.EXTERNAL,
            L: A.SUBMIT_RESULT_REQUESTED,
            Q: A.SUBMIT_RESULT_REQUESTED,
        },
        A.WITHDRAW_REQUESTED: {D: A.WITHDRAW_REQUESTED, WA: A.WITHDRAW_REQUESTED},
        A.WITHDRAW_INITIATED: {D: A.WITHDRAW_REQUESTED, WA: A.WITHDRAW_REQUESTED, W: A.NONE},
        A.AUTHORIZE_REFUND_REQUESTED: {
            R: A.AUTHORIZE_REFUND_REQUESTED,
            D: A.AUTHORIZE_REFUND_REQUESTED,
            RA: A.EXTERNAL,
        },
        A.AUTHORIZE_REFUND_INITIATED: {
            Q: A.EXTERNAL,
            RA: A.EXTERNAL,
            D: A.AUTHORIZE_REFUND_REQUESTED,
            R: A.AUTHORIZE_REFUND_REQUESTED,
        },
    },
    Side.PURCHASE: {
        A.EXTERNAL: EXTERNAL,
        A.IGNORE: IGNORE,
        A.FUNDS_LOCKING_INITIATED: {L: A.EXTERNAL},
        A.SET_REFUND_REQUESTED: {**dict.fromkeys((L, R, Q), A.SET_REFUND_REQUESTED), D: A.EXTERNAL},
        A.SET_REFUND_INITIATED: {
            L: A.SET_REFUND_REQUESTED,
            R: A.SET_REFUND_REQUESTED,
            Q: A.EXTERNAL,
            D: A.EXTERNAL,
        },
        A.UNSET_REFUND_REQUESTED: UNSET,
        A.UNSET_REFUND_INITIATED: UNSET,
        A.WITHDRAW_REFUND_REQUESTED: BACK,
        A.WITHDRAW_REFUND_INITIATED: BACK,
        A.AUTHORIZE_WITHDRAWAL_REQUESTED: {D: A.AUTHORIZE_WITHDRAWAL_REQUESTED, WA: A.EXTERNAL},
        A.AUTHORIZE_WITHDRAWAL_INITIATED: {D: A.AUTHORIZE_WITHDRAWAL_REQUESTED, WA: A.EXTERNAL},
    },
}


@pytest.mark.parametrize("side", list(Side))
def test_every_cell_is_as_pinned(side: Side) -> None:
    """What the table leaves open waits for a person."""
    for action, state in itertools.product(Action, State):
        expected = TABLE[side].get(action, {}).get(state, A.MANUAL)

        assert expected == after(side, action, state).action, (action, state)


def test_what_waits_for_a_person_is_noted() -> None:
    """And one cell that goes on is noted too."""
    noted = {
        (side, action, state)
        for side, action, state in itertools.product(Side, Action, State)
        if after(side, action, state).noted and after(side, action, state).action != A.MANUAL
    }

    assert {(Side.PAYMENT, A.AUTHORIZE_REFUND_INITIATED, R)} == noted
    assert after(Side.PURCHASE, A.FUNDS_LOCKING_REQUESTED, L).noted


@pytest.mark.parametrize(
    ("deed", "state", "has_result", "to"),
    [
        (Deed.SUBMIT_RESULT, L, False, R),
        (Deed.SUBMIT_RESULT, R, True, R),
        (Deed.SUBMIT_RESULT, Q, False, D),
        (Deed.SUBMIT_RESULT, D, True, D),
        (Deed.REQUEST_REFUND, L, False, Q),
        (Deed.REQUEST_REFUND, R, True, D),
        (Deed.REQUEST_REFUND, D, True, D),
        (Deed.CANCEL_REFUND, Q, False, L),
        (Deed.CANCEL_REFUND, D, True, R),
        (Deed.WITHDRAW_REFUND, L, False, RW),
        (Deed.WITHDRAW_REFUND, Q, False, RW),
        (Deed.AUTHORIZE_REFUND, D, True, Q),
        (Deed.WITHDRAW, R, True, W),
        (Deed.SETTLE, D, True, DW),
    ],
)
def test_an_arrow_of_the_contract(deed: Deed, state: State, has_result: bool, to: State) -> None:
    """And never the same with or without a result, whichever it is not."""
    assert to == chain.target(deed, state, has_result)
    assert chain.target(deed, state, not has_result) is None


def test_there_are_no_other_arrows() -> None:
    """Least of all from an end, or from nothing."""
    assert 14 == len(chain.ARROWS)
    assert not {state for _, state, _ in chain.ARROWS} & chain.ENDED
    assert all(chain.target(deed, None, False) is None for deed in Deed)


def test_every_work_has_two_actions() -> None:
    """Requested by a call or a deadline, initiated by the worker; each belongs to one work."""
    assert len(WORKS) == len(REQUESTED) == len(INITIATED)
    assert set(Deed) - {Deed.SETTLE} == set(WORKS)
