"""Between payments and the messages of `mesh.payments.v1`."""

from collections.abc import Sequence

from agentmesh_protos.payments.v1 import payments_pb2 as pb
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from meshkit.clock import millis_of, stamp_ms
from meshkit.errors import Invalid
from services.payments.domain import Amount, Payment, Terms


def terms_of(sent: pb.Payment) -> Terms:
    """Return what a provider is to be asked for.  Raises `Invalid` for amounts that are none."""
    wrong = {}
    amounts = []
    for money in sent.amounts:
        if not (money.amount.isascii() and money.amount.isdigit() and len(money.amount) <= 25):
            wrong["amounts"] = ["each amount must be up to 25 decimal digits"]
        elif not money.unit.isascii() or len(money.unit) > 150:
            wrong["amounts"] = ["each unit must be empty for lovelace, else policy id and asset name in hex"]
        else:
            amounts.append((int(money.amount), "" if money.unit.lower() == "lovelace" else money.unit))
    if wrong:
        raise Invalid(f"amounts: {wrong['amounts'][0]}", wrong)
    return Terms(
        job_id="",
        network=sent.network,
        agent_identifier=sent.agent_identifier,
        purchaser_identifier=sent.purchaser_identifier,
        input_hash=sent.input_hash,
        pay_by_time=millis_of(sent.pay_by_time),
        submit_result_time=millis_of(sent.submit_result_time),
        unlock_time=millis_of(sent.unlock_time),
        external_dispute_unlock_time=millis_of(sent.external_dispute_unlock_time),
        amounts=tuple(amounts),
    )


def payment_pb(payment: Payment, ahead_s: int) -> pb.Payment:
    """Return the payment as it is on the wire; its provider's clock is so far ahead of ours."""
    return pb.Payment(
        name=f"payments/{payment.payment_id}",
        job=f"jobs/{payment.payment_id}",
        owner=payment.owner,
        state=pb.PaymentState.Value(f"PAYMENT_STATE_{payment.state.name}"),
        network=payment.network,
        agent_identifier=payment.agent_identifier,
        purchaser_identifier=payment.purchaser_identifier,
        input_hash=payment.input_hash,
        blockchain_identifier=payment.blockchain_identifier,
        pay_by_time=_at(payment.pay_by_time),
        submit_result_time=_at(payment.submit_result_time),
        unlock_time=_at(payment.unlock_time),
        external_dispute_unlock_time=_at(payment.external_dispute_unlock_time),
        seller_vkey=payment.seller_vkey,
        amounts=_money(payment.amounts or payment.asked_amounts),
        result_hash=payment.result_hash,
        refund_intended=payment.refund_intended,
        error=payment.error,
        provider=payment.provider,
        create_time=_at(payment.created_at),
        update_time=_at(payment.updated_at),
        lock_time=_at(payment.locked_at),
        provider_ahead=Duration(seconds=ahead_s) if ahead_s else None,
    )


def _money(amounts: Sequence[Amount]) -> list[pb.Money]:
    return [pb.Money(amount=str(amount), unit=unit) for amount, unit in amounts]


def _at(millis: int) -> Timestamp | None:
    return stamp_ms(millis) if millis else None
