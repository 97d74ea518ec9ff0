"""The auth service as a process: it starts fast, stops clean, keeps what it promised and refuses what is unsafe."""

import asyncio
import contextlib
import os
import pathlib
import signal
import sys
from collections.abc import AsyncIterator

import grpc
import pytest
from agentmesh_protos.auth.v1 import auth_pb2 as pb
from agentmesh_protos.auth.v1 import auth_pb2_grpc as pb_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from meshkit.errors import Unauthenticated
from tests.auth.helpers import auth_mesh, bearer, refused
from tests.ports import free_port

ROOT = pathlib.Path(__file__).parents[2]


async def start(data_dir: pathlib.Path, **env: str) -> asyncio.subprocess.Process:
    """Start the process."""
    settings = {f"AGENTMESH_{name.upper()}": value for name, value in env.items()}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AGENTMESH_")}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.auth",
        cwd=ROOT,
        env=inherited | settings | {"AGENTMESH_DATA_DIR": str(data_dir)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


@contextlib.asynccontextmanager
async def process(
    data_dir: pathlib.Path, **env: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, grpc.aio.Channel]]:
    """Run the process for the length of the block; yield it and a channel, once it is healthy."""
    address = f"127.0.0.1:{free_port()}"
    child = await start(data_dir, auth_address=address, **env)
    options = [("grpc.initial_reconnect_backoff_ms", 20), ("grpc.max_reconnect_backoff_ms", 50)]
    try:
        async with grpc.aio.insecure_channel(address, options=options) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            answer = await health.Check(health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=30)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
            yield child, channel
    finally:
        if child.returncode is None:
            child.kill()
        await child.communicate()


async def sign_in(channel: grpc.aio.Channel, password: str) -> pb.Tokens:
    """Sign in as admin."""
    request = pb.LoginRequest(login="admin", password=password)
    tokens: pb.Tokens = await pb_grpc.AuthServiceStub(channel).Login(request, timeout=30)
    return tokens


async def test_it_serves_until_it_is_told_to_stop(tmp_path: pathlib.Path) -> None:
    """SIGTERM ends it with 0, though somebody follows its health and is not going away."""
    async with process(tmp_path) as (child, channel), asyncio.timeout(30):
        await sign_in(channel, "admin")
        health = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        await health.read()
        child.send_signal(signal.SIGTERM)

        assert await child.wait() == 0


@pytest.mark.parametrize("password", ["", "admin"])
async def test_an_open_mesh_with_the_default_password_does_not_start(tmp_path: pathlib.Path, password: str) -> None:
    """It exits with 2, saying in one line what to set, and has made no account."""
    child = await start(tmp_path / "data", host="0.0.0.0", admin_password=password, auth_address="127.0.0.1:0")
    async with asyncio.timeout(30):
        out, err = await child.communicate()

    assert child.returncode == 2
    assert out == b""
    assert b"AGENTMESH_ADMIN_PASSWORD" in err
    assert err.count(b"\n") == 1
    assert not (tmp_path / "data" / "auth.db").exists()


async def test_a_setting_that_cannot_be_read_is_named(tmp_path: pathlib.Path) -> None:
    """Exit code 2 and a line, no stack trace."""
    child = await start(tmp_path, grace_s="soon", auth_address="127.0.0.1:0")
    async with asyncio.timeout(30):
        _, err = await child.communicate()

    assert child.returncode == 2
    assert b"AGENTMESH_GRACE_S" in err
    assert b"Traceback" not in err


async def test_opening_a_mesh_replaces_the_default_password(tmp_path: pathlib.Path) -> None:
    """A data folder that began on loopback keeps neither admin / admin nor tokens given out under it."""
    async with auth_mesh(tmp_path, memory=False) as mesh:
        old = await mesh.sign_in()
    async with auth_mesh(tmp_path, memory=False, host="0.0.0.0", admin_password="s3cret") as mesh:
        await refused(Unauthenticated, mesh.sign_in("admin", "admin"))
        await refused(Unauthenticated, mesh.me(bearer(old)))
        tokens = await mesh.sign_in("admin", "s3cret")
    async with auth_mesh(tmp_path, memory=False, host="0.0.0.0", admin_password="s3cret") as mesh:
        await mesh.me(bearer(tokens))
        assert tokens.user == (await mesh.sign_in("admin", "s3cret")).user


async def test_a_chosen_password_stays_on_loopback(tmp_path: pathlib.Path) -> None:
    """A restart without the variable does not bring the default back."""
    async with auth_mesh(tmp_path, memory=False, admin_password="s3cret") as mesh:
        await mesh.sign_in("admin", "s3cret")
    async with auth_mesh(tmp_path, memory=False) as mesh:
        await refused(Unauthenticated, mesh.sign_in("admin", "admin"))
        await mesh.sign_in("admin", "s3cret")


async def test_the_admin_has_the_address_that_was_chosen(tmp_path: pathlib.Path) -> None:
    """From the first start or a later one; a start without the variable leaves it."""
    for chosen, email in (
        ("", "admin@example.com"),
        ("ada@mesh.example", "ada@mesh.example"),
        ("", "ada@mesh.example"),
    ):
        async with auth_mesh(tmp_path, memory=False, admin_email=chosen) as mesh:
            tokens = await mesh.sign_in("admin", "admin")
            me = await mesh.users.GetUser(pb.GetUserRequest(name="users/admin"), metadata=bearer(tokens), timeout=30)
            assert me.email == email


async def test_an_admin_who_was_deleted_does_not_come_back(tmp_path: pathlib.Path) -> None:
    """The mesh has another operator, who decided so."""
    for chosen in ("", "s3cret"):
        async with auth_mesh(tmp_path, memory=False, admin_password=chosen) as mesh:
            if not chosen:
                await mesh.add_user("eve", operator=True)
                eve = bearer(await mesh.sign_in("eve", "a good one"))
                await mesh.users.DeleteUser(pb.DeleteUserRequest(name="users/admin"), metadata=eve, timeout=30)
            for password in ("admin", "s3cret"):
                await refused(Unauthenticated, mesh.sign_in("admin", password))
            await mesh.sign_in("eve", "a good one")


async def test_a_restart_keeps_what_was_promised(tmp_path: pathlib.Path) -> None:
    """Tokens, API keys and sessions hold; what was revoked stays revoked, and followers hear of it."""
    async with auth_mesh(tmp_path, memory=False) as mesh:
        kept, gone = await mesh.sign_in(), await mesh.sign_in()
        request = pb.CreateApiKeyRequest(display_name="laptop")
        key = await mesh.auth.CreateApiKey(request, metadata=bearer(kept), timeout=30)
        await mesh.auth.Logout(pb.LogoutRequest(), metadata=bearer(gone), timeout=30)
    async with auth_mesh(tmp_path, memory=False) as mesh:
        await mesh.me(bearer(kept))
        await mesh.me(bearer(key.token))
        await refused(Unauthenticated, mesh.me(bearer(gone)))
        await mesh.auth.RefreshTokens(pb.RefreshTokensRequest(refresh_token=kept.refresh_token), timeout=30)
        call = mesh.auth.WatchRevocations(pb.WatchRevocationsRequest(), metadata=mesh.badge)
        snapshot = await call.read()
        call.cancel()

    assert len(snapshot.revocations) == 1


async def test_the_files_are_their_owners_alone(tmp_path: pathlib.Path) -> None:
    """Password hashes and keys are not for other users of the machine."""
    async with auth_mesh(tmp_path, memory=False):
        modes = modes_under(tmp_path)

    assert set(modes) >= {"auth.db", "signing_key.pem", "mesh.secret"}
    assert {name for name, mode in modes.items() if mode & 0o077} == set()


def modes_under(folder: pathlib.Path) -> dict[str, int]:
    """Return the permissions of every file below a folder."""
    return {path.name: path.stat().st_mode for path in folder.rglob("*") if path.is_file()}
