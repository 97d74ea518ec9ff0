"""The ledger's records as protobuf messages, and back."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from agentmesh_protos.payments.v1 import ledger_pb2 as pb
from agentmesh_protos.payments.v1 import payments_pb2
from google.protobuf import json_format, struct_pb2

from meshkit.clock import millis_of, stamp_ms
from meshkit.errors import Invalid
from meshkit.masumi.identifiers import Wallet
from services.ledger.buying import PurchaseAsk
from services.ledger.domain.accounts import Agent, Key
from services.ledger.domain.actions import Side
from services.ledger.domain.chain import State
from services.ledger.domain.clock import Clock
from services.ledger.domain.deals import Deal, Funds, Tx, normal_unit
from services.ledger.domain.errors import BadRequest
from services.ledger.domain.options import NETWORKS
from services.ledger.faults import Fault, FaultKind
from services.ledger.registry import AgentAsk
from services.ledger.selling import PaymentAsk

SIDES: Mapping[int, Side] = {pb.LEDGER_SIDE_PAYMENT: Side.PAYMENT, pb.LEDGER_SIDE_PURCHASE: Side.PURCHASE}
_SIDES: Mapping[Side, pb.LedgerSide.ValueType] = {
    Side.PAYMENT: pb.LEDGER_SIDE_PAYMENT,
    Side.PURCHASE: pb.LEDGER_SIDE_PURCHASE,
}
_FAULTS: Mapping[int, FaultKind] = {
    pb.LEDGER_FAULT_KIND_LOST: FaultKind.LOST,
    pb.LEDGER_FAULT_KIND_TIMEOUT: FaultKind.TIMEOUT,
    pb.LEDGER_FAULT_KIND_ERROR: FaultKind.ERROR,
}
_FAULT_NUMBERS = {kind: number for number, kind in _FAULTS.items()}
_DIGITS_MAX = 25


def network_of(text: str) -> str:
    """Return a network's name; raise `BadRequest` for any other text."""
    if text not in NETWORKS:
        raise BadRequest('network: Invalid option: expected one of "Preprod"|"Mainnet"')
    return text


def side_of(number: int) -> Side:
    """Return the side; raise `Invalid` if it was left out."""
    if number not in SIDES:
        raise Invalid("side is required", {"side": ["say whose view: LEDGER_SIDE_PAYMENT or LEDGER_SIDE_PURCHASE"]})
    return SIDES[number]


def payment_ask(request: pb.RequestFundsRequest) -> PaymentAsk:
    """Return what a seller asks for."""
    return PaymentAsk(
        network=request.network,
        agent_identifier=request.agent_identifier,
        purchaser_identifier=request.purchaser_identifier,
        input_hash=request.input_hash,
        pay_by_time=millis_of(request.pay_by_time),
        submit_result_time=millis_of(request.submit_result_time),
        unlock_time=_time(request, "unlock_time"),
        external_dispute_unlock_time=_time(request, "external_dispute_unlock_time"),
        funds=tuple(funds_of(request.funds, "RequestedFunds")) or None,
        metadata=_optional(request, "metadata"),
        seller_return_address=_optional(request, "seller_return_address"),
        source_type=request.source_type,
        source_index=_optional(request, "source_index"),
    )


def purchase_ask(request: pb.LockFundsRequest) -> PurchaseAsk:
    """Return what a buyer pays for."""
    return PurchaseAsk(
        blockchain_identifier=request.blockchain_identifier,
        network=request.network,
        input_hash=request.input_hash,
        seller_vkey=request.seller_vkey,
        agent_identifier=request.agent_identifier,
        purchaser_identifier=request.purchaser_identifier,
        pay_by_time=millis_of(request.pay_by_time),
        submit_result_time=millis_of(request.submit_result_time),
        unlock_time=millis_of(request.unlock_time),
        external_dispute_unlock_time=millis_of(request.external_dispute_unlock_time),
        funds=tuple(funds_of(request.funds, "Amounts")) or None,
        metadata=_optional(request, "metadata"),
        buyer_return_address=_optional(request, "buyer_return_address"),
        source_type=request.source_type,
        source_index=_optional(request, "source_index"),
    )


def agent_ask(sent: pb.LedgerAgent) -> AgentAsk:
    """Return what is to be registered."""
    if not 1 <= len(sent.display_name) <= 250:
        raise BadRequest("name: expected 1 to 250 characters")
    return AgentAsk(
        network=sent.network,
        selling_wallet_vkey=sent.holder_vkey,
        name=sent.display_name,
        pricing_type=sent.pricing_type,
        pricing=tuple(funds_of(sent.pricing, "AgentPricing.Pricing")),
        metadata=dict(json_format.MessageToDict(sent.metadata)),
    )


def _optional(message: Any, field: str) -> Any:
    return getattr(message, field) if message.HasField(field) else None


def _time(message: Any, field: str) -> int | None:
    return millis_of(getattr(message, field)) if message.HasField(field) else None


def money_pb(funds: Iterable[tuple[int, str]]) -> list[payments_pb2.Money]:
    """Return amounts as messages."""
    return [payments_pb2.Money(amount=str(amount), unit=unit) for amount, unit in funds]


def funds_of(messages: Iterable[payments_pb2.Money], field: str) -> Funds:
    """Return amounts from messages.  Raises `BadRequest`, naming `field`, for what is no number."""
    found = []
    for money in messages:
        if not (money.amount.isascii() and money.amount.isdigit()) or len(money.amount) > _DIGITS_MAX:
            raise BadRequest(f"{field}: amount must be at most {_DIGITS_MAX} digits")
        found.append((int(money.amount), normal_unit(money.unit)))
    return found


def record_pb(deal: Deal, side: Side, seller_address: str) -> pb.LedgerRecord:
    """Return one side's view of a deal."""
    record = deal.record(side)
    assert record is not None, "the caller has looked"
    mine, other = deal.seller_cooldown, deal.buyer_cooldown
    if side == Side.PURCHASE:
        mine, other = other, mine
    message = pb.LedgerRecord(
        id=record.id,
        side=_SIDES[side],
        network=deal.network,
        blockchain_identifier=deal.blockchain_identifier,
        agent_identifier=deal.agent_identifier,
        agent_name=deal.agent_name,
        pricing_type=deal.pricing_type,
        input_hash=deal.input_hash,
        result_hash=record.result_hash,
        state=record.state.value if record.state else "",
        action=record.action.value,
        action_result_hash=record.next_result_hash or "",
        error_type=record.error_type or "",
        error_note=record.error_note or "",
        pay_by_time=stamp_ms(deal.pay_by_time),
        submit_result_time=stamp_ms(deal.submit_result_time),
        unlock_time=stamp_ms(deal.unlock_time),
        external_dispute_unlock_time=stamp_ms(deal.external_dispute_unlock_time),
        collateral=deal.collateral,
        funds=money_pb(deal.funds),
        withdrawn_for_seller=money_pb(record.withdrawn_seller),
        withdrawn_for_buyer=money_pb(record.withdrawn_buyer),
        history=[_tx_pb(tx) for tx in record.history],
        buyer_vkey=deal.buyer_vkey if deal.state or side == Side.PURCHASE else "",
        seller_vkey=record.shown_vkey or deal.seller_vkey,
        seller_address=seller_address,
        requested_by=record.key_id,
        metadata=record.metadata,
        create_time=stamp_ms(record.created_at),
        update_time=stamp_ms(record.updated_at),
        action_change_time=stamp_ms(record.action_at),
        state_change_time=stamp_ms(record.state_at),
        seller_return_address=deal.seller_return_address,
        buyer_return_address=deal.buyer_return_address,
        actions=[pb.LedgerActionChange(time=stamp_ms(at), action=action.value) for at, action in record.actions],
    )
    if record.tx is not None:
        message.transaction.CopyFrom(_tx_pb(record.tx))
    if mine:
        message.cooldown_time.CopyFrom(stamp_ms(mine))
    if other:
        message.other_cooldown_time.CopyFrom(stamp_ms(other))
    return message


def _tx_pb(tx: Tx) -> pb.LedgerTransaction:
    def name(state: State | None) -> str:
        return state.value if state else ""

    message = pb.LedgerTransaction(
        id=tx.id,
        tx_hash=tx.tx_hash,
        status=tx.status,
        previous_state=name(tx.previous_state),
        new_state=name(tx.new_state),
        send_time=stamp_ms(tx.sent_at),
    )
    if tx.block_time is not None:
        message.block_time.CopyFrom(stamp_ms(tx.block_time))
    return message


def key_pb(key: Key) -> pb.LedgerKey:
    """Return a key."""
    return pb.LedgerKey(
        id=key.id,
        display_name=key.name,
        can_read=key.can_read,
        can_pay=key.can_pay,
        can_admin=key.can_admin,
        networks=key.networks,
        usage_limited=key.usage_limited,
        credits=money_pb((int(amount), unit) for unit, amount in key.credits.items()),
        revoked=key.revoked,
    )


def key_of(message: pb.LedgerKey) -> Key:
    """Return the key that a message asks for.  Raises `Invalid`."""
    name = message.display_name.strip()
    if not 1 <= len(name) <= 100:
        raise Invalid("key.display_name is required", {"key.display_name": ["1 to 100 characters"]})
    return Key(
        id="",
        name=name,
        can_read=message.can_read,
        can_pay=message.can_pay,
        can_admin=message.can_admin,
        networks=list(dict.fromkeys(message.networks)) or list(NETWORKS),
        usage_limited=message.usage_limited,
        credits={unit: str(amount) for amount, unit in funds_of(message.credits, "key.credits")},
    )


def wallet_pb(wallet: Wallet, funds: Funds) -> pb.LedgerWallet:
    """Return a wallet."""
    return pb.LedgerWallet(vkey=wallet.vkey, address=wallet.address, balances=money_pb(funds))


def agent_pb(agent: Agent, holder_address: str) -> pb.LedgerAgent:
    """Return an entry of the registry."""
    metadata = struct_pb2.Struct()
    metadata.update(agent.metadata)
    return pb.LedgerAgent(
        id=agent.id,
        agent_identifier=agent.agent_identifier,
        network=agent.network,
        holder_vkey=agent.holder_vkey,
        state=agent.state,
        display_name=agent.name,
        pricing_type=agent.pricing_type,
        pricing=money_pb(agent.pricing),
        metadata=metadata,
        create_time=stamp_ms(agent.created_at),
        update_time=stamp_ms(agent.updated_at),
        holder_address=holder_address,
    )


def clock_pb(clock: Clock) -> pb.LedgerClock:
    """Return the clock."""
    return pb.LedgerClock(time=stamp_ms(clock.now()), scale=clock.scale)


def fault_pb(fault: Fault) -> pb.LedgerFault:
    """Return a fault."""
    values = dataclasses.asdict(fault)
    return pb.LedgerFault(**{**values, "kind": _FAULT_NUMBERS[fault.kind]})


def fault_of(message: pb.LedgerFault) -> Fault:
    """Return the fault that a message asks for.  Raises `Invalid`."""
    if message.kind not in _FAULTS or not message.call:
        raise Invalid("fault.call and fault.kind are required", {"fault.kind": ["LOST, TIMEOUT or ERROR"]})
    return Fault(
        call=message.call[:100],
        kind=_FAULTS[message.kind],
        count=message.count or 1,
        delay_s=message.delay_s,
        status=message.status or 500,
    )
