"""Calls are spread over the replicas of a service, and one that is gone takes no call with it."""

import contextlib
import pathlib
import tempfile
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from agentmesh_protos.auth.v1 import auth_pb2 as pb
from agentmesh_protos.auth.v1 import auth_pb2_grpc as pb_grpc

from meshkit import client
from meshkit.access import Auth
from meshkit.identity import ServiceIdentity
from meshkit.server import serve
from meshkit.service import Settings
from meshkit.verifier import Revocations, TokenVerifier

SECRET = b"s" * 32
ASKED = pb.GetJwksRequest()


class Replica(pb_grpc.AuthServiceServicer):
    """Counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    async def GetJwks(self, request: pb.GetJwksRequest, context: Any) -> pb.Jwks:
        """Count."""
        self.calls += 1
        return pb.Jwks(jwks_json="{}")

    async def Login(self, request: pb.LoginRequest, context: Any) -> pb.Tokens:
        """Count."""
        self.calls += 1
        return pb.Tokens()


@pytest.fixture
def addresses() -> Iterator[list[str]]:
    """Three sockets."""
    with tempfile.TemporaryDirectory(prefix="am-") as folder:
        yield [f"unix:{folder}/auth-{number}.sock" for number in (1, 2, 3)]


def served(replica: Replica, address: str) -> contextlib.AbstractAsyncContextManager[int]:
    """Serve for the length of the block."""

    async def no_keys() -> str:
        return '{"keys": []}'

    def register(server: object) -> None:
        pb_grpc.add_AuthServiceServicer_to_server(replica, server)

    auth = Auth(TokenVerifier(no_keys, Revocations()), SECRET, "auth")
    return serve(address, ["mesh.auth.v1.AuthService"], register, auth, grace_s=0)


async def test_replicas_take_turns_and_one_that_goes_takes_no_call_with_it(addresses: list[str]) -> None:
    """Nor does one that was never there; one that comes later has its turn."""
    one, two, three = Replica(), Replica(), Replica()  # type: ignore[abstract]  # no test calls the rest
    peer = client.Peer(service="auth", address=",".join(addresses))
    async with client.connect(peer, ServiceIdentity(SECRET, "near")) as channel, served(two, addresses[1]):
        stub = pb_grpc.AuthServiceStub(channel)
        async with served(one, addresses[0]):
            while not (one.calls and two.calls):
                await stub.GetJwks(ASKED, wait_for_ready=True)
        before = two.calls
        for _ in range(20):
            await stub.GetJwks(ASKED)
        assert before + 20 == two.calls
        async with served(three, addresses[2]):
            while not three.calls:
                await stub.GetJwks(ASKED)


async def test_who_writes_as_soon_as_a_peer_is_back_reaches_it(addresses: list[str]) -> None:
    """A write is sent once, and is not lost to the pause that gRPC makes between its attempts to connect."""
    peer = client.Peer(service="auth", address=addresses[0])
    replica = Replica()  # type: ignore[abstract]  # as above
    async with client.connect(peer, ServiceIdentity(SECRET, "near")) as channel:
        stub = pb_grpc.AuthServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Login(pb.LoginRequest())
        async with served(replica, addresses[0]):
            await stub.Login(pb.LoginRequest())

    assert grpc.StatusCode.UNAVAILABLE == caught.value.code()
    assert 1 == replica.calls


def test_each_replica_listens_at_its_own_address() -> None:
    """And calls all of the others."""
    both = "unix:/run/am/auth-1.sock,unix:/run/am/auth-2.sock"
    settings = Settings(auth_address=both, replica=2, data_dir=pathlib.Path("data"))

    assert "unix:/run/am/auth-2.sock" == settings.at("auth")
    assert "unix:data/sockets/runner.sock" == settings.at("runner"), "where there is one, it is everybody's"
    assert both.split(",") == [peer.address for peer in settings.peer("auth").replicas]
    with pytest.raises(OSError, match="AGENTMESH_REPLICA is 3, and the auth has 2 addresses"):
        settings.model_copy(update={"replica": 3}).at("auth")
