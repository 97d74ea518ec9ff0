"""A service follows the auth service: its keys, its revocations, its restarts."""

import asyncio
import contextlib
import pathlib

import pytest
from agentmesh_protos.auth.v1 import auth_pb2 as pb

from meshkit.errors import Unauthenticated, Unavailable
from meshkit.principal import Principal
from meshkit.service import Settings, authenticated
from meshkit.verifier import TokenVerifier
from tests.auth.helpers import auth_mesh, bearer
from tests.ports import free_port


def settings(data_dir: pathlib.Path, port: int) -> Settings:
    """Return the settings of a service beside the auth service at `port`."""
    return Settings(data_dir=data_dir, auth_address=f"127.0.0.1:{port}")


async def verified(verifier: TokenVerifier, token: str) -> Principal:
    """Return whose token it is; on a busy machine the auth service may take long to answer."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(Unavailable):
                return await verifier.verify(token)


async def revoked(verifier: TokenVerifier, token: str) -> None:
    """Wait until the verifier refuses the token."""
    async with asyncio.timeout(60):
        while True:
            try:
                await verified(verifier, token)
            except Unauthenticated:
                return
            await asyncio.sleep(0)


async def test_a_token_is_verified_and_its_revocation_followed(tmp_path: pathlib.Path) -> None:
    """A peer knows who calls, and learns of a sign-out without asking."""
    async with auth_mesh(tmp_path) as mesh, authenticated(settings(tmp_path, mesh.port), "runner") as auth:
        tokens = await mesh.sign_in()
        got = await verified(auth.verifier, tokens.access_token)
        await mesh.auth.Logout(pb.LogoutRequest(), metadata=bearer(tokens), timeout=30)
        await revoked(auth.verifier, tokens.access_token)

    assert (got.user, got.operator) == (tokens.user.name, True)


async def test_what_was_revoked_before_we_started_fails(tmp_path: pathlib.Path) -> None:
    """From the very first call: it waits for the snapshot."""
    async with auth_mesh(tmp_path) as mesh:
        tokens = await mesh.sign_in()
        await mesh.auth.Logout(pb.LogoutRequest(), metadata=bearer(tokens), timeout=30)
        async with authenticated(settings(tmp_path, mesh.port), "runner") as auth:
            with pytest.raises(Unauthenticated, match="revoked"):
                await verified(auth.verifier, tokens.access_token)


async def test_a_restart_of_the_auth_service_is_followed(tmp_path: pathlib.Path) -> None:
    """The stream comes back by itself, and what is revoked after it is heard."""
    address = f"127.0.0.1:{free_port()}"
    async with contextlib.AsyncExitStack() as stack:
        async with auth_mesh(tmp_path, memory=False, auth_address=address) as mesh:
            auth = await stack.enter_async_context(authenticated(settings(tmp_path, mesh.port), "runner"))
            tokens = await mesh.sign_in()
            await verified(auth.verifier, tokens.access_token)
        await auth.verifier.verify(tokens.access_token)
        async with auth_mesh(tmp_path, memory=False, auth_address=address) as mesh:
            await mesh.auth.Logout(pb.LogoutRequest(), metadata=bearer(tokens), timeout=30)
            await revoked(auth.verifier, tokens.access_token)


async def test_without_the_auth_service_nobody_gets_in(tmp_path: pathlib.Path) -> None:
    """The answer is "try again", within seconds."""
    async with auth_mesh(tmp_path) as mesh:
        tokens = await mesh.sign_in()
    async with authenticated(settings(tmp_path, free_port()), "runner") as auth, asyncio.timeout(30):
        with pytest.raises(Unavailable):
            await auth.verifier.verify(tokens.access_token)
