"""Revocations as services hear of them, and what services may say of users."""

import asyncio
import pathlib

from agentmesh_protos.auth.v1 import auth_pb2 as pb
from google.protobuf import field_mask_pb2

from meshkit.errors import Denied, Unauthenticated
from tests.auth.helpers import AuthMesh, auth_mesh, bearer, claims, refused
from tests.auth.servicers.test_sign_in import keys


async def test_revocations_are_streamed(mesh: AuthMesh) -> None:
    """What was revoked before comes first, then what is revoked while one listens."""
    ada = await mesh.add_user("ada")
    gone = bearer(await mesh.sign_in())
    await mesh.auth.Logout(pb.LogoutRequest(), metadata=gone, timeout=30)
    async with asyncio.timeout(30):
        call = mesh.auth.WatchRevocations(pb.WatchRevocationsRequest(), metadata=mesh.badge)
        snapshot = await call.read()
        admin = bearer(await mesh.sign_in())
        user = pb.User(name=ada.name)
        mask = field_mask_pb2.FieldMask(paths=["active"])
        await mesh.users.UpdateUser(pb.UpdateUserRequest(user=user, update_mask=mask), metadata=admin)
        live = await call.read()
        call.cancel()

    assert [item.WhichOneof("target") for item in snapshot.revocations] == ["jti"]
    assert [item.user for item in live.revocations] == [ada.name]
    assert live.revocations[0].expire_time.seconds > live.revocations[0].issue_time.seconds


async def test_an_empty_snapshot_comes_at_once(mesh: AuthMesh) -> None:
    """Who listens knows that there is nothing to wait for."""
    async with asyncio.timeout(30):
        call = mesh.auth.WatchRevocations(pb.WatchRevocationsRequest(), metadata=mesh.badge)
        first = await call.read()
        call.cancel()

    assert list(first.revocations) == []


async def test_only_services_hear_of_revocations(mesh: AuthMesh) -> None:
    """Not even an operator."""
    admin = bearer(await mesh.sign_in())
    await refused(Denied, mesh.auth.WatchRevocations(pb.WatchRevocationsRequest(), metadata=admin, timeout=30).read())


async def test_a_service_alone_is_no_user(mesh: AuthMesh) -> None:
    """What is about the caller needs one."""
    for call in (
        mesh.users.GetSelf(pb.GetSelfRequest(), metadata=mesh.badge, timeout=30),
        mesh.auth.Logout(pb.LogoutRequest(), metadata=mesh.badge, timeout=30),
        mesh.auth.ListApiKeys(pb.ListApiKeysRequest(), metadata=mesh.badge, timeout=30),
    ):
        await refused(Unauthenticated, call)


async def test_a_stream_ends_when_the_service_stops(tmp_path: pathlib.Path) -> None:
    """Followers do not hold the service up: it does not wait for them as long as it would for others."""
    async with asyncio.timeout(30), auth_mesh(tmp_path, grace_s=60.0) as stopping:
        call = stopping.auth.WatchRevocations(pb.WatchRevocationsRequest(), metadata=stopping.badge)
        await call.read()


async def test_a_service_may_vouch_for_a_user(mesh: AuthMesh) -> None:
    """It gets a session of theirs, as if they had signed in; for who may not sign in there is none."""
    await mesh.add_user("vera")
    asked = pb.VouchForUserRequest(login="vera", access_ttl_s=60)
    tokens = await mesh.auth.VouchForUser(asked, metadata=mesh.badge, timeout=30)
    found = claims(tokens.access_token, await keys(mesh))

    assert "vera" == (await mesh.me(bearer(tokens))).login
    assert 59 < found["exp"] - found["iat"] <= 61
    for login in ("nobody", ""):
        request = pb.VouchForUserRequest(login=login)
        await refused(Unauthenticated, mesh.auth.VouchForUser(request, metadata=mesh.badge, timeout=30))
    admin = bearer(await mesh.sign_in())
    await refused(Denied, mesh.auth.VouchForUser(asked, metadata=admin, timeout=30))
