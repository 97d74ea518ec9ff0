"""The payments service on the wire: unpack, call, pack."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from google.protobuf import timestamp_pb2
from mesh.payments.v1 import payments_pb2 as pb
from mesh.payments.v1 import payments_pb2_grpc as pb_grpc

from meshkit import names, paging
from meshkit.errors import Invalid
from meshkit.interceptors import Context
from meshkit.principal import caller, check_owner
from services.payments.domain import Amount, Payment, Terms
from services.payments.payments import Payments


class PaymentServicer(pb_grpc.PaymentServiceServicer):
    """Keeps payments, one per job."""

    def __init__(self, payments: Payments, *, heartbeat_s: float, stopping: asyncio.Event) -> None:
        self._payments = payments
        self._store = payments.store
        self._heartbeat_s = heartbeat_s
        self._stopping = stopping

    async def CreatePayment(self, request: pb.CreatePaymentRequest, context: Context) -> pb.Payment:
        """See payments.proto."""
        sent = request.payment
        return to_pb(await self._payments.create(sent.job, sent.owner, _terms(sent)))

    async def GetPayment(self, request: pb.GetPaymentRequest, context: Context) -> pb.Payment:
        """See payments.proto."""
        return to_pb(await self._own(request.name))

    async def ListPayments(self, request: pb.ListPaymentsRequest, context: Context) -> pb.ListPaymentsResponse:
        """See payments.proto."""
        me = caller()
        owner = "" if me.sees_all else me.user
        size = paging.size(request.page_size)
        before = _number(paging.decode(request.page_token, "payments", owner))
        page = await self._store.page(owner, before, size + 1)
        token = paging.encode(str(page[size - 1][0]), "payments", owner) if len(page) > size else ""
        return pb.ListPaymentsResponse(payments=[to_pb(payment) for _, payment in page[:size]], next_page_token=token)

    async def WatchPayment(
        self, request: pb.WatchPaymentRequest, context: Context
    ) -> AsyncIterator[pb.WatchPaymentResponse]:
        """See payments.proto."""
        payment = await self._own(request.name)
        watch = self._payments.hub.watch(payment.payment_id, self._heartbeat_s, self._stopping)
        async for batch in watch:
            yield _batch(batch)

    async def WatchPayments(
        self, request: pb.WatchPaymentsRequest, context: Context
    ) -> AsyncIterator[pb.WatchPaymentResponse]:
        """See payments.proto."""
        async for batch in self._payments.hub.watch_all(self._heartbeat_s, self._stopping):
            yield _batch(batch)

    async def SubmitResult(self, request: pb.SubmitResultRequest, context: Context) -> pb.Payment:
        """See payments.proto."""
        return to_pb(await self._payments.submit_result(names.parse(request.name, "payments"), request.result_hash))

    async def AuthorizeRefund(self, request: pb.AuthorizeRefundRequest, context: Context) -> pb.Payment:
        """See payments.proto."""
        return to_pb(await self._payments.authorize_refund(names.parse(request.name, "payments")))

    async def _own(self, name: str) -> Payment:
        payment = await self._store.get(names.parse(name, "payments"))
        check_owner(payment.owner, f"payments/{payment.payment_id}")
        return payment


def _terms(sent: pb.Payment) -> Terms:
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
        pay_by_time=_ms(sent.pay_by_time),
        submit_result_time=_ms(sent.submit_result_time),
        unlock_time=_ms(sent.unlock_time),
        external_dispute_unlock_time=_ms(sent.external_dispute_unlock_time),
        amounts=tuple(amounts),
    )


def to_pb(payment: Payment) -> pb.Payment:
    """Return the payment as it is on the wire."""
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
    )


def _batch(payments: Sequence[Payment]) -> pb.WatchPaymentResponse:
    return pb.WatchPaymentResponse(payments=[to_pb(payment) for payment in payments])


def _money(amounts: Sequence[Amount]) -> list[pb.Money]:
    return [pb.Money(amount=str(amount), unit=unit) for amount, unit in amounts]


def _at(ms: int) -> timestamp_pb2.Timestamp | None:
    if not ms:
        return None
    moment = timestamp_pb2.Timestamp()
    moment.FromMilliseconds(ms)
    return moment


def _ms(moment: timestamp_pb2.Timestamp) -> int:
    return int(moment.ToMilliseconds())


def _number(text: str) -> int:
    if not text:
        return 0
    if text.isascii() and text.isdigit() and 0 < int(text[:19]) < 2**62:
        return int(text[:19])
    raise Invalid("page_token is not one of ours", {"page_token": ["pass it as it was given"]})
