"""How time and the chain move a deal: workers, confirmations and deadlines, as functions of a deal and a moment.

`due` says when something happens next; `step` lets it happen.  Nothing here reads a clock, so a ledger that was off for
a day, or whose clock is set ahead, goes through the same moments in the same order.
"""

import dataclasses
import datetime
import secrets

from services.ledger.domain import chain
from services.ledger.domain.actions import INITIATED, REQUESTED, WORKS, Action, Side, after
from services.ledger.domain.books import Books, fee, move_all, total, wallet
from services.ledger.domain.chain import Deed, State
from services.ledger.domain.deals import Deal, Funds, Record, Tx, new_id

UNPAID = "Payment request payByTime ({}) passed without on-chain lock; no FundsLocked tx observed within 300s grace."
LATE = "Block time is after pay by time. This is a timed out purchase."
TOO_LATE = "Transaction timeout before sending"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast the imitated chain is, in ms of the ledger's clock, and in what it is stricter than the original."""

    worker_delay_ms: int = 500
    """From the request until the transaction is sent."""
    confirm_delay_ms: int = 1500
    """From then until it is confirmed."""
    strict_datum: bool = False
    """Whether the seller's side also compares the lock's input hash.  Masumi's does not."""
    fill_withdrawn: bool = True
    """Whether WithdrawnForSeller and -Buyer are filled at every end; the original fills them after disputes only."""


def due(deal: Deal) -> int | None:
    """Return the moment at which `step` has something to do, or None if nothing happens by itself any more."""
    moments = [moment for record in deal.records for moment in _moments(deal, record)]
    if deal.payment.state is None:
        moments.append(deal.pay_by_time + chain.UNPAID_GRACE_MS + 1)
    return min(moments, default=None)


def _moments(deal: Deal, record: Record) -> list[int]:
    moments = []
    if record.tx is not None and record.tx.status == "Pending" and record.tx.confirm_at is not None:
        moments.append(record.tx.confirm_at)
    if record.action in REQUESTED and record.work_at is not None:
        moments.append(record.work_at)
    if (automatic := _automatic(deal, record)) is not None:
        moments.append(automatic[1])
    return moments


def _automatic(deal: Deal, record: Record) -> tuple[Deed, int] | None:
    """What the service does by itself, and when: withdraw, or take back what was not earned."""
    if record.action != Action.EXTERNAL or record.state != deal.state:
        return None
    if record.side == Side.PAYMENT and deal.state == State.RESULT_SUBMITTED:
        return Deed.WITHDRAW, deal.unlock_time + chain.WITHDRAW_AFTER_MS
    if record.side == Side.PURCHASE and deal.state in (State.FUNDS_LOCKED, State.REFUND_REQUESTED):
        return Deed.WITHDRAW_REFUND, deal.submit_result_time + chain.WITHDRAW_AFTER_MS
    return None


def step(deal: Deal, now: int, books: Books, pace: Pace) -> None:
    """Let the next thing happen that is due at `now`; nothing, if nothing is."""
    for record in deal.records:
        tx = record.tx
        if tx is not None and tx.status == "Pending" and tx.confirm_at is not None and tx.confirm_at <= now:
            return _confirm(deal, record, tx, now, books, pace)
    if deal.payment.state is None and now > deal.pay_by_time + chain.UNPAID_GRACE_MS:
        return _expire(deal)
    for record in deal.records:
        if record.action in REQUESTED and record.work_at is not None and record.work_at <= now:
            return _work(deal, record, now, books, pace)
        automatic = _automatic(deal, record)
        if automatic is not None and automatic[1] <= now:
            return record.set_action(WORKS[automatic[0]].requested, work_at=now + pace.worker_delay_ms)
    return None


def _expire(deal: Deal) -> None:
    when = datetime.datetime.fromtimestamp(deal.pay_by_time / 1000, datetime.UTC)
    for record in deal.records:
        if record.state is None:
            record.state = State.FUNDS_OR_DATUM_INVALID
            record.fail(UNPAID.format(iso(when)))


def iso(when: datetime.datetime) -> str:
    """Return a time as JavaScript writes it: `2025-12-11T09:28:25.000Z`."""
    return when.strftime("%Y-%m-%dT%H:%M:%S.") + f"{when.microsecond // 1000:03d}Z"


# -- the worker: from requested to sent ------------------------------------------------------------------------------


def _work(deal: Deal, record: Record, now: int, books: Books, pace: Pace) -> None:
    deed = REQUESTED[record.action]
    if record.stuck:
        note, record.stuck = record.stuck, ""
        return record.fail(note, failed=deed)
    if deed == Deed.LOCK:
        return _send_lock(deal, record, now, books, pace)
    target = chain.target(deed, deal.state, bool(deal.result_hash))
    ready = _ready_at(deal, deed)
    if target is None or not _in_time(deal, deed, now, margin=True):
        record.work_at = None  # as the original: it stays requested until the chain changes, or for ever
        return None
    if now < ready:
        record.work_at = ready
        return None
    if deed == Deed.SUBMIT_RESULT and not record.next_result_hash:
        return record.fail("There is no result hash to submit")
    if deed == Deed.SUBMIT_RESULT and deal.datum_input_hash:
        return record.fail("Invalid datum: input hash of the lock is not the payment's", failed=deed)
    return _send(deal, record, deed, target, now, pace)


def _ready_at(deal: Deal, deed: Deed) -> int:
    """When the author's cooldown is over for certain."""
    if deed in (Deed.SUBMIT_RESULT, Deed.AUTHORIZE_REFUND):
        cooldown = deal.seller_cooldown
    elif deed in (Deed.REQUEST_REFUND, Deed.CANCEL_REFUND):
        cooldown = deal.buyer_cooldown
    else:
        return 0
    return cooldown + chain.COOLDOWN_MARGIN_MS + 1 if cooldown else 0


def _in_time(deal: Deal, deed: Deed, now: int, *, margin: bool) -> bool:
    """Whether the validator's deadline lets a deed through; with the service's `margin`, or just so."""
    if deed == Deed.SUBMIT_RESULT:
        return deal.submit_result_time > now + (chain.SUBMIT_MARGIN_MS if margin else 0)
    if deed == Deed.REQUEST_REFUND:
        return deal.unlock_time > now + (chain.REFUND_REQUEST_MARGIN_MS if margin else 0)
    return True


def _send(deal: Deal, record: Record, deed: Deed, target: State, now: int, pace: Pace) -> None:
    record.action, record.work_at = WORKS[deed].initiated, None
    record.replace_tx(
        Tx(
            id=new_id(),
            tx_hash=secrets.token_hex(32),
            deed=deed,
            base=deal.version,
            sent_at=now,
            confirm_at=now + pace.confirm_delay_ms,
            previous_state=deal.state,
            new_state=target,
        )
    )


def _send_lock(deal: Deal, record: Record, now: int, books: Books, pace: Pace) -> None:
    if deal.pay_by_time < now + chain.LOCK_PAY_MARGIN_MS or deal.submit_result_time < now + chain.LOCK_SUBMIT_MARGIN_MS:
        return record.fail(TOO_LATE)
    if not deal.paid:
        deal.paid, deal.collateral = with_collateral(deal.funds)
    purse = wallet(deal.buyer_vkey)
    if any(books.balance(purse, unit) < amount for unit, amount in total(deal.paid).items()):
        return record.fail("Insufficient funds", "InsufficientFunds")
    move_all(books, purse, deal.flight, deal.paid, "lock sent")
    return _send(deal, record, Deed.LOCK, State.FUNDS_LOCKED, now, pace)


def with_collateral(funds: Funds) -> tuple[Funds, int]:
    """Return what a lock of `funds` holds, and how much of it is the buyer's collateral."""
    sums = total(funds)
    collateral = 0 if sums.get("", 0) >= chain.COLLATERAL_MIN_LOVELACE else chain.COLLATERAL_MIN_LOVELACE
    sums[""] = sums.get("", 0) + collateral
    return [(amount, unit) for unit, amount in sums.items()], collateral


# -- the chain: from sent to confirmed -------------------------------------------------------------------------------


def _confirm(deal: Deal, record: Record, tx: Tx, now: int, books: Books, pace: Pace) -> None:
    if tx.deed == Deed.LOCK:
        return _confirm_lock(deal, record, tx, now, books, pace)
    target = chain.target(tx.deed, deal.state, bool(deal.result_hash))
    if tx.base != deal.version or target is None or not _in_time(deal, tx.deed, now, margin=False):
        tx.status = "FailedViaTimeout"
        if record.action in INITIATED:  # the worker looks again; it may find that it never can
            record.set_action(WORKS[tx.deed].requested, work_at=now + pace.worker_delay_ms)
        return None
    _remember(deal, record.side)
    if tx.deed == Deed.SUBMIT_RESULT:
        deal.result_hash = deal.payment.next_result_hash or ""
    elif tx.deed == Deed.AUTHORIZE_REFUND:
        deal.result_hash = ""
    if tx.deed in chain.SELLERS:
        deal.seller_cooldown, deal.buyer_cooldown = now + chain.COOLDOWN_MS, 0
    else:
        deal.buyer_cooldown, deal.seller_cooldown = now + chain.COOLDOWN_MS, 0
    _pay_out(deal, tx.deed, books, pace)
    return _sync(deal, tx, target, now, pace)


def _confirm_lock(deal: Deal, record: Record, tx: Tx, now: int, books: Books, pace: Pace) -> None:
    _remember(deal, record.side)
    move_all(books, deal.flight, deal.escrow, deal.paid, "lock confirmed")
    tx.status, tx.block_time = "Confirmed", now
    deal.version += 1
    if deal.payment.state is not None:  # it came after the grace: the money stays where nobody gets it
        deal.state = State.FUNDS_OR_DATUM_INVALID
        return
    wrong = [LATE] if now > deal.pay_by_time else []
    wrong += [deal.invalid] if deal.invalid else []
    foreign = ["Input hash does not match"] if deal.datum_input_hash else []
    seller = wrong + _amount_notes(deal) + (foreign if pace.strict_datum else [])
    buyer = wrong + foreign
    deal.state = State.FUNDS_OR_DATUM_INVALID if seller and buyer else State.FUNDS_LOCKED
    assert deal.purchase is not None, "only a purchase locks"
    for side, notes in ((deal.payment, seller), (deal.purchase, buyer)):
        side.replace_tx(dataclasses.replace(tx))
        if notes:
            side.state = State.FUNDS_OR_DATUM_INVALID
            side.fail(";\n".join(notes))
        else:
            side.state = State.FUNDS_LOCKED
            side.set_action(Action.EXTERNAL)


def _amount_notes(deal: Deal) -> list[str]:
    asked, paid = total(deal.funds), total(deal.paid)
    notes = []
    if len({*asked, ""}) != len({*paid, ""}):
        notes.append("Token counts do not match. Expected the same number of tokens as requested")
    lovelace = paid.get("", 0) - deal.collateral >= asked.get("", 0)
    tokens = all(paid.get(unit, 0) == amount for unit, amount in asked.items() if unit)
    if not lovelace or not tokens:
        notes.append("Payment amounts do not match. Expected what was requested")
    return notes


def _pay_out(deal: Deal, deed: Deed, books: Books, pace: Pace) -> None:
    if deed == Deed.WITHDRAW_REFUND:
        settle_money(deal, [], books, permille=0, shown=pace.fill_withdrawn)
    elif deed == Deed.WITHDRAW:
        seller = [(amount - (deal.collateral if not unit else 0), unit) for amount, unit in deal.paid]
        settle_money(deal, seller, books, permille=chain.FEE_PERMILLE, shown=pace.fill_withdrawn)


def settle_money(deal: Deal, seller: Funds, books: Books, *, permille: int, shown: bool) -> None:
    """Empty the escrow: `seller` gets his, less the fee; the buyer all the rest."""
    to_seller: Funds = []
    for amount, unit in seller:
        cut = fee(amount, permille)
        move_all(books, deal.escrow, f"fees:{deal.network}", [(cut, unit)], "fee")
        move_all(books, deal.escrow, wallet(deal.seller_vkey), [(amount - cut, unit)], "withdrawn by the seller")
        to_seller.append((amount - cut, unit))
    to_buyer = [(books.balance(deal.escrow, unit), unit) for unit in total(deal.paid)]
    move_all(books, deal.escrow, wallet(deal.buyer_vkey), to_buyer, "withdrawn by the buyer")
    if shown:
        for record in deal.records:
            record.withdrawn_seller = [item for item in to_seller if item[0]]
            record.withdrawn_buyer = [item for item in to_buyer if item[0]]


def _sync(deal: Deal, tx: Tx, state: State, now: int, pace: Pace) -> None:
    """Tell both sides what the chain says now."""
    deal.state = state
    deal.version += 1
    tx.status, tx.block_time, tx.new_state = "Confirmed", now, state
    for record in deal.records:
        if record.state == State.FUNDS_OR_DATUM_INVALID:
            continue  # that side has given it up
        if record.tx is not None and record.tx.id != tx.id and record.tx.status == "Pending":
            record.tx.status = "FailedViaTimeout"  # what it would have spent is gone
        record.replace_tx(dataclasses.replace(tx))
        record.state, record.result_hash = state, deal.result_hash
        following = after(record.side, record.action, state)
        if following.action == Action.MANUAL and record.action == Action.MANUAL:
            continue  # the first error says more
        note = f"Unexpected on-chain state {state} while {record.action}"
        if following.action == Action.MANUAL:
            record.fail(note, failed=REQUESTED.get(record.action) or INITIATED.get(record.action))
            continue
        if following.action not in REQUESTED:
            record.next_result_hash = None
        work_at = now + pace.worker_delay_ms if following.action in REQUESTED else None
        record.set_action(following.action, work_at=work_at)
        if following.noted:
            record.error_type, record.error_note = "Unknown", note


def settle(deal: Deal, seller: Funds, now: int, books: Books, pace: Pace) -> None:
    """Let the admins end a dispute: `seller` gets that, the buyer the rest.  The caller has checked the time."""
    _remember(deal, Side.PAYMENT)
    tx = Tx(
        id=new_id(),
        tx_hash=secrets.token_hex(32),
        deed=Deed.SETTLE,
        base=deal.version,
        sent_at=now,
        confirm_at=None,
        previous_state=deal.state,
        new_state=State.DISPUTED_WITHDRAWN,
    )
    settle_money(deal, seller, books, permille=0, shown=True)
    _sync(deal, tx, State.DISPUTED_WITHDRAWN, now, pace)


# -- rollback --------------------------------------------------------------------------------------------------------


def _remember(deal: Deal, side: Side) -> None:
    deal.undo = {
        "side": side.value,
        "state": deal.state,
        "result_hash": deal.result_hash,
        "seller_cooldown": deal.seller_cooldown,
        "buyer_cooldown": deal.buyer_cooldown,
        "next_result_hash": deal.payment.next_result_hash,
    }


def can_roll_back(deal: Deal) -> bool:
    """Whether the last transaction was confirmed, and its money is still in escrow."""
    return deal.undo is not None and deal.state not in chain.TERMINAL and deal.state is not None


def roll_back(deal: Deal, now: int, books: Books, pace: Pace) -> None:
    """Undo the last confirmed transaction; its author sends it again.  The caller has asked `can_roll_back`."""
    undo, deal.undo = deal.undo, None
    assert undo is not None, "can_roll_back was asked"
    state = State(undo["state"]) if undo["state"] else None
    deal.state, deal.result_hash = state, undo["result_hash"]
    deal.seller_cooldown, deal.buyer_cooldown = undo["seller_cooldown"], undo["buyer_cooldown"]
    deal.version += 1
    for record in deal.records:
        again = INITIATED.get(record.action)  # its transaction spends what is no longer there
        if record.tx is not None:
            if again is None and record.side == undo["side"] and record.tx.deed in WORKS:
                again = record.tx.deed
            record.tx.status = "FailedViaTimeout" if record.tx.status == "Pending" else "RolledBack"
        record.state, record.result_hash = state, deal.result_hash
        if again is not None:
            record.set_action(WORKS[again].requested, work_at=now + pace.worker_delay_ms)
        elif record.action in (Action.NONE, Action.MANUAL):
            record.set_action(Action.EXTERNAL)
    if undo["side"] == Side.PAYMENT:  # else the seller may have asked for another submit meanwhile: keep its hash
        deal.payment.next_result_hash = undo["next_result_hash"]
    if state is None:
        move_all(books, deal.escrow, wallet(deal.buyer_vkey), deal.paid, "lock rolled back")
        deal.paid, deal.collateral = [], 0
