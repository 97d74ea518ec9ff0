"""What no real service has: keys for the asking, money from nothing, and faults to order.  For operators and tests."""

import asyncio
import dataclasses
import enum

from services.payments.ledger import books, steps
from services.payments.ledger.accounts import DEV_KEY_ID, Key
from services.payments.ledger.actions import Action, Side
from services.payments.ledger.chain import State
from services.payments.ledger.deals import Deal, Funds, new_id
from services.payments.ledger.errors import BadRequest, Broken, Exists, Lost, Missing
from services.payments.ledger.identifiers import new_wallet
from services.payments.ledger.options import DEV_LOVELACE, DEV_TOKEN, NETWORKS
from services.payments.ledger.session import PURCHASING, SELLING, Session, new_token

FAULTS_MAX = 100
DELAY_S_MAX = 20.0
"""Less than the deadline of a call between services."""


def ensure_dev_key(session: Session) -> None:
    """Make the token `dev`, a buyer and a seller with plenty of money; off loopback, take it away."""
    key = session.key_by_id(DEV_KEY_ID)
    if key is None and session.options.development:
        add_key(session, Key(id=DEV_KEY_ID, name="dev", can_pay=True), DEV_TOKEN, [(DEV_LOVELACE, "")])
    elif key is not None and key.revoked == session.options.development:
        key.revoked = not session.options.development
        session.save_key(key)


def create_key(session: Session, key: Key, funds: Funds) -> tuple[Key, str]:
    """Make an API key with a wallet to sell and one to buy on each of its networks; return it and its token."""
    if any(network not in NETWORKS for network in key.networks) or not key.networks:
        raise BadRequest('networks: Invalid option: expected one of "Preprod"|"Mainnet"')
    if any(existing.name == key.name for existing in session.all_keys()):
        raise Exists("A key of this name exists")
    token = new_token()
    key = dataclasses.replace(key, id=new_id(), created_at=session.now)
    add_key(session, key, token, funds)
    return key, token


def add_key(session: Session, key: Key, token: str, funds: Funds) -> None:
    """Keep a key and its wallets; the purchasing ones get `funds`."""
    session.save_key(key, token)
    for network in key.networks:
        for kind in (SELLING, PURCHASING):
            wallet = new_wallet(network)
            session.add_wallet(wallet, kind, key.id)
            if kind == PURCHASING:
                session.hand_out(network, wallet.vkey, funds)


def revoke_key(session: Session, key_id: str) -> Key:
    """Let a token be refused from now on."""
    key = session.key_by_id(key_id)
    if key is None:
        raise Missing("API key not found")
    key.revoked = True
    session.save_key(key)
    return key


def fund(session: Session, vkey: str, funds: Funds) -> None:
    """Give a wallet imitated money."""
    held = session.wallet(vkey)
    if held is None:
        raise Missing("Wallet not found")
    if any(amount <= 0 for amount, _ in funds):
        raise BadRequest("amounts must be positive")
    session.hand_out(held[0].network, vkey, funds)


# -- faults of one deal ----------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tampering:
    """What to do to a deal; what is left out stays as it is."""

    side: Side = Side.PAYMENT
    stuck: str = ""
    """The side's next piece of work fails with this note."""
    invalid_datum: str = ""
    """The lock is not valid, with this note."""
    datum_input_hash: str = ""
    """The lock has this input hash."""
    paid: tuple[tuple[int, str], ...] = ()
    """The lock holds this, in place of what was asked for."""
    force_state: str = ""
    """The side's record says this, whatever the chain says; `null` for no state."""
    force_action: str = ""
    roll_back: bool = False
    """The last confirmed transaction is undone, and sent again."""


def tamper(session: Session, blockchain_identifier: str, how: Tampering) -> Deal:
    """Do something to a deal that no caller of the real API could."""
    deal = session.deal(blockchain_identifier)
    record = deal.record(how.side) if deal is not None else None
    if deal is None or record is None:
        raise Missing(f"{how.side} not found")
    deal.invalid = how.invalid_datum or deal.invalid
    deal.datum_input_hash = how.datum_input_hash or deal.datum_input_hash
    record.stuck = how.stuck or record.stuck
    if how.paid:
        if deal.state is not None or (deal.purchase is not None and deal.purchase.tx is not None):
            raise BadRequest("paid: the lock has been sent")
        _, collateral = steps.with_collateral(deal.funds)
        sums = books.total(how.paid)
        sums[""] = sums.get("", 0) + collateral
        deal.paid, deal.collateral = [(amount, unit) for unit, amount in sums.items()], collateral
    try:
        if how.force_state:
            record.state = None if how.force_state == "null" else State(how.force_state)
        if how.force_action:
            record.set_action(Action(how.force_action))
    except ValueError as error:
        raise BadRequest(str(error)) from None
    if how.roll_back:
        if not steps.can_roll_back(deal):
            raise BadRequest("there is no transaction to roll back")
        steps.roll_back(deal, session.now, session, session.options.pace)
    session.save(deal)
    return deal


def settle(session: Session, blockchain_identifier: str, seller: Funds) -> Deal:
    """Let the admins end a dispute: `seller` gets that, the buyer the rest."""
    deal = session.deal(blockchain_identifier)
    if deal is None or deal.state != State.DISPUTED:
        raise Missing("Payment not found or in invalid state")
    if session.now <= deal.external_dispute_unlock_time:
        raise BadRequest("externalDisputeUnlockTime has not passed")
    held = books.total(deal.paid)
    if any(amount < 0 or amount > held.get(unit, 0) for unit, amount in books.total(seller).items()):
        raise BadRequest("the escrow does not hold that much")
    steps.settle(deal, seller, session.now, session, session.options.pace)
    session.save(deal)
    return deal


# -- faults of calls -------------------------------------------------------------------------------------------------


class FaultKind(enum.StrEnum):
    """What goes wrong with a call."""

    LOST = "lost"
    """It is carried out, but the answer does not come (504)."""
    TIMEOUT = "timeout"
    """It hangs for `delay_s`, is not carried out, and no answer comes (504)."""
    ERROR = "error"
    """It is not carried out, and the answer is `status`."""


@dataclasses.dataclass(slots=True, kw_only=True)
class Fault:
    """Goes wrong `count` times, then no more."""

    call: str
    """Such as `payment` or `payment/submit-result`; `*` for any."""
    kind: FaultKind
    count: int = 1
    delay_s: float = 0.0
    status: int = 500


class Faults:
    """The faults that wait to happen; they are gone with the process."""

    def __init__(self) -> None:
        self.waiting: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Let something go wrong.  Raises `BadRequest` for a fault that cannot be."""
        if not 1 <= fault.count <= 10_000 or not 0 <= fault.delay_s <= DELAY_S_MAX or not 500 <= fault.status <= 599:
            raise BadRequest(f"a fault has a count of 1 to 10000, a delay of at most {DELAY_S_MAX} s, a status of 5xx")
        if len(self.waiting) >= FAULTS_MAX:
            raise BadRequest(f"there are {FAULTS_MAX} faults already: clear them first")
        self.waiting.append(fault)

    def _take(self, call: str, kinds: set[FaultKind]) -> Fault | None:
        for fault in self.waiting:
            if fault.call in (call, "*") and fault.kind in kinds:
                fault.count -= 1
                if not fault.count:
                    self.waiting.remove(fault)
                return fault
        return None

    async def before(self, call: str) -> None:
        """Fail a call that is not to be carried out."""
        fault = self._take(call, {FaultKind.TIMEOUT, FaultKind.ERROR})
        if fault is None:
            return
        if fault.delay_s:
            await asyncio.sleep(fault.delay_s)
        if fault.kind == FaultKind.TIMEOUT:
            raise Lost("injected: no answer in time")
        raise Broken("Internal Server Error", http=str(fault.status))

    async def after(self, call: str) -> None:
        """Fail a call that has been carried out."""
        fault = self._take(call, {FaultKind.LOST})
        if fault is not None:
            await asyncio.sleep(fault.delay_s)
            raise Lost("injected: the answer was lost")
