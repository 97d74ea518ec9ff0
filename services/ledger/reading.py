"""Reading records, and helping one that waits for a person: the same for payments and purchases."""

from services.ledger.domain.accounts import Key
from services.ledger.domain.actions import WORKS, Action, Side
from services.ledger.domain.chain import TERMINAL, Deed
from services.ledger.domain.deals import Deal, Record
from services.ledger.domain.errors import BadRequest, Missing
from services.ledger.ports.store import Session
from services.ledger.selling import own

_RETRYABLE = {Deed.SUBMIT_RESULT, Deed.WITHDRAW, Deed.AUTHORIZE_REFUND}


def name_of(side: Side) -> str:
    """Return what the service calls a record of this side."""
    return "Payment" if side == Side.PAYMENT else "Purchase"


def resolve(session: Session, key: Key, side: Side, network: str, blockchain_identifier: str) -> Deal:
    """Return one record of the key's, or raise `Missing`."""
    deal = session.deal(blockchain_identifier, network)
    record = deal.record(side) if deal is not None else None
    if deal is None or record is None or whose(key) not in ("", record.key_id):
        raise Missing(f"{name_of(side)} not found")
    return deal


def whose(key: Key) -> str:
    """Return whose records a key sees: its own, by its id; all, by an empty text, if it is an admin's."""
    return "" if key.can_admin else key.id


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
