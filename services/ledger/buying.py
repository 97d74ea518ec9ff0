"""The buyer's calls: pay, ask for the money back, or no longer.  Checks and words are Masumi's, in its order."""

import contextlib
import dataclasses
from collections.abc import Iterator

from meshkit.masumi import identifiers
from meshkit.masumi.identifiers import NotGenuine, SignedTerms
from services.ledger.domain import rules
from services.ledger.domain.accounts import DEV_KEY_ID, HOUSE, PURCHASING, Agent, Key
from services.ledger.domain.actions import Action, Side
from services.ledger.domain.books import total
from services.ledger.domain.chain import State
from services.ledger.domain.deals import Deal, Funds, Record, new_id
from services.ledger.domain.errors import BadRequest, Exists, Missing
from services.ledger.domain.options import POLICIES, POLICY_CHARS
from services.ledger.ports.store import Session
from services.ledger.registry import find_agent
from services.ledger.selling import check_source, own


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PurchaseAsk:
    """The body of `POST /purchase`.  Times in ms since 1970."""

    blockchain_identifier: str
    network: str
    input_hash: str
    seller_vkey: str
    agent_identifier: str
    purchaser_identifier: str
    pay_by_time: int
    submit_result_time: int
    unlock_time: int
    external_dispute_unlock_time: int
    funds: tuple[tuple[int, str], ...] | None = None
    """Amounts."""
    metadata: str | None = None
    buyer_return_address: str | None = None
    source_type: str = ""
    source_index: int | None = None


def create_purchase(session: Session, key: Key, ask: PurchaseAsk) -> Deal:
    """Pay for what the seller has signed.  Raises `Exists` for what is paid for already: nothing is paid twice."""
    deal = session.deal(ask.blockchain_identifier, ask.network)
    if deal is not None and deal.purchase is not None:
        raise Exists("Purchase exists", id=deal.purchase.id)
    with _genuine():
        parsed = identifiers.parse(ask.blockchain_identifier)
    check_source(ask.source_type, ask.source_index)
    rules.check_input_hash(ask.input_hash)
    if ask.agent_identifier[:POLICY_CHARS].lower() != POLICIES.get(ask.network):
        raise Missing("No payment source found for agent identifiers policy id")
    owner = "" if key.id == HOUSE.id else key.id
    purses = session.wallets(ask.network, PURCHASING, owner)
    if not purses:
        raise Missing("No valid purchasing wallets found")
    times = rules.times(ask.pay_by_time, ask.submit_result_time, ask.unlock_time, ask.external_dispute_unlock_time)
    rules.check_times(times, session.now)
    agent = find_agent(session, ask.network, ask.agent_identifier)
    seller_vkey = _seller_vkey(session, agent, ask.seller_vkey)
    funds = rules.purchase_price(agent, None if ask.funds is None else list(ask.funds))
    _check_identifier(ask, agent, parsed, seller_vkey, funds)
    if deal is None:  # signed by our key, but the request is gone: nobody would deliver
        raise BadRequest("Invalid blockchain identifier, signature invalid")
    _spend_credits(session, key, funds)
    now = session.now
    deal.purchase = Record(
        id=new_id(),
        side=Side.PURCHASE,
        key_id=key.id,
        metadata=ask.metadata,
        action=Action.FUNDS_LOCKING_REQUESTED,
        work_at=now + session.options.pace.worker_delay_ms,
        shown_vkey=ask.seller_vkey,
        created_at=now,
        updated_at=now,
        action_at=now,
        state_at=now,
    )
    deal.buyer_vkey = purses[0].vkey
    deal.buyer_return_address = ask.buyer_return_address
    session.save(deal)
    return deal


def _seller_vkey(session: Session, agent: Agent, given: str) -> str:
    options = session.options
    if given == agent.holder_vkey:
        return given
    # Development: the notebook's purchase names the key of its author's wallet, which nobody here can sign with.
    if options.development and options.vkey_alias and given == options.vkey_alias:
        held = session.wallet(agent.holder_vkey)
        if held is not None and held[2] == DEV_KEY_ID:
            return agent.holder_vkey
    raise BadRequest("Invalid seller vkey")


def _check_identifier(
    ask: PurchaseAsk, agent: Agent, parsed: identifiers.Identifier, seller_vkey: str, funds: Funds
) -> None:
    if parsed.purchaser_identifier != ask.purchaser_identifier:
        raise BadRequest("Invalid blockchain identifier, purchaser id mismatch")
    rules.check_purchaser(ask.purchaser_identifier)
    if parsed.agent_identifier != ask.agent_identifier:
        raise BadRequest("Invalid blockchain identifier, agent identifier mismatch")
    signed = SignedTerms(
        input_hash=ask.input_hash,
        agent_identifier=ask.agent_identifier,
        purchaser_identifier=ask.purchaser_identifier,
        seller_identifier=parsed.seller_identifier,
        funds=None if agent.pricing_type == "Fixed" else tuple(funds),
        pay_by_time=ask.pay_by_time,
        submit_result_time=ask.submit_result_time,
        unlock_time=ask.unlock_time,
        external_dispute_unlock_time=ask.external_dispute_unlock_time,
    )
    with _genuine():
        identifiers.verify(parsed, signed, seller_vkey)


@contextlib.contextmanager
def _genuine() -> Iterator[None]:
    """Refuse an identifier that is not as the service does."""
    try:
        yield
    except NotGenuine as error:
        raise BadRequest(str(error)) from None


def _spend_credits(session: Session, key: Key, funds: Funds) -> None:
    if not key.usage_limited:
        return
    # Anew, within the transaction: of two purchases at once the second must see what the first has spent.
    key = session.key_by_id(key.id) or key
    for unit, amount in total(funds).items():
        left = int(key.credits.get(unit, "0")) - amount
        if left < 0:
            raise BadRequest("Insufficient funds")
        key.credits[unit] = str(left)
    session.save_key(key)


def _in_state(session: Session, key: Key, network: str, identifier: str, states: set[State]) -> Deal:
    deal = session.deal(identifier, network)
    if (
        deal is None
        or deal.purchase is None
        or deal.purchase.state not in states
        or deal.purchase.action != Action.EXTERNAL
        or deal.purchase.tx is None
    ):
        raise Missing("Purchase not found or not in valid state")
    own(deal.purchase, key, "purchase")
    return deal


def request_refund(session: Session, key: Key, network: str, identifier: str) -> Deal:
    """Ask for the money back."""
    deal = _in_state(session, key, network, identifier, {State.FUNDS_LOCKED, State.RESULT_SUBMITTED})
    return _want(session, deal, Action.SET_REFUND_REQUESTED)


def cancel_refund_request(session: Session, key: Key, network: str, identifier: str) -> Deal:
    """No longer ask for it."""
    deal = _in_state(session, key, network, identifier, {State.REFUND_REQUESTED, State.DISPUTED})
    return _want(session, deal, Action.UNSET_REFUND_REQUESTED)


def _want(session: Session, deal: Deal, action: Action) -> Deal:
    assert deal.purchase is not None, "its state was looked at"
    deal.purchase.set_action(action, work_at=session.now + session.options.pace.worker_delay_ms)
    session.save(deal)
    return deal
