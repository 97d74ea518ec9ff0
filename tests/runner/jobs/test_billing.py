"""What the runner hears of payments: of a job that has ended it is known whether its sale has, too."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from agentmesh_protos.payments.v1 import payments_pb2, payments_pb2_grpc

from meshkit import clock
from services.runner.domain import Birth, PaymentStep, State
from services.runner.jobs.billing import Billing
from tests.runner.jobs.test_dispatcher import Runner
from tests.runner.stack import DEADLINE_S
from tests.runner.stores.test_stores import job

SUBMITTED = payments_pb2.PAYMENT_STATE_RESULT_SUBMITTED
WITHDRAWN = payments_pb2.PAYMENT_STATE_WITHDRAWN


class Payments(payments_pb2_grpc.PaymentServiceServicer):
    """A payments service that knows three payments."""

    def __init__(self) -> None:
        self.ends = asyncio.Event()
        """When the open one ends."""

    async def WatchPayments(self, request: Any, context: Any) -> AsyncIterator[payments_pb2.WatchPaymentResponse]:
        """As the contract has it: what is open, an empty message, changes."""
        mine = payments_pb2.Payment(job=name(1), state=SUBMITTED)
        yield payments_pb2.WatchPaymentResponse(payments=[mine])
        yield payments_pb2.WatchPaymentResponse()
        await self.ends.wait()
        mine.state = WITHDRAWN
        yield payments_pb2.WatchPaymentResponse(payments=[mine])
        await asyncio.Event().wait()

    async def GetPayment(self, request: Any, context: Any) -> payments_pb2.Payment:
        """Tell of those that have ended; of the third nothing good, of the last nothing at all."""
        if request.name == f"payments/{job(4).job_id}":
            await asyncio.Event().wait()
        if request.name == f"payments/{job(2).job_id}":
            return payments_pb2.Payment(job=name(2), state=WITHDRAWN)
        code = grpc.StatusCode.NOT_FOUND if request.name == f"payments/{job(3).job_id}" else grpc.StatusCode.INTERNAL
        await context.abort(code, "nothing good")
        raise AssertionError("it was aborted")


class Locked(payments_pb2_grpc.PaymentServiceServicer):
    """A payments service that knows three payments of providers with different clocks."""

    async def WatchPayments(self, request: Any, context: Any) -> AsyncIterator[payments_pb2.WatchPaymentResponse]:
        """Tell of them at once."""
        for number, ahead_s in enumerate((0, 3600, -3600)):
            locked = payments_pb2.Payment(job=name(number), state=payments_pb2.PAYMENT_STATE_FUNDS_LOCKED)
            locked.submit_result_time.seconds = 10_000
            if ahead_s:
                locked.provider_ahead.seconds = ahead_s
            yield payments_pb2.WatchPaymentResponse(payments=[locked])
        yield payments_pb2.WatchPaymentResponse()
        await asyncio.Event().wait()


class Ahead(payments_pb2_grpc.PaymentServiceServicer):
    """A payments service of one payment, whose provider goes on when the mesh's clock is set back."""

    def __init__(self) -> None:
        self.ahead_s = 0
        self._set = asyncio.Event()

    def set_clock(self, ahead_s: int) -> None:
        """Have the provider be so far ahead from now on."""
        self.ahead_s = ahead_s
        self._set.set()

    async def WatchPayments(self, request: Any, context: Any) -> AsyncIterator[payments_pb2.WatchPaymentResponse]:
        """Tell of it once a stream, then, as soon as the clock is set, that the stream is alive."""
        self._set.clear()
        locked = payments_pb2.Payment(job=name(1), state=payments_pb2.PAYMENT_STATE_FUNDS_LOCKED)
        locked.submit_result_time.seconds = 10_000
        locked.provider_ahead.seconds = self.ahead_s
        yield payments_pb2.WatchPaymentResponse(payments=[locked])
        yield payments_pb2.WatchPaymentResponse()
        await self._set.wait()
        yield payments_pb2.WatchPaymentResponse()
        await asyncio.Event().wait()


def name(number: int) -> str:
    """Return the name of a job."""
    return f"jobs/{job(number).job_id}"


@contextlib.asynccontextmanager
async def following(
    runner: Runner, payments: payments_pb2_grpc.PaymentServiceServicer, now: clock.Now = clock.now
) -> AsyncIterator[None]:
    """Have a runner follow a payments service for the length of the block."""
    server = grpc.aio.server()
    payments_pb2_grpc.add_PaymentServiceServicer_to_server(payments, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = payments_pb2_grpc.PaymentServiceStub(channel)
        on = (runner.journal, runner.dispatcher, stub, runner.bus, runner.tasks)
        running = asyncio.create_task(Billing(runner.store, *on, now=now).run())
        try:
            yield
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await server.stop(0)


async def until(look: Callable[[], Awaitable[Any]], expected: Any) -> None:
    """Look until it is as expected."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            if await look() == expected:
                return
            await asyncio.sleep(0.01)


async def test_a_job_is_being_sold_until_its_payment_has_ended() -> None:
    """It ends while we listen, has ended before, or is not known any more; one that is not told of harms no other.

    One that cannot be worked on is heard of again.
    """
    runner, payments = Runner(), Payments()  # type: ignore[abstract]  # the rest is not called
    sold = {"payment_json": "{}", "payment_step": PaymentStep.LOCKED, "state": State.SUCCEEDED}
    for number in range(5):
        await runner.store.create([Birth(job=job(number, **sold))], None)

    async def selling() -> list[int]:
        return [int(job_id, 16) for job_id in await runner.store.sold_jobs()]

    async with following(runner, payments):
        await until(selling, [0, 1, 4])
        runner.store.broken.add(job(1).job_id)
        payments.ends.set()
        await until(selling, [0, 4])
    steps = [(await runner.store.get(job(number).job_id)).payment_step for number in range(5)]

    locked, withdrawn = PaymentStep.LOCKED, PaymentStep.WITHDRAWN
    assert [locked, withdrawn, withdrawn, PaymentStep.OVER, locked] == steps


async def test_a_result_is_due_by_our_clock() -> None:
    """A payment's times are by its provider's, which may be ahead or behind; locks go by ours."""
    runner, payments = Runner(), Locked()  # type: ignore[abstract]  # the rest is not called
    unpaid = {"payment_json": "{}", "payment_step": PaymentStep.INITIALIZED, "state": State.AWAITING_PAYMENT}
    for number in range(3):
        await runner.store.create([Birth(job=job(number, **unpaid))], None)

    async def due() -> list[float]:
        return [(await runner.store.get(job(number).job_id)).due_at for number in range(3)]

    async with following(runner, payments):
        await until(due, [10_000.0, 6400.0, 13_600.0])


async def test_when_a_result_is_due_is_reckoned_anew_when_the_clock_is_set() -> None:
    """Either way: the provider's goes on, and the job has as long as before."""
    runner, payments = Runner(), Ahead()  # type: ignore[abstract]  # the rest is not called
    unpaid = {"payment_json": "{}", "payment_step": PaymentStep.INITIALIZED, "state": State.AWAITING_PAYMENT}
    await runner.store.create([Birth(job=job(1, **unpaid))], None)

    async def due() -> float:
        return (await runner.store.get(job(1).job_id)).due_at

    async with following(runner, payments, lambda: clock.ticks() - payments.ahead_s):
        await until(due, 10_000.0)
        payments.set_clock(3600)
        await until(due, 6400.0)
        payments.set_clock(0)  # for a moment only: it must not be due an hour early for that
        await until(due, 10_000.0)
