"""Errors keep their kind and their facts on the way over the wire, and always fit on it."""

import contextlib
from collections.abc import AsyncIterator, Callable

import grpc
import pytest
from agentmesh_protos.auth.v1 import auth_pb2, auth_pb2_grpc

from meshkit import errors
from meshkit.access import Auth
from meshkit.errors import MeshError, from_rpc
from meshkit.server import serve
from meshkit.verifier import Revocations, TokenVerifier

SIMPLE = [
    errors.Unauthenticated,
    errors.Denied,
    errors.NotFound,
    errors.AlreadyExists,
    errors.FailedPrecondition,
    errors.Conflict,
    errors.DeadlineExceeded,
    errors.Internal,
    errors.Unavailable,
]


class Raising(auth_pb2_grpc.AuthServiceServicer):
    """Answers every request for keys with what `fail` raises."""

    def __init__(self, fail: Callable[[], None]) -> None:
        self._fail = fail

    async def GetJwks(self, request: auth_pb2.GetJwksRequest, context: object) -> auth_pb2.Jwks:
        """Fail."""
        self._fail()
        return auth_pb2.Jwks()


@contextlib.asynccontextmanager
async def failing(fail: Callable[[], None]) -> AsyncIterator[auth_pb2_grpc.AuthServiceStub]:
    """Run a server whose `GetJwks` fails so; yield a stub."""

    async def no_keys() -> str:
        return '{"keys": []}'

    auth = Auth(TokenVerifier(no_keys, Revocations()), b"x" * 32, "auth")
    servicer = Raising(fail)  # type: ignore[abstract]  # the methods that no test calls are left out
    async with (
        serve(
            "127.0.0.1:0",
            ["mesh.auth.v1.AuthService"],
            lambda server: auth_pb2_grpc.add_AuthServiceServicer_to_server(servicer, server),
            auth,
            grace_s=0,
        ) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        yield auth_pb2_grpc.AuthServiceStub(channel)


async def over_the_wire(error: Exception) -> MeshError:
    """Return what a caller gets when a servicer raises `error`."""

    def fail() -> None:
        raise error

    async with failing(fail) as stub:
        with pytest.raises(MeshError) as caught, from_rpc():
            await stub.GetJwks(auth_pb2.GetJwksRequest(), timeout=30)
        return caught.value


@pytest.mark.parametrize("kind", SIMPLE)
async def test_an_error_arrives_as_itself(kind: type[MeshError]) -> None:
    """Class, message and metadata survive a hop, text beyond ASCII included."""
    got = await over_the_wire(kind("nicht möglich ✓", resource="jobs/1", other="ü"))

    assert kind is type(got)
    assert str(got) == "nicht möglich ✓"
    assert got.metadata == {"resource": "jobs/1", "other": "ü"}


async def test_an_invalid_request_names_its_fields() -> None:
    """Each field keeps its messages, in order."""
    got = await over_the_wire(errors.Invalid("two things", {"a": ["one", "two"], "b": ["three"]}, hint="x"))

    assert isinstance(got, errors.Invalid)
    assert got.fields == {"a": ["one", "two"], "b": ["three"]}
    assert got.metadata == {"hint": "x"}


async def test_exhausted_says_when_to_try_again() -> None:
    """The wait survives to the millisecond."""
    got = await over_the_wire(errors.Exhausted("slow down", retry_after_s=2.5))

    assert isinstance(got, errors.Exhausted)
    assert got.retry_after_s == 2.5


@pytest.mark.parametrize("letter", ["x", "ü", "✓", "\ud800"])
async def test_an_error_of_any_size_arrives(letter: str) -> None:
    """What does not fit in gRPC's headers is cut, so that the kind of the error is never lost."""
    fields = {f"field{number}": [letter * 5000] for number in range(50)}
    got = await over_the_wire(errors.Invalid(letter * 100_000, fields, resource=letter * 10_000))

    assert isinstance(got, errors.Invalid)
    assert str(got)
    assert "field0" in got.fields


async def test_a_bug_is_hidden() -> None:
    """Anything but a `MeshError` is INTERNAL, without its text."""
    got = await over_the_wire(RuntimeError("the secret is 42"))

    assert type(got) is errors.Internal
    assert "42" not in str(got)


async def test_an_unmapped_status_is_internal() -> None:
    """A code that is none of ours does not pretend to be."""
    error = grpc.aio.AioRpcError(grpc.StatusCode.DATA_LOSS, grpc.aio.Metadata(), grpc.aio.Metadata(), "gone")

    assert type(errors.rebuild(error)) is errors.Internal


async def test_details_of_another_status_are_ignored() -> None:
    """A proxy that replaces the status, but not the details, does not break the caller."""
    status = errors.NotFound("job not found").to_status()
    trailing = grpc.aio.Metadata(("grpc-status-details-bin", status.SerializeToString()))
    error = grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), trailing, "upstream reset")

    got = errors.rebuild(error)

    assert type(got) is errors.Unavailable
    assert str(got) == "upstream reset"
