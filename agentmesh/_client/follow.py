"""Follow a job's log, locks or a payment, over broken connections, restarted services and access tokens that expire."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Any

import grpc
from agentmesh_protos.payments.v1 import payments_pb2, payments_pb2_grpc
from agentmesh_protos.runner.v1 import job_pb2, job_pb2_grpc, lock_pb2, lock_pb2_grpc

from agentmesh._client import errors
from agentmesh._client.connection import Connection
from agentmesh._client.records import ENDED, Event, to_event, to_job
from agentmesh._client.waits import Lock, Payment, to_lock, to_payment

SILENCE_MAX_S = 60.0
"""A stream without even a heartbeat for so long is broken."""
PATIENCE_S = 30.0
"""How long to try to reconnect."""
_RETRY_S = 0.2


async def follow(
    connection: Connection, jobs: job_pb2_grpc.JobServiceStub, name: str, after_seq: int
) -> AsyncGenerator[Event, None]:
    """Yield each event behind `after_seq` once, in order, to the terminal one.

    A broken stream is resumed behind the last event that came.  Raises `MeshError` when the mesh refuses, or does not
    come back within `PATIENCE_S`.
    """
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + PATIENCE_S
    while True:
        sent = await connection.metadata()
        call = jobs.WatchJob(job_pb2.WatchJobRequest(name=name, after_seq=after_seq), metadata=sent)
        try:
            while (message := await _read(call)) is not None:
                give_up_at = loop.time() + PATIENCE_S
                for raw in message.events:
                    event = to_event(raw)
                    after_seq = event.seq
                    yield event
                    if event.last:
                        return
            if await _has_ended(connection, jobs, name, after_seq):
                return
        except grpc.aio.AioRpcError as error:
            resumable = errors.is_transport(error) or connection.outlives(error, sent)
            if not resumable or loop.time() > give_up_at:
                raise errors.from_rpc(error, connection.url) from error
        except TimeoutError:
            if loop.time() > give_up_at + SILENCE_MAX_S:
                raise errors.Unreachable(f"the mesh at {connection.url} went silent", code="UNAVAILABLE") from None
        finally:
            call.cancel()
        await asyncio.sleep(_RETRY_S)


async def follow_locks(
    connection: Connection, locks: lock_pb2_grpc.LockServiceStub, all_owners: bool
) -> AsyncGenerator[Lock, None]:
    """Yield the pending locks, then each lock after a change of it, without end.

    After a broken stream the pending ones come again; those that were told are left out, and those that ended
    meanwhile are asked for.  Raises `MeshError` when the mesh refuses, or does not come back within `PATIENCE_S`.
    """
    request = lock_pb2.WatchLocksRequest(all_owners=all_owners)
    open_: dict[str, Lock] = {}
    async for message, fresh in _messages(connection, locks.WatchLocks, request):
        found = [to_lock(raw) for raw in message.locks]
        if fresh:
            for name in open_.keys() - {lock.name for lock in found}:
                with contextlib.suppress(errors.NotFound):
                    found.append(to_lock(await connection.unary(locks.GetLock, lock_pb2.GetLockRequest(name=name))))
        for lock in found:
            if open_.get(lock.name) == lock:
                continue
            if lock.pending:
                open_[lock.name] = lock
            else:
                open_.pop(lock.name, None)
            yield lock


async def follow_payment(
    connection: Connection, payments: payments_pb2_grpc.PaymentServiceStub, name: str
) -> AsyncGenerator[Payment, None]:
    """Yield a payment as it is, then after each change, to its end.

    Raises `MeshError` when the mesh refuses, or does not come back within `PATIENCE_S`.
    """
    last: Payment | None = None
    request = payments_pb2.WatchPaymentRequest(name=name)
    async for message, _ in _messages(connection, payments.WatchPayment, request):
        for payment in map(to_payment, message.payments):
            if payment != last:
                last = payment
                yield payment
            if payment.ended:
                return


async def _messages(
    connection: Connection, method: Callable[..., Any], request: Any
) -> AsyncGenerator[tuple[Any, bool], None]:
    """Yield the messages of a stream that has no end, and whether each is the first behind a (re)connect."""
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + PATIENCE_S
    while True:
        sent = await connection.metadata()
        call = method(request, metadata=sent)
        fresh = True
        try:
            while (message := await _read(call)) is not None:
                give_up_at = loop.time() + PATIENCE_S
                yield message, fresh
                fresh = False
        except grpc.aio.AioRpcError as error:
            resumable = errors.is_transport(error) or connection.outlives(error, sent)
            if not resumable or loop.time() > give_up_at:
                raise errors.from_rpc(error, connection.url) from error
        except TimeoutError:
            if loop.time() > give_up_at + SILENCE_MAX_S:
                raise errors.Unreachable(f"the mesh at {connection.url} went silent", code="UNAVAILABLE") from None
        finally:
            call.cancel()
        await asyncio.sleep(_RETRY_S)


async def _read(call: Any) -> Any:
    """Return the next message, or None at the end of the stream."""
    async with asyncio.timeout(SILENCE_MAX_S):
        message = await call.read()
    return None if message is grpc.aio.EOF else message


async def _has_ended(connection: Connection, jobs: job_pb2_grpc.JobServiceStub, name: str, after_seq: int) -> bool:
    """Tell a log that was read to its end from a stream that a stopping service closed."""
    job = to_job(await connection.unary(jobs.GetJob, job_pb2.GetJobRequest(name=name)))
    return job.state in ENDED and job.last_seq <= after_seq
