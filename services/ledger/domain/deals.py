"""The records of the ledger: one deal per blockchainIdentifier, with the seller's and the buyer's view of it."""

import dataclasses
import json
import secrets
from typing import Any

from services.ledger.domain.actions import Action, Side
from services.ledger.domain.chain import Deed, State

HISTORY_MAX = 50
Funds = list[tuple[int, str]]
"""Amounts and units; the unit of lovelace is an empty text."""


def new_id() -> str:
    """Return an id of the service's kind: a cuid, `c` and 24 characters."""
    return "c" + "".join(secrets.choice("0123456789abcdefghijklmnopqrstuvwxyz") for _ in range(24))


def normal_unit(unit: str) -> str:
    """Return the unit as it is kept: `lovelace`, in any case, is the empty text."""
    return "" if unit.lower() == "lovelace" else unit


@dataclasses.dataclass(slots=True, kw_only=True)
class Tx:
    """A transaction as a side sees it."""

    id: str
    tx_hash: str
    deed: Deed
    status: str = "Pending"
    """Pending, Confirmed, FailedViaTimeout, FailedViaManualReset or RolledBack."""
    base: int
    """The deal's version that it spends: another transaction that is faster makes it fail."""
    sent_at: int
    confirm_at: int | None
    previous_state: State | None
    new_state: State | None
    block_time: int | None = None


@dataclasses.dataclass(slots=True, kw_only=True)
class Record:
    """One side's view: a payment (the seller's) or a purchase (the buyer's).  Times in ms since 1970."""

    id: str
    side: Side
    key_id: str
    """The API key that made it."""
    metadata: str | None = None
    state: State | None = None
    result_hash: str = ""
    action: Action = Action.EXTERNAL
    next_result_hash: str | None = None
    """What SubmitResult will submit."""
    error_type: str | None = None
    """NetworkError, InsufficientFunds or Unknown."""
    error_note: str | None = None
    failed: Deed | None = None
    """What error-state-recovery can try again."""
    work_at: int | None = None
    """When the worker looks at a `…Requested` action; None: never."""
    tx: Tx | None = None
    history: list[Tx] = dataclasses.field(default_factory=list)
    actions: list[tuple[int, Action]] = dataclasses.field(default_factory=list)
    withdrawn_seller: Funds = dataclasses.field(default_factory=list)
    withdrawn_buyer: Funds = dataclasses.field(default_factory=list)
    shown_vkey: str = ""
    """Purchase: the seller's key as the buyer wrote it (in development an alias is taken)."""
    stuck: str = ""
    """Injected: the note with which the next piece of work fails."""
    created_at: int
    updated_at: int
    action_at: int
    """When `action` or an error last changed."""
    state_at: int
    """When `state` or the result last changed."""

    def set_action(self, action: Action, *, work_at: int | None = None) -> None:
        """Go on to `action`, and forget an error."""
        self.action, self.work_at = action, work_at
        self.error_type = self.error_note = self.failed = None

    def fail(self, note: str, error_type: str = "Unknown", failed: Deed | None = None) -> None:
        """Wait for a person."""
        self.action, self.work_at = Action.MANUAL, None
        self.error_type, self.error_note, self.failed = error_type, note, failed

    def replace_tx(self, tx: Tx) -> None:
        """Show another transaction as the current one."""
        if self.tx is not None and self.tx.id != tx.id:
            self.history = [*self.history, self.tx][-HISTORY_MAX:]
        self.tx = tx


@dataclasses.dataclass(slots=True, kw_only=True)
class Deal:
    """The escrow of one blockchainIdentifier."""

    id: str
    network: str
    blockchain_identifier: str
    agent_identifier: str
    agent_name: str
    pricing_type: str
    seller_identifier: str
    purchaser_identifier: str
    input_hash: str
    pay_by_time: int
    submit_result_time: int
    unlock_time: int
    external_dispute_unlock_time: int
    seller_vkey: str
    seller_return_address: str | None = None
    buyer_return_address: str | None = None
    funds: Funds
    """What it costs."""
    buyer_vkey: str = ""
    """The purchasing wallet; empty before the purchase."""
    paid: Funds = dataclasses.field(default_factory=list)
    """What the lock holds, the collateral included."""
    collateral: int = 0
    # What the chain says.
    state: State | None = None
    result_hash: str = ""
    seller_cooldown: int = 0
    buyer_cooldown: int = 0
    version: int = 0
    datum_input_hash: str = ""
    """Of a lock with a foreign input hash (injected)."""
    invalid: str = ""
    """Injected: why the lock's datum will not be valid."""
    undo: dict[str, Any] | None = None
    """What a rollback of the last transaction restores."""
    payment: Record
    purchase: Record | None = None

    def record(self, side: Side) -> Record | None:
        """Return a side's view."""
        return self.payment if side == Side.PAYMENT else self.purchase

    @property
    def records(self) -> list[Record]:
        """Both views, or the seller's alone."""
        return [self.payment] if self.purchase is None else [self.payment, self.purchase]

    @property
    def escrow(self) -> str:
        """The account of the money in escrow."""
        return f"escrow:{self.id}"

    @property
    def flight(self) -> str:
        """The account of money in a transaction that is not confirmed."""
        return f"flight:{self.id}"


def stamp(deal: Deal, before: Deal | None, now: int) -> None:
    """Set the times of what has changed since `before`."""
    for record in deal.records:
        old = before.record(record.side) if before is not None else None
        if old is not None and record == old:
            continue
        record.updated_at = now
        if old is None or _action(record) != _action(old):
            record.action_at = now
            record.actions = [*record.actions, (now, record.action)][-HISTORY_MAX:]
        if old is None or (record.state, record.result_hash) != (old.state, old.result_hash):
            record.state_at = now


def _action(record: Record) -> tuple[Any, ...]:
    return record.action, record.next_result_hash, record.error_type, record.error_note


# -- as text ---------------------------------------------------------------------------------------------------------


def dump(deal: Deal) -> str:
    """Return the deal as JSON."""
    return json.dumps(dataclasses.asdict(deal), separators=(",", ":"))


def load(text: str) -> Deal:
    """Return the deal that `dump` wrote."""
    values = json.loads(text)
    values["payment"] = _record(values["payment"])
    values["purchase"] = _record(values["purchase"]) if values["purchase"] else None
    values["state"] = State(values["state"]) if values["state"] else None
    for name in ("funds", "paid"):
        values[name] = _funds(values[name])
    return Deal(**values)


def _record(values: dict[str, Any]) -> Record:
    values["side"] = Side(values["side"])
    values["state"] = State(values["state"]) if values["state"] else None
    values["action"] = Action(values["action"])
    values["failed"] = Deed(values["failed"]) if values["failed"] else None
    values["tx"] = _tx(values["tx"]) if values["tx"] else None
    values["history"] = [_tx(item) for item in values["history"]]
    values["actions"] = [(at, Action(action)) for at, action in values["actions"]]
    for name in ("withdrawn_seller", "withdrawn_buyer"):
        values[name] = _funds(values[name])
    return Record(**values)


def _tx(values: dict[str, Any]) -> Tx:
    values["deed"] = Deed(values["deed"])
    for name in ("previous_state", "new_state"):
        values[name] = State(values[name]) if values[name] else None
    return Tx(**values)


def _funds(values: list[list[Any]]) -> Funds:
    return [(int(amount), str(unit)) for amount, unit in values]
