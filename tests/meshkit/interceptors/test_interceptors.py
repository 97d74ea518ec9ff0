"""Every shape of handler runs inside the interceptors, and what they log is what happened."""

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
import structlog
from agentmesh_protos.auth.v1 import auth_pb2 as pb
from agentmesh_protos.auth.v1 import auth_pb2_grpc as pb_grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from meshkit import identity
from meshkit.access import Auth
from meshkit.errors import Denied, Unauthenticated, from_rpc
from meshkit.identity import SERVICE_HEADER
from meshkit.interceptors import AroundInterceptor
from meshkit.principal import NOBODY, Principal, caller
from meshkit.rules import MissingRule
from meshkit.server import serve
from meshkit.verifier import Revocations, TokenVerifier

SECRET = b"s" * 32
BADGE = ((SERVICE_HEADER, identity.sign(SECRET, "service:runner", "auth", ttl_s=86_400)),)  # as long as the whole suite


class Servicer(pb_grpc.AuthServiceServicer):
    """One unary and one streaming method, and what became of them."""

    def __init__(self) -> None:
        self.callers: list[Principal] = []
        self.opened = asyncio.Event()
        self.closed = asyncio.Event()

    async def GetJwks(self, request: pb.GetJwksRequest, context: Any) -> pb.Jwks:
        """Say who calls."""
        self.callers.append(caller())
        return pb.Jwks(jwks_json="{}")

    async def WatchRevocations(
        self, request: pb.WatchRevocationsRequest, context: Any
    ) -> AsyncIterator[pb.WatchRevocationsResponse]:
        """Yield two messages, then wait to be cancelled."""
        self.callers.append(caller())
        try:
            yield pb.WatchRevocationsResponse()
            yield pb.WatchRevocationsResponse()
            self.opened.set()
            await asyncio.Event().wait()
        finally:
            self.closed.set()

    async def Login(self, request: pb.LoginRequest, context: Any) -> pb.Tokens:
        """Choose a status by hand."""
        await context.abort(grpc.StatusCode.OUT_OF_RANGE, "by hand")
        return pb.Tokens()


class Recording(AroundInterceptor):
    """Notes the methods it has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    @contextlib.asynccontextmanager
    async def around(self, method: str, context: Any) -> AsyncIterator[None]:
        """Note the method."""
        self.seen.append(method)
        yield


class Mesh:
    """A server, a channel to it and what stands in the server."""

    def __init__(
        self, servicer: Servicer, recording: Recording, channel: grpc.aio.Channel, revocations: Revocations
    ) -> None:
        self.revocations = revocations
        self.servicer = servicer
        self.recording = recording
        self.channel = channel
        self.auth = pb_grpc.AuthServiceStub(channel)
        self.health = health_pb2_grpc.HealthStub(channel)


@contextlib.asynccontextmanager
async def meshed() -> AsyncIterator[Mesh]:
    """Run a server for the length of the block."""

    async def no_keys() -> str:
        return '{"keys": []}'

    revocations = Revocations()
    servicer = Servicer()  # type: ignore[abstract]  # the methods that no test calls are left out
    recording = Recording()
    async with (
        serve(
            "127.0.0.1:0",
            ["mesh.auth.v1.AuthService"],
            lambda server: pb_grpc.add_AuthServiceServicer_to_server(servicer, server),
            Auth(TokenVerifier(no_keys, revocations), SECRET, "auth"),
            grace_s=0,
            interceptors=[recording],
        ) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        yield Mesh(servicer, recording, channel, revocations)


async def test_a_stream_can_be_yielded() -> None:
    """Its caller is known inside, and a caller who leaves ends it."""
    async with meshed() as mesh, asyncio.timeout(30):
        call = mesh.auth.WatchRevocations(pb.WatchRevocationsRequest(), metadata=BADGE)
        await call.read()
        await call.read()
        await mesh.servicer.opened.wait()
        call.cancel()
        await mesh.servicer.closed.wait()

        assert [principal.service for principal in mesh.servicer.callers] == ["runner"]
        assert mesh.recording.seen == ["/mesh.auth.v1.AuthService/WatchRevocations"]


async def test_a_stream_can_be_written() -> None:
    """gRPC's own health service writes to the context: health can be watched."""
    async with meshed() as mesh, asyncio.timeout(30):
        call = mesh.health.Watch(health_pb2.HealthCheckRequest())
        first = await call.read()
        call.cancel()

        assert first.status == health_pb2.HealthCheckResponse.SERVING
        assert mesh.recording.seen == ["/grpc.health.v1.Health/Watch"]


async def test_a_request_that_is_no_message_is_the_callers_to_mend() -> None:
    """INVALID_ARGUMENT, unary or not; who may not call learns nothing else."""
    async with meshed() as mesh, asyncio.timeout(30):
        codes = []
        for name, metadata in (("GetJwks", ()), ("WatchRevocations", BADGE), ("WatchRevocations", ())):
            method = f"/mesh.auth.v1.AuthService/{name}"
            kind = mesh.channel.unary_unary if name == "GetJwks" else mesh.channel.unary_stream
            call = kind(method, request_serializer=bytes, response_deserializer=bytes)(b"\xff", metadata=metadata)
            codes.append(await call.code())

        assert [grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.INVALID_ARGUMENT, Denied.code] == codes
        assert [] == mesh.servicer.callers


async def test_both_sides_can_stream() -> None:
    """Reflection works without a token."""
    async with meshed() as mesh, asyncio.timeout(30):
        call = reflection_pb2_grpc.ServerReflectionStub(mesh.channel).ServerReflectionInfo()
        await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        answer = await call.read()
        await call.done_writing()

        names = {service.name for service in answer.list_services_response.service}
        assert {"mesh.auth.v1.AuthService", "grpc.health.v1.Health"} <= names


async def test_a_method_without_a_rule_does_not_start() -> None:
    """A process that would serve a method without a policy says so at once, and names the method."""
    file = descriptor_pb2.FileDescriptorProto(name="tests/meshkit/ruleless.proto", package="tests.meshkit")
    file.message_type.add(name="Empty")
    service = file.service.add(name="RulelessService")
    service.method.add(name="Open", input_type=".tests.meshkit.Empty", output_type=".tests.meshkit.Empty")
    descriptor_pool.Default().AddSerializedFile(file.SerializeToString())

    with pytest.raises(MissingRule, match="RulelessService/Open"):
        async with serve("127.0.0.1:0", ["tests.meshkit.RulelessService"], lambda server: None, Auth.__new__(Auth)):
            pass


async def test_only_services_may_call_what_is_theirs() -> None:
    """A method for services answers nobody else."""
    async with meshed() as mesh:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await mesh.auth.WatchRevocations(pb.WatchRevocationsRequest(), timeout=30).read()

        assert caught.value.code() == Denied.code


async def test_a_status_chosen_by_hand_stays() -> None:
    """Errors does not make INTERNAL of an abort."""
    async with meshed() as mesh:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await mesh.auth.Login(pb.LoginRequest(), timeout=30)

        assert caught.value.code() == grpc.StatusCode.OUT_OF_RANGE


async def test_an_unknown_method_is_unimplemented() -> None:
    """gRPC answers, not a stack trace."""
    async with meshed() as mesh:
        call = mesh.channel.unary_unary("/mesh.auth.v1.AuthService/Nothing")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"", timeout=30)

        assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_the_log_tells_a_failure_from_a_cancel() -> None:
    """A failed call is logged with its code; a stream that its caller left is CANCELLED, not OK."""
    with structlog.testing.capture_logs() as lines:
        async with meshed() as mesh, asyncio.timeout(30):
            with pytest.raises(grpc.aio.AioRpcError):
                await mesh.auth.Login(pb.LoginRequest())
            call = mesh.auth.WatchRevocations(pb.WatchRevocationsRequest(), metadata=BADGE)
            await call.read()
            await mesh.servicer.opened.wait()
            call.cancel()
            await mesh.servicer.closed.wait()

    codes = {line["method"].rpartition("/")[2]: line["code"] for line in lines if line["event"] == "rpc"}
    assert codes["Login"] == "OUT_OF_RANGE"
    assert codes["WatchRevocations"] == "CANCELLED"


SPENT = Principal(user="users/u1", jti="j1", session="s1", expires_at=1.0)


@pytest.mark.parametrize(
    ("sign", "words"),
    [
        (lambda: identity.sign(b"o" * 32, "service:runner", "auth"), "not valid"),
        (lambda: identity.sign(SECRET, "service:runner", "registry"), "not for this service, auth"),
        (lambda: identity.sign(SECRET, "service:runner", "auth", ttl_s=-1), "has expired"),
        (lambda: identity.sign(SECRET, "service:runner", "auth", user=SPENT), "token has expired"),
    ],
    ids=["foreign key", "wrong audience", "expired", "for a user whose token has expired"],
)
async def test_a_badge_that_does_not_hold_lets_nobody_in(sign: Callable[[], str], words: str) -> None:
    """UNAUTHENTICATED, with what is wrong, wherever else it would be good."""
    badge = sign()
    async with meshed() as mesh, asyncio.timeout(30):
        with pytest.raises(Unauthenticated, match=words), from_rpc():
            await mesh.auth.WatchRevocations(pb.WatchRevocationsRequest(), metadata=((SERVICE_HEADER, badge),)).read()

        assert [] == mesh.servicer.callers


@pytest.mark.parametrize(
    ("sign", "words"),
    [
        (lambda: identity.sign(b"o" * 32, "service:runner", "auth"), "not valid"),
        (lambda: identity.sign(SECRET, "service:runner", "registry"), "not for this service, auth"),
        (lambda: "no badge", "not valid"),
    ],
    ids=["foreign key", "wrong audience", "nonsense"],
)
async def test_a_badge_that_nobody_has_signed_for_us_is_an_error_even_where_none_is_needed(
    sign: Callable[[], str], words: str
) -> None:
    """No accident brings it."""
    badge = sign()
    async with meshed() as mesh, asyncio.timeout(30):
        with pytest.raises(Unauthenticated, match=words), from_rpc():
            await mesh.auth.GetJwks(pb.GetJwksRequest(), metadata=((SERVICE_HEADER, badge),))

        assert [] == mesh.servicer.callers


@pytest.mark.parametrize(
    "metadata",
    [
        ((SERVICE_HEADER, identity.sign(SECRET, "service:runner", "auth", ttl_s=-1)),),
        ((SERVICE_HEADER, identity.sign(SECRET, "service:runner", "auth", user=SPENT)),),
        (("authorization", "Bearer no.such.token"),),
        (("authorization", "Bearer x"), (SERVICE_HEADER, identity.sign(SECRET, "service:runner", "auth", ttl_s=-1))),
    ],
    ids=["a badge", "a user for whom a service calls", "a token", "both"],
)
async def test_what_does_not_hold_any_more_is_nobodys_where_anybody_may_call(
    metadata: tuple[tuple[str, str], ...],
) -> None:
    """Not the service's, which sees more than who it calls for; whoever's token has expired can sign in."""
    async with meshed() as mesh, asyncio.timeout(30):
        await mesh.auth.GetJwks(pb.GetJwksRequest(), metadata=metadata)

        assert [NOBODY] == mesh.servicer.callers


async def test_a_user_for_whom_a_service_calls_is_known_without_the_token() -> None:
    """Until it is revoked: the callee knows that by itself."""
    user = Principal(user="users/u1", tier="pro", jti="j1", session="s1", issued_at=1.0, expires_at=time.time() + 600)
    metadata = ((SERVICE_HEADER, identity.ServiceIdentity(SECRET, "gateway").badge("auth", user)),)
    async with meshed() as mesh, asyncio.timeout(30):
        call = mesh.auth.WatchRevocations(pb.WatchRevocationsRequest(), metadata=metadata)
        await call.read()
        await call.read()
        assert [dataclasses.replace(user, service="gateway")] == mesh.servicer.callers
        mesh.revocations.add_token("j1", time.time() + 600)

        with pytest.raises(Unauthenticated, match="revoked"), from_rpc():
            await call.read()
        with pytest.raises(Unauthenticated, match="revoked"), from_rpc():
            await mesh.auth.WatchRevocations(pb.WatchRevocationsRequest(), metadata=metadata).read()
