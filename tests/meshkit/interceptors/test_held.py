"""What is open for a caller ends with their token: every streaming method of the contract, also a new one."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pool, empty_pb2

from gateway.edge import contract
from meshkit import identity
from meshkit.access import Auth
from meshkit.errors import Unauthenticated, from_rpc
from meshkit.identity import SERVICE_HEADER
from meshkit.interceptors.held import Hold, held
from meshkit.principal import NOBODY
from meshkit.server import serve
from meshkit.verifier import Revocations, TokenVerifier
from tests.meshkit.test_verifier import Keys, token

SECRET = b"s" * 32
DEADLINE_S = 30.0
contract.import_all(contract.descriptors())
SERVICES = [service.name for service in contract.services(contract.descriptors())]
STREAMING = [
    (f"/{service}/{method.name}", method.client_streaming, method.server_streaming)
    for service in SERVICES
    for method in descriptor_pool.Default().FindServiceByName(service).methods
    if method.client_streaming or method.server_streaming
]
LIVES_S = 600.0
LEFT_S = 2.0
"""Of a token's life, by the verifier's clock, which stands still until a test moves it."""


class Clock:
    """The time, as the test has it."""

    def __init__(self) -> None:
        self.at = time.time() + LIVES_S - LEFT_S

    def __call__(self) -> float:
        """Return it."""
        return self.at


Revoke = Callable[[Revocations, Clock], None]


class Streams(grpc.GenericRpcHandler):
    """Answers every method of the contract that streams: a message, then silence."""

    def __init__(self) -> None:
        self.closed: list[str] = []

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        """Return the handler of a method."""
        streams = {name: sides for name, *sides in STREAMING}.get(details.method)
        if streams is None:
            return None
        codec = {
            "request_deserializer": empty_pb2.Empty.FromString,
            "response_serializer": empty_pb2.Empty.SerializeToString,
        }

        async def collect(requests: Any, context: Any) -> empty_pb2.Empty:
            async for _ in requests:
                pass
            return empty_pb2.Empty()

        async def answer(request: Any, context: Any) -> AsyncIterator[empty_pb2.Empty]:
            try:
                yield empty_pb2.Empty()
                await asyncio.Event().wait()
            finally:
                self.closed.append(details.method)

        if streams == [True, False]:
            return grpc.stream_unary_rpc_method_handler(collect, **codec)
        if streams == [True, True]:
            return grpc.stream_stream_rpc_method_handler(answer, **codec)
        return grpc.unary_stream_rpc_method_handler(answer, **codec)


def expire(revocations: Revocations, clock: Clock) -> None:
    """Let it end by itself."""
    clock.at += LIVES_S / 2


@pytest.mark.parametrize(
    ("revoke", "words"),
    [
        (lambda revocations, clock: revocations.add_token("j1", clock.at + LIVES_S), "revoked"),
        (lambda revocations, clock: revocations.add_user("users/u1", time.time(), clock.at + LIVES_S), "revoked"),
        (expire, "expired"),
    ],
    ids=["its token is revoked", "its user is demoted or gone", "its token expires"],
)
async def test_every_stream_ends_with_its_token(revoke: Revoke, words: str) -> None:
    """With UNAUTHENTICATED and the reason; that of another session of the same user stays."""
    clock = Clock()
    verifier = TokenVerifier(Keys(), Revocations(), clock)
    servicer = Streams()

    def register(server: Any) -> None:
        server.add_generic_rpc_handlers((servicer,))

    async with (
        asyncio.timeout(DEADLINE_S),
        serve("127.0.0.1:0", SERVICES, register, Auth(verifier, SECRET, "runner"), grace_s=0) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        access = token(exp=time.time() + LIVES_S)
        calls = {name: opened(channel, name, access, *sides) for name, *sides in STREAMING}
        other = opened(
            channel,
            "/mesh.runner.v1.JobService/WatchJob",
            token(jti="j2", iat=time.time() + 60, exp=time.time() + 2 * LIVES_S),
            False,
            True,
        )
        for name, _, answers in STREAMING:
            if answers:
                await calls[name].read()
        await other.read()
        revoke(verifier.revocations, clock)
        for call in calls.values():
            with pytest.raises(Unauthenticated, match=words), from_rpc():
                await (call.read() if call in streaming(calls) else call)

        assert sorted(servicer.closed) == sorted(name for name, _, answers in STREAMING if answers)
        assert not other.done()
        other.cancel()


def streaming(calls: dict[str, Any]) -> list[Any]:
    """Return the calls that are answered by a stream."""
    return [calls[name] for name, _, answers in STREAMING if answers]


def opened(channel: grpc.aio.Channel, method: str, access: str, sends: bool, answers: bool) -> Any:
    """Call a method as its contract has it, as a user for whom a service or a host asks where it wants that."""
    kind = {
        (False, True): channel.unary_stream,
        (True, True): channel.stream_stream,
        (True, False): channel.stream_unary,
    }
    subject = "host:h1" if method.startswith("/mesh.runner.v1.HostService/") else "service:gateway"
    metadata = (("authorization", f"Bearer {access}"), (SERVICE_HEADER, identity.sign(SECRET, subject, "runner")))
    call = kind[sends, answers](
        method, request_serializer=empty_pb2.Empty.SerializeToString, response_deserializer=empty_pb2.Empty.FromString
    )
    return call(metadata=metadata) if sends else call(empty_pb2.Empty(), metadata=metadata)


def test_the_contract_has_streams_of_every_kind_that_is_tried() -> None:
    """Or what is above would hold of nothing."""
    assert {"WatchJob", "WatchApps", "WatchFlows", "WatchLocks", "WatchPayments", "StreamApp", "StreamEvents"} <= {
        name.rpartition("/")[2] for name, *_ in STREAMING
    }


async def test_a_block_ends_in_the_middle() -> None:
    """Within what it waits for, and with its own error; the task goes on."""
    verifier = TokenVerifier(Keys(), Revocations())
    principal = await verifier.verify(token())
    asyncio.get_running_loop().call_soon(verifier.revocations.add_token, "j1", time.time() + 60)
    with pytest.raises(Unauthenticated), held(verifier, principal):
        await asyncio.Event().wait()
    with pytest.raises(Unauthenticated), held(verifier, principal):
        raise AssertionError("is not entered")
    with held(verifier, NOBODY):
        await asyncio.sleep(0)


async def test_who_is_cancelled_as_well_stays_cancelled() -> None:
    """The caller that hangs up at the same moment is not told that its token is revoked."""
    hold = Hold()

    async def work() -> None:
        with hold:
            await asyncio.Event().wait()

    task = asyncio.ensure_future(work())
    await asyncio.sleep(0)
    hold.bar(Unauthenticated("revoked"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_is_between_two_blocks_is_not_cancelled() -> None:
    """The next one is not entered."""
    hold = Hold()
    with hold:
        await asyncio.sleep(0)
    hold.bar(Unauthenticated("revoked"))
    await asyncio.sleep(0)
    with pytest.raises(Unauthenticated), hold:
        raise AssertionError("is not entered")


async def test_nothing_is_kept_of_who_has_gone() -> None:
    """Neither listener nor timer calls when the block is over."""
    verifier = TokenVerifier(Keys(), Revocations())
    principal = await verifier.verify(token())
    barred: list[Unauthenticated] = []
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(verifier.holding(principal, barred.append))
    verifier.revocations.add_token("j1", time.time() + 60)

    assert [] == barred
    assert {} == verifier.revocations._by_token == verifier.revocations._by_user
