"""Services of several machines: TLS in both directions, and nothing else unless somebody wants it."""

import asyncio
import contextlib
import pathlib
import shutil
from collections.abc import AsyncIterator

import grpc
import pytest
from agentmesh_protos.auth.v1 import auth_pb2 as pb
from agentmesh_protos.auth.v1 import auth_pb2_grpc as pb_grpc

from agentmesh.cli.machine import certs
from meshkit import client, identity
from meshkit.access import Auth
from meshkit.client import Peer
from meshkit.errors import Unauthenticated, from_rpc
from meshkit.identity import SERVICE_HEADER, ServiceIdentity
from meshkit.net import endpoints
from meshkit.net.tls import NOTHING_ELSE, Tls, Unsafe, Wires
from meshkit.server import serve
from meshkit.service import Settings
from meshkit.verifier import Revocations, TokenVerifier

SECRET = b"s" * 32
DEADLINE_S = 60.0


class Jwks(pb_grpc.AuthServiceServicer):
    """Answers one method that is for everybody, and one for services."""

    async def GetJwks(self, request: pb.GetJwksRequest, context: object) -> pb.Jwks:
        """Answer."""
        return pb.Jwks(jwks_json="{}")

    async def VouchForUser(self, request: pb.VouchForUserRequest, context: object) -> pb.Tokens:
        """Answer."""
        return pb.Tokens(access_token="vouched")


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The certificates of a mesh."""
    folder = tmp_path_factory.mktemp("ours")
    certs.make(folder, 30)
    return folder


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Those of another mesh."""
    folder = tmp_path_factory.mktemp("theirs")
    certs.make(folder, 30)
    return folder


@pytest.fixture(scope="module")
def old(ours: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Those of the mesh, which have expired."""
    folder = tmp_path_factory.mktemp("old")
    for name in ("ca.crt", "ca.key"):
        shutil.copy(ours / name, folder)
    certs.make(folder, -0.5)
    return folder


def of(folder: pathlib.Path, service: str, ca: pathlib.Path | None = None) -> Tls:
    """Return the files of a service."""
    return Tls((ca or folder) / "ca.crt", folder / f"{service}.crt", folder / f"{service}.key")


@contextlib.asynccontextmanager
async def served(tls: Tls) -> AsyncIterator[str]:
    """Run an auth service with TLS; yield its address."""

    async def no_keys() -> str:
        return '{"keys": []}'

    auth = Auth(TokenVerifier(no_keys, Revocations()), SECRET, "auth", named=True)

    def register(server: object) -> None:
        pb_grpc.add_AuthServiceServicer_to_server(Jwks(), server)  # type: ignore[abstract]  # the others are not called

    async with serve("127.0.0.1:0", ["mesh.auth.v1.AuthService"], register, auth, grace_s=0, wires=Wires(tls)) as port:
        yield f"127.0.0.1:{port}"


async def ask(address: str, tls: Tls) -> str:
    """Ask what is for everybody; return the keys, or how it failed."""
    peer = Peer(service="auth", address=address, wires=Wires(tls))
    async with client.channel(peer, ()) as channel:
        stub = pb_grpc.AuthServiceStub(channel)
        try:
            return str((await stub.GetJwks(pb.GetJwksRequest(), timeout=DEADLINE_S)).jwks_json)
        except grpc.aio.AioRpcError as error:
            return f"{error.code().name}: {error.details()}"


async def test_services_with_certificates_of_one_ca_talk(ours: pathlib.Path) -> None:
    """Each shows its own."""
    async with served(of(ours, "auth")) as address:
        assert "{}" == await ask(address, of(ours, "runner"))


@pytest.mark.parametrize(
    ("serves", "words"),
    [
        ("theirs", "CERTIFICATE_VERIFY_FAILED"),
        ("old", "certificate has expired"),
        ("runner", "Hostname Verification Check failed"),
    ],
)
async def test_who_dials_talks_to_nobody_else(
    serves: str, words: str, ours: pathlib.Path, theirs: pathlib.Path, old: pathlib.Path
) -> None:
    """Another CA, an expired certificate, that of another service: no call is made, and what is wrong is said."""
    there = {
        "theirs": of(theirs, "auth", ca=ours),
        "old": of(old, "auth"),
        "runner": of(ours, "runner"),
    }[serves]
    async with served(there) as address:
        failed = await ask(address, of(ours, "gateway"))

    assert failed.startswith("UNAVAILABLE: ")
    assert words in failed


@pytest.mark.parametrize("dials", ["theirs", "old"])
async def test_who_has_no_certificate_that_holds_is_not_let_in(
    dials: str, ours: pathlib.Path, theirs: pathlib.Path, old: pathlib.Path
) -> None:
    """Of another CA, or expired."""
    folder = {"theirs": theirs, "old": old}[dials]
    async with served(of(ours, "auth")) as address:
        failed = await ask(address, of(folder, "gateway", ca=ours))

    assert failed.startswith("UNAVAILABLE: ")


async def test_who_has_no_certificate_at_all_is_not_let_in(ours: pathlib.Path) -> None:
    """Nor who does not speak TLS."""
    only_ca = grpc.ssl_channel_credentials((ours / "ca.crt").read_bytes())
    named = [("grpc.ssl_target_name_override", "auth.agentmesh")]
    async with (
        served(of(ours, "auth")) as address,
        grpc.aio.secure_channel(address, only_ca, options=named) as bare,
        grpc.aio.insecure_channel(address) as plain,
    ):
        for channel in (bare, plain):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await pb_grpc.AuthServiceStub(channel).GetJwks(pb.GetJwksRequest(), timeout=DEADLINE_S)
            assert grpc.StatusCode.UNAVAILABLE == caught.value.code()


async def test_a_badge_counts_only_with_a_certificate_of_the_same_name(ours: pathlib.Path) -> None:
    """What one service holds makes it no other."""
    request = pb.VouchForUserRequest(login="admin")
    async with served(of(ours, "auth")) as address, asyncio.timeout(DEADLINE_S):
        gateway = Peer(service="auth", address=address, wires=Wires(of(ours, "gateway")))
        async with client.connect(gateway, ServiceIdentity(SECRET, "gateway")) as channel:
            assert "vouched" == (await pb_grpc.AuthServiceStub(channel).VouchForUser(request)).access_token
        async with client.channel(gateway, ()) as channel:
            badge = ((SERVICE_HEADER, identity.sign(SECRET, "service:runner", "auth")),)
            with pytest.raises(Unauthenticated, match="badge is of runner, and the certificate is not"), from_rpc():
                await pb_grpc.AuthServiceStub(channel).VouchForUser(request, metadata=badge)


def test_a_certificate_that_peers_would_refuse_is_refused_at_the_start(
    ours: pathlib.Path, theirs: pathlib.Path, old: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """With what is wrong with it."""
    of(ours, "auth").check("auth")
    crossed = Tls(ours / "ca.crt", ours / "auth.crt", ours / "runner.key")
    (tmp_path / "auth.crt").write_text("no PEM")
    for tls, words in (
        (of(ours, "runner"), r"does not hold for auth: .*auth\.agentmesh"),
        (of(old, "auth"), "certificate has expired"),
        (of(theirs, "auth", ca=ours), "does not hold for auth"),
        (crossed, "do not go together"),
        (Tls(ours / "ca.crt", tmp_path / "auth.crt", ours / "auth.key"), "do not go together"),
        (of(tmp_path, "none"), "cannot be read"),
    ):
        with pytest.raises(Unsafe, match=words):
            tls.check("auth")


@pytest.mark.parametrize("address", ["10.0.0.1:3371", "0.0.0.0:3371", "auth.internal:3371", "[::]:3371"])
def test_other_machines_are_not_talked_to_in_plain_text(address: str, ours: pathlib.Path) -> None:
    """Unless somebody wants it; who does not is told what to set."""
    endpoint = endpoints.parse(address)
    with pytest.raises(Unsafe, match="AGENTMESH_TLS_CA"):
        NOTHING_ELSE.over(endpoint)
    with pytest.raises(Unsafe, match="AGENTMESH_TLS_CA"):
        client.channel(Peer(service="auth", address=address), ())

    assert Wires(plain=True).over(endpoint) is None
    assert of(ours, "auth") == Wires(of(ours, "auth")).over(endpoint)


def test_this_machine_needs_no_tls(ours: pathlib.Path) -> None:
    """A port of loopback has it all the same where there are certificates; a socket never."""
    wires = Wires(of(ours, "auth"))

    assert NOTHING_ELSE.over(endpoints.parse("127.0.0.1:3371")) is None
    assert wires.tls == wires.over(endpoints.parse("127.0.0.1:3371"))
    assert wires.over(endpoints.parse("unix:/run/auth.sock")) is None


def test_settings_name_all_three_files_or_none(tmp_path: pathlib.Path) -> None:
    """Half of TLS would be none."""
    assert NOTHING_ELSE == Settings(data_dir=tmp_path).wires
    assert Wires(plain=True) == Settings(data_dir=tmp_path, insecure_tcp="allow").wires
    assert (
        Wires(of(tmp_path, "auth"))
        == Settings(tls_ca=f"{tmp_path}/ca.crt", tls_cert=f"{tmp_path}/auth.crt", tls_key=f"{tmp_path}/auth.key").wires
    )
    with pytest.raises(ValueError, match="belong together"):
        Settings(data_dir=tmp_path, tls_cert="auth.crt")
