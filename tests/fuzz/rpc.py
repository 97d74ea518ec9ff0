"""Nonsense over gRPC: every method of the contract."""

import asyncio
import time
from collections.abc import Sequence

import grpc
from google.protobuf import descriptor_pool, message_factory

from gateway.edge import contract
from tests.fuzz.garbage import Garbage
from tests.fuzz.rest import AT_ONCE, LEFT_OUT, PATIENCE_S
from tests.fuzz.seen import Seen

BROKEN = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS)
AGAIN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
"""What a busy machine may say: it is a fault if it goes on saying so."""
STREAM_S = 0.5
"""How long a stream is listened to."""


async def fuzz(address: str, tokens: Sequence[str], garbage: Garbage, calls: int, seen: Seen) -> None:
    """Make `calls` calls at the front door, and note what is wrong."""
    contract.import_all(contract.descriptors())
    found = contract.services(contract.descriptors())
    methods = [one for service in found for one in service.methods if one.name.rpartition("/")[2] not in LEFT_OUT]
    todo = iter(range(calls))
    async with grpc.aio.insecure_channel(address) as channel:

        async def work() -> None:
            for _ in todo:
                await _call(channel, garbage.random.choice(methods), garbage.random.choice(tokens), garbage, seen)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(AT_ONCE):
                tasks.create_task(work())


def request(method: contract.Method, garbage: Garbage) -> bytes:
    """Return a request: fields of any values, that cut or changed somewhere, or bytes."""
    service, _, name = method.name.lstrip("/").rpartition("/")
    descriptor = descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]
    filled = garbage.fill(message_factory.GetMessageClass(descriptor.input_type)()).SerializeToString()
    return garbage.random.choice((filled, filled, garbage.mutated(filled), garbage.raw()))


async def _call(channel: grpc.aio.Channel, method: contract.Method, token: str, garbage: Garbage, seen: Seen) -> None:
    sent = request(method, garbage)
    metadata: list[tuple[str, str | bytes]] = [("authorization", f"Bearer {token}")] if token else []
    if garbage.random.random() < 0.2:
        metadata.append(("x-odd-bin", garbage.raw(100)))
    if garbage.random.random() < 0.2:
        metadata.append(("idempotency-key", garbage.raw(40).hex()))
    code, details = await _answer(channel, method, sent, metadata, seen.deadline_s)
    until = time.monotonic() + PATIENCE_S
    while code in AGAIN and time.monotonic() < until:
        code, details = await _answer(channel, method, sent, metadata, seen.deadline_s)
    seen.answered(code.name)
    if code in (*BROKEN, *AGAIN):
        seen.wrong(f"is {code.name}", f"{method.name} {sent[:200].hex()} -> {details}")


async def _answer(
    channel: grpc.aio.Channel,
    method: contract.Method,
    sent: bytes,
    metadata: list[tuple[str, str | bytes]],
    deadline_s: float,
) -> tuple[grpc.StatusCode, str]:
    """Return the code of a call's end and what it said; OK for a stream that lives."""
    timeout = STREAM_S if method.streams else deadline_s
    try:
        async for _ in channel.unary_stream(method.name)(sent, metadata=metadata, timeout=timeout):
            pass
    except grpc.aio.AioRpcError as error:
        lives = method.streams and error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        return grpc.StatusCode.OK if lives else error.code(), error.details() or ""
    return grpc.StatusCode.OK, ""
