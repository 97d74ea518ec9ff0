"""The ledger's records as protobuf messages, and back."""

import dataclasses
from collections.abc import Iterable, Mapping

from google.protobuf import json_format, struct_pb2, timestamp_pb2
from mesh.payments.v1 import ledger_pb2 as pb
from mesh.payments.v1 import payments_pb2

from meshkit.errors import Invalid
from services.payments.ledger.accounts import Agent, Key
from services.payments.ledger.actions import Side
from services.payments.ledger.chain import State
from services.payments.ledger.clock import Clock
from services.payments.ledger.control import Fault, FaultKind
from services.payments.ledger.deals import Deal, Funds, Tx, normal_unit
from services.payments.ledger.errors import BadRequest
from services.payments.ledger.identifiers import Wallet
from services.payments.ledger.options import NETWORKS

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
_YEAR_10000_MS = 253_402_300_800_000


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


def time_pb(moment: int) -> timestamp_pb2.Timestamp:
    """Return a time that is given in ms since 1970."""
    message = timestamp_pb2.Timestamp()
    message.FromMilliseconds(min(max(moment, 0), _YEAR_10000_MS - 1))
    return message


def ms(message: timestamp_pb2.Timestamp) -> int:
    """Return a time in ms since 1970."""
    return int(message.ToMilliseconds())


def money_pb(funds: Iterable[tuple[int, str]]) -> list[payments_pb2.Money]:
    """Return amounts as messages."""
    return [payments_pb2.Money(amount=str(amount), unit=unit) for amount, unit in funds]


def funds_of(messages: Iterable[payments_pb2.Money], field: str) -> Funds:
    """Return amounts from messages.  Raises `BadRequest`, naming `field`, for what is no number."""
    found = []
    for money in messages:
        digits = money.amount.removeprefix("-")
        if not (digits.isascii() and digits.isdigit()) or len(money.amount) > _DIGITS_MAX:
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
        pay_by_time=time_pb(deal.pay_by_time),
        submit_result_time=time_pb(deal.submit_result_time),
        unlock_time=time_pb(deal.unlock_time),
        external_dispute_unlock_time=time_pb(deal.external_dispute_unlock_time),
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
        create_time=time_pb(record.created_at),
        update_time=time_pb(record.updated_at),
        action_change_time=time_pb(record.action_at),
        state_change_time=time_pb(record.state_at),
        seller_return_address=deal.seller_return_address,
        buyer_return_address=deal.buyer_return_address,
        actions=[pb.LedgerActionChange(time=time_pb(at), action=action.value) for at, action in record.actions],
    )
    if record.tx is not None:
        message.transaction.CopyFrom(_tx_pb(record.tx))
    if mine:
        message.cooldown_time.CopyFrom(time_pb(mine))
    if other:
        message.other_cooldown_time.CopyFrom(time_pb(other))
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
        send_time=time_pb(tx.sent_at),
    )
    if tx.block_time is not None:
        message.block_time.CopyFrom(time_pb(tx.block_time))
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
        create_time=time_pb(agent.created_at),
        update_time=time_pb(agent.updated_at),
        holder_address=holder_address,
    )


def metadata_of(message: struct_pb2.Struct) -> dict[str, object]:
    """Return a struct as a dictionary."""
    return dict(json_format.MessageToDict(message))


def clock_pb(clock: Clock) -> pb.LedgerClock:
    """Return the clock."""
    return pb.LedgerClock(time=time_pb(clock.now()), scale=clock.scale)


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
