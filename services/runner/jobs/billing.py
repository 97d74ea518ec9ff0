"""The runner's side of payments: asks for money before a job runs, and reports how the job ended.

Everything that must be told to the payments service stands in the job's row until it has been heard, so a crash on
either side only delays it.  What comes back arrives on one stream for all jobs.
"""

import asyncio
import contextlib
import functools
import random
from collections.abc import Callable

import grpc
import structlog
from agentmesh_protos.payments.v1 import payments_pb2, payments_pb2_grpc

from meshkit import clock
from meshkit.bus import Bus
from meshkit.clock import seconds_of
from meshkit.errors import (
    AlreadyExists,
    DeadlineExceeded,
    Denied,
    FailedPrecondition,
    Invalid,
    MeshError,
    NotFound,
    Unavailable,
    from_rpc,
)
from meshkit.tasks import Apart, Tasks
from services.runner import domain
from services.runner.domain import End, Job, PaymentStep, Reason, State
from services.runner.jobs.dispatcher import Dispatcher
from services.runner.jobs.journal import PAYMENTS, WEBHOOKS, Journal
from services.runner.jobs.walks import each
from services.runner.ports.store import JobStore

log = structlog.get_logger()
_RETRY_S = 0.2
_RETRY_MAX_S = 30.0
_LOOK_AGAIN_S = 30.0
_FOLLOW_AGAIN_S = 1.0
# No trying again helps with these: the terms are wrong, not the moment.
_FINAL = (Invalid, AlreadyExists, FailedPrecondition, NotFound, Denied)
_PAID = frozenset(
    {
        payments_pb2.PAYMENT_STATE_FUNDS_LOCKED,
        payments_pb2.PAYMENT_STATE_RESULT_SUBMITTED,
        payments_pb2.PAYMENT_STATE_REFUND_REQUESTED,
        payments_pb2.PAYMENT_STATE_DISPUTED,
    }
)
_OVER = frozenset(
    {
        payments_pb2.PAYMENT_STATE_FAILED,
        payments_pb2.PAYMENT_STATE_WITHDRAWN,
        payments_pb2.PAYMENT_STATE_REFUNDED,
        payments_pb2.PAYMENT_STATE_DISPUTE_SETTLED,
    }
)
_ENDS = {
    payments_pb2.PAYMENT_STATE_WITHDRAWN: PaymentStep.WITHDRAWN,
    payments_pb2.PAYMENT_STATE_REFUNDED: PaymentStep.REFUNDED,
    payments_pb2.PAYMENT_STATE_DISPUTE_SETTLED: PaymentStep.DISPUTE_SETTLED,
}


class Billing:
    """Follows the payments of jobs."""

    def __init__(
        self,
        store: JobStore,
        journal: Journal,
        dispatcher: Dispatcher,
        payments: payments_pb2_grpc.PaymentServiceStub,
        bus: Bus,
        tasks: Tasks,
        now: Callable[[], float] = clock.now,
    ) -> None:
        self._store = store
        self._journal = journal
        self._dispatcher = dispatcher
        self._payments = payments
        self._bus = bus
        self._tasks = tasks
        self._now = now
        self._settling: set[str] = set()
        self._apart = Apart("payments")
        self._apart_sold = Apart("sold jobs")
        self._follow_again_s = _FOLLOW_AGAIN_S
        self._has_moved = clock.Moved(now)
        self._seen: set[str] | None = None
        """What the last stream began with, until the sold jobs that are not among it are looked up."""
        self._looking: asyncio.Task[None] | None = None

    async def tell(self) -> None:
        """Tell the payments service what jobs' rows say it must hear, until cancelled."""
        async with self._bus.subscribe(PAYMENTS) as waker:
            while not waker.closed:
                async for job_id in each(self._store.todo_jobs, str):
                    if job_id not in self._settling:
                        self._settling.add(job_id)
                        task = self._tasks.spawn(self._settle(job_id), f"settle-{job_id}")
                        task.add_done_callback(functools.partial(self._settled, job_id))
                await waker.wait(_LOOK_AGAIN_S)

    def _settled(self, job_id: str, _: object) -> None:
        self._settling.discard(job_id)

    async def run(self) -> None:
        """Follow every payment until cancelled."""
        try:
            while True:
                with contextlib.suppress(grpc.aio.AioRpcError):
                    await self._follow()
                await asyncio.sleep(_RETRY_S)  # it restarts; the next stream begins with what we missed
        finally:
            if self._looking is not None:
                self._looking.cancel()

    async def _follow(self) -> None:
        """Hear one stream to its end: the payments that are open, an empty message, then changes.

        It is left early if a payment could not be worked on, or our clock was set and those of providers were not: the
        next stream begins with what there is.
        """
        self._has_moved()
        stream = self._payments.WatchPayments(payments_pb2.WatchPaymentsRequest(), wait_for_ready=True)
        caught_up = False
        seen: set[str] = set()
        leaving = asyncio.timeout(None)
        try:
            async with leaving:
                async for message in stream:
                    for payment in message.payments:
                        if not caught_up:
                            seen.add(payment.job)
                        with self._apart(payment.job):
                            await self._heard(payment)
                    if not message.payments and not caught_up:
                        caught_up = True
                        await self._look_up(seen)
                        self._begin_look_up_sold(seen)
                    if caught_up and self._has_moved():
                        break
                    # Not before we have caught up: the others would never be heard.
                    if caught_up and leaving.when() is None:
                        if self._apart.pause_s():
                            leaving.reschedule(asyncio.get_running_loop().time() + self._follow_again_s)
                            self._follow_again_s = min(_RETRY_MAX_S, self._follow_again_s * 2)
                        elif not message.payments:
                            self._follow_again_s = _FOLLOW_AGAIN_S
        except TimeoutError:
            if not leaving.expired():
                raise
        finally:
            stream.cancel()

    async def _look_up(self, seen: set[str]) -> None:
        """Ask for the payments of waiting jobs that are not open: they have ended while we did not listen."""
        async for job_id in each(self._store.unpaid_jobs, str):
            if f"jobs/{job_id}" not in seen:
                with self._apart(f"jobs/{job_id}"):
                    await self._heard(await self._payment(job_id))

    def _begin_look_up_sold(self, seen: set[str]) -> None:
        """Look up sold jobs beside the stream: there may be tens of thousands, and new payments must not wait."""
        self._seen = seen
        if self._looking is None or self._looking.done():
            self._looking = self._tasks.spawn(self._look_up_sold(), "look-up-sold")

    async def _look_up_sold(self) -> None:
        """As `_look_up`, for jobs that have ended; one of which no payment is known was not sold."""
        try:
            while self._seen is not None:
                seen, self._seen = self._seen, None
                for job_id in await self._store.sold_jobs():
                    if f"jobs/{job_id}" not in seen:
                        with self._apart_sold(f"jobs/{job_id}"):
                            await self._heard(await self._payment_or_none(job_id))
        except Unavailable as error:
            log.debug("sold jobs cannot be looked up now: the next stream does", why=str(error))

    async def _payment_or_none(self, job_id: str) -> payments_pb2.Payment:
        """Return the payment of a job, or one that has failed if none is known."""
        try:
            return await self._payment(job_id)
        except NotFound:
            return payments_pb2.Payment(job=f"jobs/{job_id}", state=payments_pb2.PAYMENT_STATE_FAILED)

    async def _payment(self, job_id: str) -> payments_pb2.Payment:
        request = payments_pb2.GetPaymentRequest(name=f"payments/{job_id}")
        try:
            with from_rpc():
                found: payments_pb2.Payment = await self._payments.GetPayment(request, timeout=30)
        except DeadlineExceeded as error:
            raise Unavailable(str(error)) from error
        return found

    # -- telling -------------------------------------------------------------------------------------------------

    async def _settle(self, job_id: str) -> None:
        """Tell the payments service what the job's row says, until it has been heard."""
        wait_s = _RETRY_S
        while True:
            try:
                with contextlib.suppress(NotFound):
                    while await self._tell(await self._store.get(job_id)):
                        wait_s = _RETRY_S
                return
            except MeshError as error:
                log.warning("payments service does not take it", job=job_id, error=str(error))
            await asyncio.sleep(wait_s * random.uniform(0.5, 1.0))
            wait_s = min(_RETRY_MAX_S, wait_s * 2)

    async def _tell(self, job: Job) -> bool:
        """Tell one thing; return whether there may be more to tell."""
        if job.payment_todo:
            await self._tell_end(job)
            return True
        if job.state != State.AWAITING_PAYMENT or job.payment_step != PaymentStep.NONE:
            return False
        try:
            with from_rpc():
                payment = await self._payments.CreatePayment(_request(job), timeout=60)
        except _FINAL as error:
            await self._fail(job, f"the payment could not be set up: {error}")
            return False
        await self._heard(payment)
        return False

    async def _tell_end(self, job: Job) -> None:
        """Report the result's hash, or that a refund is due."""
        verb, _, digest = job.payment_todo.partition(":")
        name = f"payments/{job.job_id}"
        try:
            with from_rpc():
                if verb == "submit":
                    request = payments_pb2.SubmitResultRequest(name=name, result_hash=digest)
                    await self._payments.SubmitResult(request, timeout=60)
                else:
                    await self._payments.AuthorizeRefund(payments_pb2.AuthorizeRefundRequest(name=name), timeout=60)
        except _FINAL as error:  # nothing was ever asked for, or it is over: there is nobody left to tell
            log.warning("end of a paid job not taken", job=job.job_id, told=verb, error=str(error))
        await self._journal.change(job.job_id, functools.partial(domain.payments.told, todo=job.payment_todo))

    # -- hearing -------------------------------------------------------------------------------------------------

    async def _heard(self, payment: payments_pb2.Payment) -> None:
        """Let a job follow its payment."""
        job_id = payment.job.removeprefix("jobs/")
        with contextlib.suppress(NotFound):
            job = await self._store.get(job_id)
            if job.state != State.AWAITING_PAYMENT:
                await self._note_due(job, payment)
                await self._note_over(job, payment)
                return
            if payment.blockchain_identifier:
                said = _said(payment)
                await self._journal.change(job_id, lambda job: domain.payments.note_request(job, said, self._now()))
            # A lock time says that the money was in escrow, though the state may have gone on since.
            if payment.state in _PAID or (payment.HasField("lock_time") and payment.state not in _OVER):
                due_at = _due_at(payment)
                job = await self._journal.change(
                    job_id, lambda job: domain.payments.note_funds(job, due_at, self._now())
                )
                if job.state == State.QUEUED:
                    await self._dispatcher.enqueue(job)
            elif payment.state in _OVER:
                await self._fail(job, payment.error or "the payment ended before the job could run")
                over = PaymentStep.OVER
                await self._journal.change(job_id, lambda job: domain.payments.note_over(job, over, self._now()))

    async def _note_due(self, job: Job, payment: payments_pb2.Payment) -> None:
        """Note by when a paid job must end, if our clock has been set since it was paid."""
        due_at = _due_at(payment)
        if domain.payments.is_due_otherwise(job, due_at):
            await self._journal.change(job.job_id, lambda job: domain.payments.note_due(job, due_at))

    async def _note_over(self, job: Job, payment: payments_pb2.Payment) -> None:
        """Note that a sale has ended, and how, which webhooks are told."""
        if payment.state in _OVER and job.payment_step in (PaymentStep.NONE, *domain.SELLING):
            end = _ENDS.get(payment.state, PaymentStep.OVER)
            await self._journal.change(job.job_id, lambda job: domain.payments.note_over(job, end, self._now()))
            await self._bus.publish(WEBHOOKS)

    async def _fail(self, job: Job, why: str) -> None:
        end = End(state=State.FAILED, reason=Reason.PAYMENT_TIMEOUT, error=why)
        await self._journal.change(job.job_id, lambda job: domain.finish(job, end, self._now()))


def _request(job: Job) -> payments_pb2.CreatePaymentRequest:
    terms = domain.payments.terms_of(job)
    return payments_pb2.CreatePaymentRequest(
        payment=payments_pb2.Payment(
            job=f"jobs/{job.job_id}",
            owner=job.owner,
            network=terms.network,
            agent_identifier=terms.agent_identifier,
            purchaser_identifier=terms.purchaser_identifier,
            input_hash=terms.input_hash,
        )
    )


def _due_at(payment: payments_pb2.Payment) -> float:
    """Return when the result is due by our clock: the times of a payment are by its provider's."""
    return seconds_of(payment.submit_result_time) - payment.provider_ahead.seconds


def _said(payment: payments_pb2.Payment) -> dict[str, object]:
    """Return what the `payment` event shows of what the purchaser must know; times are seconds since 1970."""
    return {
        "agent_identifier": payment.agent_identifier,
        "network": payment.network,
        "input_hash": payment.input_hash,
        "blockchain_identifier": payment.blockchain_identifier,
        "pay_by_time": seconds_of(payment.pay_by_time),
        "submit_result_time": seconds_of(payment.submit_result_time),
        "external_dispute_unlock_time": seconds_of(payment.external_dispute_unlock_time),
        "unlock_time": seconds_of(payment.unlock_time),
        "seller_vkey": payment.seller_vkey,
    }
