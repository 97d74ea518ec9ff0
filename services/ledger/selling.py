"""The seller's calls: ask to be paid, submit the result, authorise a refund.  Checks and words of Masumi's API."""

import dataclasses

from meshkit.masumi import identifiers
from meshkit.masumi.identifiers import SignedTerms
from services.ledger.domain import rules
from services.ledger.domain.accounts import SELLING, Agent, Key
from services.ledger.domain.actions import Action, Side
from services.ledger.domain.chain import State
from services.ledger.domain.deals import Deal, Funds, Record, new_id
from services.ledger.domain.errors import BadRequest, Forbidden, Malformed, Missing
from services.ledger.domain.options import POLICIES, POLICY_CHARS, SOURCE_TYPE
from services.ledger.ports.store import Session
from services.ledger.registry import find_agent


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PaymentAsk:
    """The body of `POST /payment`.  Times in ms since 1970."""

    network: str
    agent_identifier: str
    purchaser_identifier: str
    input_hash: str
    pay_by_time: int
    submit_result_time: int
    unlock_time: int | None = None
    external_dispute_unlock_time: int | None = None
    funds: tuple[tuple[int, str], ...] | None = None
    """RequestedFunds: for dynamic pricing only."""
    metadata: str | None = None
    seller_return_address: str | None = None
    source_type: str = ""
    source_index: int | None = None


def check_source(source_type: str, source_index: int | None) -> None:
    """Raise `BadRequest` for anything but the V1 contract: the ledger has no other."""
    if source_type not in ("", SOURCE_TYPE):
        raise BadRequest("paymentSourceType does not match the agent registry source")
    if source_index is not None:
        raise BadRequest("supportedPaymentSourceIndex is only supported for V2 Cardano payments")


def create_payment(session: Session, key: Key, ask: PaymentAsk) -> Deal:
    """Make a request to be paid, and sign it.  Every call makes another one, as at the original."""
    if ask.agent_identifier[:POLICY_CHARS].lower() != POLICIES.get(ask.network):
        raise Missing("Network and policyId combination not supported")
    check_source(ask.source_type, ask.source_index)
    rules.check_length("agentIdentifier", ask.agent_identifier, rules.AGENT_CHARS_MIN, rules.AGENT_CHARS_MAX)
    rules.check_purchaser(ask.purchaser_identifier)
    rules.check_input_hash(ask.input_hash)
    times = rules.times(ask.pay_by_time, ask.submit_result_time, ask.unlock_time, ask.external_dispute_unlock_time)
    rules.check_times(times, session.now)
    agent = find_agent(session, ask.network, ask.agent_identifier)
    if agent.pricing_type not in ("Fixed", "Free", "Dynamic"):
        raise Malformed("Agent registry metadata not valid")
    asked = None if ask.funds is None else list(ask.funds)
    funds = rules.payment_price(agent, asked)
    held = session.wallet(agent.holder_vkey)
    if held is None or held[1] != SELLING:
        raise Missing("Selling wallet not found")
    wallet, _, owner = held
    if not key.can_admin and owner != key.id:
        raise Missing("Not found")
    signed = SignedTerms(
        input_hash=ask.input_hash,
        agent_identifier=ask.agent_identifier,
        purchaser_identifier=ask.purchaser_identifier,
        seller_identifier=identifiers.new_seller_identifier(ask.agent_identifier),
        funds=None if agent.pricing_type == "Fixed" else tuple(funds),
        pay_by_time=times.pay_by,
        submit_result_time=times.submit_result,
        unlock_time=times.unlock,
        external_dispute_unlock_time=times.external_dispute,
    )
    deal = _new_deal(session, key, ask, agent, funds, signed, identifiers.sign(signed, wallet))
    session.save(deal)
    return deal


def _new_deal(
    session: Session, key: Key, ask: PaymentAsk, agent: Agent, funds: Funds, signed: SignedTerms, identifier: str
) -> Deal:
    now = session.now
    payment = Record(
        id=new_id(),
        side=Side.PAYMENT,
        key_id=key.id,
        metadata=ask.metadata,
        created_at=now,
        updated_at=now,
        action_at=now,
        state_at=now,
    )
    return Deal(
        id=new_id(),
        network=ask.network,
        blockchain_identifier=identifier,
        agent_identifier=ask.agent_identifier,
        agent_name=agent.name,
        pricing_type=agent.pricing_type,
        seller_identifier=signed.seller_identifier,
        purchaser_identifier=ask.purchaser_identifier,
        input_hash=ask.input_hash,
        pay_by_time=signed.pay_by_time,
        submit_result_time=signed.submit_result_time,
        unlock_time=signed.unlock_time,
        external_dispute_unlock_time=signed.external_dispute_unlock_time,
        seller_vkey=agent.holder_vkey,
        seller_return_address=ask.seller_return_address,
        funds=funds,
        payment=payment,
    )


def own(record: Record, key: Key, what: str) -> None:
    """Raise `Forbidden` unless the key made the record, or is an admin."""
    if record.key_id != key.id and not key.can_admin:
        raise Forbidden(f"You are not authorized to perform this action on this {what}")


def _in_state(session: Session, key: Key, network: str, identifier: str, states: set[State]) -> Deal:
    deal = session.deal(identifier, network)
    if (
        deal is None
        or deal.payment.state not in states
        or deal.payment.action != Action.EXTERNAL
        or deal.payment.tx is None
    ):
        raise Missing("Payment not found or in invalid state")
    own(deal.payment, key, "payment")
    return deal


def submit_result(session: Session, key: Key, network: str, identifier: str, result_hash: str) -> Deal:
    """Ask for the hash to be put on the chain.  Like the original, it does not look at the deadline."""
    rules.check_result_hash(result_hash)
    states = {State.FUNDS_LOCKED, State.REFUND_REQUESTED, State.DISPUTED}
    deal = _in_state(session, key, network, identifier, states)
    deal.payment.set_action(Action.SUBMIT_RESULT_REQUESTED, work_at=session.now + session.options.pace.worker_delay_ms)
    deal.payment.next_result_hash = result_hash.lower()
    session.save(deal)
    return deal


def authorize_refund(session: Session, key: Key, network: str, identifier: str) -> Deal:
    """Ask for a dispute to be given up.  From RefundRequested it is taken too, and then hangs, as at the original."""
    deal = _in_state(session, key, network, identifier, {State.REFUND_REQUESTED, State.DISPUTED})
    deal.payment.set_action(
        Action.AUTHORIZE_REFUND_REQUESTED, work_at=session.now + session.options.pace.worker_delay_ms
    )
    session.save(deal)
    return deal
