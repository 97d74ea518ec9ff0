"""`mesh.payments.v1.PaymentService`."""

from collections.abc import AsyncIterator, Sequence

from agentmesh_protos.payments.v1 import payments_pb2 as pb
from agentmesh_protos.payments.v1 import payments_pb2_grpc as pb_grpc

from meshkit import names, paging
from meshkit.idempotency import ask
from meshkit.interceptors import Context
from meshkit.principal import caller, check_owner
from services.payments import wire
from services.payments.domain import Payment
from services.payments.payments import Payments
from services.payments.watches import Watches


class PaymentServicer(pb_grpc.PaymentServiceServicer):
    """Keeps payments, one per job."""

    def __init__(self, payments: Payments, watches: Watches, *, heartbeat_s: float) -> None:
        self._payments = payments
        self._watches = watches
        self._heartbeat_s = heartbeat_s

    async def CreatePayment(self, request: pb.CreatePaymentRequest, context: Context) -> pb.Payment:
        """Record that a job is to be paid for, and have the provider asked."""
        sent = request.payment
        return self._pb(await self._payments.create(sent.job, sent.owner, wire.terms_of(sent), ask(request)))

    async def GetPayment(self, request: pb.GetPaymentRequest, context: Context) -> pb.Payment:
        """Return a payment of the caller's."""
        return self._pb(await self._own(request.name))

    async def ListPayments(self, request: pb.ListPaymentsRequest, context: Context) -> pb.ListPaymentsResponse:
        """List the caller's payments, newest first; of everybody for who sees all."""
        me = caller()
        owner = "" if me.sees_all else me.user

        async def fetch(before: str, limit: int) -> Sequence[tuple[int, Payment]]:
            return await self._payments.page(owner, paging.number(before), limit)

        found = await paging.page(request, fetch, lambda item: str(item[0]), "payments", owner)
        return pb.ListPaymentsResponse(
            payments=[self._pb(payment) for _, payment in found.items], next_page_token=found.next_token
        )

    async def WatchPayment(
        self, request: pb.WatchPaymentRequest, context: Context
    ) -> AsyncIterator[pb.WatchPaymentResponse]:
        """Stream a payment of the caller's, as it is and after each change."""
        payment = await self._own(request.name)
        async for batch in self._watches.watch(payment.payment_id, self._heartbeat_s):
            yield pb.WatchPaymentResponse(payments=map(self._pb, batch))

    async def WatchPayments(
        self, request: pb.WatchPaymentsRequest, context: Context
    ) -> AsyncIterator[pb.WatchPaymentResponse]:
        """Stream every payment that has not ended, then whatever changes."""
        await self._payments.hear_times()  # else what has begun anew takes a provider's clock for its own
        async for batch in self._watches.watch_all(self._heartbeat_s):
            yield pb.WatchPaymentResponse(payments=map(self._pb, batch))

    async def SubmitResult(self, request: pb.SubmitResultRequest, context: Context) -> pb.Payment:
        """Record the hash of a job's result."""
        payment_id = names.parse(request.name, "payments")
        return self._pb(await self._payments.submit_result(payment_id, request.result_hash))

    async def AuthorizeRefund(self, request: pb.AuthorizeRefundRequest, context: Context) -> pb.Payment:
        """Record that the money is to go back."""
        return self._pb(await self._payments.authorize_refund(names.parse(request.name, "payments")))

    def _pb(self, payment: Payment) -> pb.Payment:
        return wire.payment_pb(payment, self._payments.ahead_s(payment))

    async def _own(self, name: str) -> Payment:
        payment = await self._payments.get(names.parse(name, "payments"))
        check_owner(payment.owner, f"payments/{payment.payment_id}")
        return payment
