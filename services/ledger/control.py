"""What no real service has: keys for the asking, money from nothing, and faults to order.  For operators and tests."""

import base64
import dataclasses
import hmac
import secrets

from meshkit.idempotency import Request
from meshkit.masumi.identifiers import new_wallet
from services.ledger.domain import books, steps
from services.ledger.domain.accounts import DEV_KEY_ID, PURCHASING, SELLING, Key
from services.ledger.domain.actions import Action, Side
from services.ledger.domain.chain import State
from services.ledger.domain.deals import Deal, Funds, new_id
from services.ledger.domain.errors import BadRequest, Exists, Missing
from services.ledger.domain.options import DEV_LOVELACE, NETWORKS
from services.ledger.ports.store import Session


def ensure_dev_key(session: Session) -> None:
    """Make the key `dev`, a buyer and a seller with plenty of money, for its token; off loopback, take it away."""
    key, token = session.key_by_id(DEV_KEY_ID), session.options.development_token
    if key is None and session.options.development and token:
        add_key(session, Key(id=DEV_KEY_ID, name="dev", can_pay=True), token, [(DEV_LOVELACE, "")])
    elif key is not None:
        key.revoked = not session.options.development
        session.save_key(key, token)


def go_on(session: Session) -> None:
    """See that the clock does not go back behind what has happened: the machine's may have been set meanwhile."""
    last = session.last_change()
    if last > session.now:
        session.set_clock(session.clock.set(at=last))


def new_token(secret: bytes = b"", request: Request | None = None) -> str:
    """Return a token for the HTTP API: by chance or, for a request that names itself, the same each time.

    So who repeats the request is told the token again, though no store has it.
    """
    raw = secrets.token_bytes(32)
    if request is not None:
        named = "\0".join((request.owner, request.request_id, request.body_hash))
        raw = hmac.digest(secret, f"ledger key\0{named}".encode(), "sha256")
    return f"mesh-{base64.urlsafe_b64encode(raw).decode().rstrip('=')}"


def create_key(session: Session, key: Key, funds: Funds, token: str) -> Key:
    """Make an API key with a wallet to sell and one to buy on each of its networks, for this token."""
    if any(network not in NETWORKS for network in key.networks) or not key.networks:
        raise BadRequest('networks: Invalid option: expected one of "Preprod"|"Mainnet"')
    if any(existing.name == key.name for existing in session.all_keys()):
        raise Exists("A key of this name exists")
    key = dataclasses.replace(key, id=new_id(), created_at=session.now)
    add_key(session, key, token, funds)
    return key


def find_key(session: Session, key_id: str) -> Key:
    """Return a key, or raise `Missing`."""
    key = session.key_by_id(key_id)
    if key is None:
        raise Missing("API key not found")
    return key


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
    key = find_key(session, key_id)
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
