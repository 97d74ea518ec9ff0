"""The payments service on the wire: unpack, call, pack."""

import datetime
from collections.abc import Callable

from mesh.payments.v1 import payments_pb2 as pb
from mesh.payments.v1 import payments_pb2_grpc as pb_grpc

from meshkit import names, paging
from meshkit.auth import caller, check_owner
from meshkit.errors import Invalid
from meshkit.interceptors import Context
from services.payments import domain
from services.payments.domain import Payment, State
from services.payments.store import PaymentStore

_STATES = {State.CREATED: pb.PAYMENT_STATE_CREATED}


class PaymentServicer(pb_grpc.PaymentServiceServicer):
    """Keeps payments, one per job."""

    def __init__(self, store: PaymentStore, now: Callable[[], datetime.datetime]) -> None:
        self._store = store
        self._now = now

    async def CreatePayment(self, request: pb.CreatePaymentRequest, context: Context) -> pb.Payment:
        """Record what a job is to be paid with, once."""
        sent = request.payment
        payment = domain.new_payment(
            job=sent.job, owner=sent.owner, amount=sent.amount, unit=sent.unit, now=self._now()
        )
        return to_pb(await self._store.record(payment))

    async def GetPayment(self, request: pb.GetPaymentRequest, context: Context) -> pb.Payment:
        """Return a payment of the caller's."""
        payment = await self._store.get(names.parse(request.name, "payments"))
        check_owner(payment.owner, f"payments/{payment.payment_id}")
        return to_pb(payment)

    async def ListPayments(self, request: pb.ListPaymentsRequest, context: Context) -> pb.ListPaymentsResponse:
        """List the caller's payments, newest first; operators and services see all."""
        me = caller()
        owner = "" if me.sees_all else me.user
        size = paging.size(request.page_size)
        before = _number(paging.decode(request.page_token, "payments", owner))
        page = await self._store.page(owner, before, size + 1)
        token = paging.encode(str(page[size - 1][0]), "payments", owner) if len(page) > size else ""
        return pb.ListPaymentsResponse(payments=[to_pb(payment) for _, payment in page[:size]], next_page_token=token)


def to_pb(payment: Payment) -> pb.Payment:
    """Return the payment as it is on the wire."""
    message = pb.Payment(
        name=f"payments/{payment.payment_id}",
        job=f"jobs/{payment.payment_id}",
        owner=payment.owner,
        state=_STATES[payment.state],
        amount=payment.amount,
        unit=payment.unit,
    )
    message.create_time.FromDatetime(payment.created_at)
    return message


def _number(text: str) -> int:
    if not text:
        return 0
    if text.isascii() and text.isdigit() and 0 < int(text[:19]) < 2**62:
        return int(text[:19])
    raise Invalid("page_token is not one of ours", {"page_token": ["pass it as it was given"]})
