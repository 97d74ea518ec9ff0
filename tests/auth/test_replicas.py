"""Two replicas of the auth service on one PostgreSQL keep the promises that one keeps."""

import asyncio
import pathlib
import sys
from collections.abc import AsyncIterator

import grpc
import pytest
import pytest_asyncio
from agentmesh_protos.auth.v1 import auth_pb2 as pb
from google.protobuf.field_mask_pb2 import FieldMask

from meshkit.errors import AlreadyExists, FailedPrecondition, Unauthenticated
from tests.auth.helpers import AuthMesh, Metadata, auth_mesh, bearer, claims, refused

SOON_S = 60.0
Pair = tuple[AuthMesh, AuthMesh]


@pytest_asyncio.fixture
async def pair(tmp_path: pathlib.Path, postgres: str) -> AsyncIterator[Pair]:
    """Two that have one folder of keys, and start at the same time."""
    one = auth_mesh(tmp_path, memory=False, database_url=postgres, replicas=2)
    two = auth_mesh(tmp_path, memory=False, database_url=postgres, replicas=2)
    first, second = await asyncio.gather(one.__aenter__(), two.__aenter__())
    try:
        yield first, second
    finally:
        await asyncio.gather(one.__aexit__(*sys.exc_info()), two.__aexit__(*sys.exc_info()))


async def until_refused(mesh: AuthMesh, token: Metadata) -> None:
    """Return once a replica takes a token no more."""

    async def asked_again_and_again() -> None:
        while True:
            await mesh.me(token)

    async with asyncio.timeout(SOON_S):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await asked_again_and_again()

    assert grpc.StatusCode.UNAUTHENTICATED is caught.value.code()


async def test_what_one_has_issued_the_other_takes(pair: Pair) -> None:
    """They sign with one key, and know the same people."""
    one, two = pair
    tokens = await one.sign_in()

    assert await one.me(bearer(tokens)) == await two.me(bearer(tokens))
    ada = await two.add_user("ada")
    assert ada.name == (await one.me(bearer(await one.sign_in("ada", "a good one")))).name


async def test_what_one_revokes_fails_at_the_other(pair: Pair) -> None:
    """Whoever is signed out at one is soon gone from the other."""
    one, two = pair
    ada, _ = await one.add_user("ada"), await two.sign_in()
    token = bearer(await two.sign_in("ada", "a good one"))
    await two.me(token)
    await one.auth.Logout(pb.LogoutRequest(), metadata=token, timeout=30)
    await until_refused(two, token)

    token = bearer(await one.sign_in("ada", "a good one"))
    change = pb.UpdateUserRequest(user=pb.User(name=ada.name, active=False), update_mask=FieldMask(paths=["active"]))
    await two.users.UpdateUser(change, metadata=bearer(await two.sign_in()), timeout=30)
    await until_refused(one, token)


async def test_a_follower_of_one_hears_what_the_other_revokes(pair: Pair) -> None:
    """Services follow whichever replica they reach."""
    one, two = pair
    await one.add_user("ada")
    tokens = await one.sign_in("ada", "a good one")
    jwks = await one.auth.GetJwks(pb.GetJwksRequest(), timeout=30)
    jti = claims(tokens.access_token, jwks.jwks_json)["jti"]
    follower = two.auth.WatchRevocations(pb.WatchRevocationsRequest(), metadata=two.badge, timeout=SOON_S)

    is_following = False
    async for message in follower:
        if not is_following:
            await one.auth.Logout(pb.LogoutRequest(), metadata=bearer(tokens), timeout=30)
            is_following = True
        if jti in {item.jti for item in message.revocations}:
            break
    else:
        pytest.fail("the stream ended without it")
    follower.cancel()


async def test_a_refresh_token_works_once_among_all(pair: Pair) -> None:
    """Used at both, it is found out, and its session ends."""
    one, two = pair
    tokens = await one.sign_in()
    request = pb.RefreshTokensRequest(refresh_token=tokens.refresh_token)
    outcomes = await asyncio.gather(
        *(mesh.auth.RefreshTokens(request, timeout=30) for mesh in pair), return_exceptions=True
    )
    issued = [outcome for outcome in outcomes if isinstance(outcome, pb.Tokens)]

    assert 1 == len(issued)
    for mesh in (one, two):
        again = pb.RefreshTokensRequest(refresh_token=issued[0].refresh_token)
        await refused(Unauthenticated, mesh.auth.RefreshTokens(again, timeout=30))
        await until_refused(mesh, bearer(tokens))


async def test_of_two_who_want_a_name_at_two_replicas_one_gets_it(pair: Pair) -> None:
    """Names are unique in the mesh; and the same request, sent to both, makes one user."""
    outcomes = await asyncio.gather(*(mesh.add_user("ada") for mesh in pair for _ in range(3)), return_exceptions=True)
    assert 1 == sum(isinstance(outcome, pb.User) for outcome in outcomes)

    admin = bearer(await pair[0].sign_in())
    user = pb.User(login="bob", email="bob@example.com", password="a good one")
    request = pb.CreateUserRequest(user=user, request_id="one")
    made = await asyncio.gather(
        *(mesh.users.CreateUser(request, metadata=admin, timeout=30) for mesh in pair for _ in range(3))
    )
    assert 1 == len({each.name for each in made})
    other = pb.CreateUserRequest(user=user)
    await refused(AlreadyExists, pair[1].users.CreateUser(other, metadata=admin, timeout=30))


async def test_two_operators_cannot_remove_each_other_at_two_replicas(pair: Pair) -> None:
    """One stays."""
    ada = await pair[0].add_user("ada", operator=True)
    admin = await pair[0].me(bearer(await pair[0].sign_in()))
    token = bearer(await pair[0].sign_in("ada", "a good one"))
    calls = (
        mesh.users.DeleteUser(pb.DeleteUserRequest(name=who.name), metadata=token, timeout=30)
        for mesh, who in zip(pair, (ada, admin), strict=True)
    )
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    refusals = [outcome for outcome in outcomes if isinstance(outcome, grpc.aio.AioRpcError)]

    assert 1 <= len(refusals) < 2, outcomes
    assert refusals[0].code() in (FailedPrecondition.code, Unauthenticated.code)
