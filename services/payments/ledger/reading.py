"""Reading records, and helping one that waits for a person: the same for payments and purchases (masumi.md §3.3)."""

import dataclasses
import enum

from services.payments.ledger.accounts import Key
from services.payments.ledger.actions import WORKS, Action, Side
from services.payments.ledger.chain import TERMINAL, Deed
from services.payments.ledger.deals import Deal, Record
from services.payments.ledger.errors import BadRequest, Missing
from services.payments.ledger.selling import own
from services.payments.ledger.session import Session

PAGE = 10
PAGE_MAX = 100
_RETRYABLE = {Deed.SUBMIT_RESULT, Deed.WITHDRAW, Deed.AUTHORIZE_REFUND}


class Changed(enum.StrEnum):
    """What a diff looks at; the values are columns."""

    EITHER = "either_at"
    ACTION = "action_at"
    STATE = "state_at"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What `GET /payment` and `GET /purchase` narrow to."""

    state: str = ""
    needs_manual_action: bool = False
    search: str = ""
    """In id, agent's name or blockchainIdentifier."""


def name_of(side: Side) -> str:
    """Return what the service calls a record of this side."""
    return "Payment" if side == Side.PAYMENT else "Purchase"


def page(session: Session, side: Side, network: str, cursor: str, limit: int, wanted: Filter) -> list[Deal]:
    """Return records, newest first; `cursor` is the id of the first one."""
    conditions = ["records.side = :side", "records.network = :network", "records.number <= :first"]
    values = {
        "side": side.value,
        "network": network,
        "first": (session.position(cursor, "number") if cursor else None) or 2**62,
        "state": wanted.state,
        "search": f"%{wanted.search.replace('%', '').replace('_', '')}%",
    }
    if wanted.state:
        conditions.append("records.state = :state")
    if wanted.needs_manual_action:
        conditions.append(f"records.action = '{Action.MANUAL}'")
    if wanted.search:
        conditions.append("(records.id LIKE :search OR deals.doc LIKE :search)")
    return session.select(" AND ".join(conditions), values, "records.number DESC", _size(limit))


def diff(session: Session, side: Side, network: str, since: int, cursor: str, limit: int, by: Changed) -> list[Deal]:
    """Return what changed at or after `since`, oldest change first; `cursor` is the id of the first one."""
    condition = f"records.side = :side AND records.network = :network AND records.{by} >= :since"
    values = {"side": side.value, "network": network, "since": since, "cursor": cursor}
    position = session.position(cursor, by) if cursor else None
    if position is not None:
        values["since"] = max(since, position)
        values["position"] = position
        condition += f" AND (records.{by} > :position OR records.id >= :cursor)"
    return session.select(condition, values, f"records.{by}, records.id", _size(limit))


def _size(limit: int) -> int:
    return min(max(limit or PAGE, 1), PAGE_MAX)


def resolve(session: Session, side: Side, network: str, blockchain_identifier: str) -> Deal:
    """Return one record."""
    deal = session.deal(blockchain_identifier, network)
    if deal is None or deal.record(side) is None:
        raise Missing(f"{name_of(side)} not found")
    return deal


def by_metadata(session: Session, network: str, metadata: str, since: int, limit: int) -> list[Deal]:
    """Return the payments that were asked for with this metadata at or after `since`, oldest first."""
    condition = (
        "records.side = 'payment' AND records.metadata = :metadata"
        " AND records.network = :network AND records.created_at >= :since"
    )
    values = {"metadata": metadata, "network": network, "since": since}
    return session.select(condition, values, "records.number", limit)


def recover(
    session: Session, key: Key, side: Side, network: str, blockchain_identifier: str, updated_at: int, *, retry: bool
) -> Deal:
    """Let a record that waits for a person go on (`…/error-state-recovery`).

    Raises `Missing` if it has changed since `updated_at`, `BadRequest` if there is nothing to recover from.
    """
    deal = session.deal(blockchain_identifier, network)
    record = deal.record(side) if deal is not None else None
    if deal is None or record is None or record.updated_at != updated_at:
        raise Missing(f"{name_of(side)} not found or was changed in the meantime")
    own(record, key, name_of(side).lower())
    _check_recoverable(record, retry=retry)
    deed = record.failed
    if retry and deed is not None:
        if record.side == Side.PAYMENT and deed == Deed.SUBMIT_RESULT and not record.next_result_hash:
            raise BadRequest("No result hash to submit again")
        record.set_action(WORKS[deed].requested, work_at=session.now + session.options.pace.worker_delay_ms)
    else:
        record.set_action(Action.NONE if record.state in TERMINAL else Action.EXTERNAL)
    session.save(deal)
    return deal


def _check_recoverable(record: Record, *, retry: bool) -> None:
    what = name_of(record.side)
    if record.state is None:
        raise BadRequest(f"{what} is not yet on chain: nothing to recover")
    if record.action != Action.MANUAL:
        raise BadRequest(f"{what} is not in WaitingForManualAction state. Current state: {record.action}")
    if not record.error_type:
        raise BadRequest(f"{what} has no error to clear")
    if retry and (record.failed is None or record.failed not in _RETRYABLE):
        raise BadRequest("Previous action cannot be retried")
    if retry and record.state in TERMINAL:
        raise BadRequest(f"{what} is already in a terminal state: {record.state}")
