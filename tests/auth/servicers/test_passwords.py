"""Passwords, over the wire: who changes one, and what becomes of guesses."""

import asyncio
import time

import grpc
import pytest
from agentmesh_protos.auth.v1 import auth_pb2 as pb

from meshkit.errors import Exhausted, Invalid, Unauthenticated
from meshkit.net.whence import ADDRESS_HEADER, EDGE_HEADER
from services.auth import throttle
from tests.auth.helpers import AuthMesh, Metadata, bearer, refused


@pytest.mark.parametrize(
    ("login", "password"),
    [("admin", "wrong"), ("nobody", "admin"), ("Admin", "admin"), ("x" * 5000, "y"), ("a\0", "b")],
)
async def test_wrong_names_and_passwords_get_the_same_answer(mesh: AuthMesh, login: str, password: str) -> None:
    """Nobody learns which of the two was wrong."""
    error = await refused(Unauthenticated, mesh.sign_in(login, password))

    assert str(error) == "Invalid name or password"


async def test_unknown_names_take_as_long_as_wrong_passwords(mesh: AuthMesh) -> None:
    """The time of an answer does not say whether a name exists: both hash once."""

    async def took(login: str) -> float:
        started = time.process_time()
        await refused(Unauthenticated, mesh.sign_in(login, "wrong"))
        return time.process_time() - started

    # Of our own time, which is all in this process: a busy machine delays some of both.
    times = [(await took("admin"), await took(f"nobody{number}")) for number in range(5)]
    known, unknown = (min(each) for each in zip(*times, strict=True))

    # A skipped hash would be a factor of twenty.
    assert 0.2 < known / unknown < 5


async def test_guessing_is_slowed_down(mesh: AuthMesh) -> None:
    """After a few failures a name has to wait, the right password too; other names do not."""
    await mesh.add_user("ada")
    for _ in range(throttle.FREE_FAILURES):
        await refused(Unauthenticated, mesh.sign_in("ada", "wrong"))
    error = await refused(Exhausted, mesh.sign_in("ada", "a good one"))

    assert isinstance(error, Exhausted)
    assert error.retry_after_s == 1
    await mesh.sign_in()


async def test_who_guesses_shuts_nobody_else_out(mesh: AuthMesh) -> None:
    """Of the same name at another address; only a service of the mesh is believed which it is."""

    def at(address: str) -> Metadata:
        return (*mesh.badge, (ADDRESS_HEADER, address))

    async def sign_in(password: str, metadata: Metadata) -> pb.Tokens:
        request = pb.LoginRequest(login="admin", password=password)
        tokens: pb.Tokens = await mesh.auth.Login(request, metadata=metadata, timeout=30)
        return tokens

    for _ in range(throttle.FREE_FAILURES):
        await refused(Unauthenticated, sign_in("wrong", at("192.0.2.1")))
    await refused(Exhausted, sign_in("admin", at("192.0.2.1")))
    await sign_in("admin", at("192.0.2.2"))
    await refused(Exhausted, sign_in("admin", at("192.0.2.1")))
    for number in range(throttle.FREE_FAILURES):
        claimed = ((ADDRESS_HEADER, f"192.0.2.{number}"), ("x-forwarded-for", f"192.0.2.{number}"), (EDGE_HEADER, "x"))
        await refused(Unauthenticated, sign_in("wrong", claimed))
    await refused(Exhausted, sign_in("admin", ((ADDRESS_HEADER, "192.0.2.99"),)))


async def test_a_password_is_changed_by_who_knows_it(mesh: AuthMesh) -> None:
    """All that was signed in ends, keys too; the answer is signed in, and the new one works."""
    await mesh.add_user("ada")
    mine, other = await mesh.sign_in("ada", "a good one"), await mesh.sign_in("ada", "a good one")
    made = pb.CreateApiKeyRequest(display_name="laptop")
    key = await mesh.auth.CreateApiKey(made, metadata=bearer(mine), timeout=30)
    request = pb.ChangePasswordRequest(old_password="a good one", new_password="a better one")
    fresh = await mesh.auth.ChangePassword(request, metadata=bearer(mine), timeout=30)

    await mesh.me(bearer(fresh))
    for token in (mine.access_token, other.access_token, key.token):
        await refused(Unauthenticated, mesh.me(bearer(token)))
    await refused(Unauthenticated, mesh.sign_in("ada", "a good one"))
    await mesh.sign_in("ada", "a better one")
    await mesh.auth.RefreshTokens(pb.RefreshTokensRequest(refresh_token=fresh.refresh_token), timeout=30)


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("wrong", "a better one", "old_password"),
        ("", "a better one", "old_password"),
        ("a good one", "short", "new_password"),
        ("a good one", "password123", "new_password"),
        ("a good one", "ada@example.com", "new_password"),
        ("a good one", "", "new_password"),
    ],
)
async def test_a_change_of_password_names_what_is_wrong(mesh: AuthMesh, old: str, new: str, field: str) -> None:
    """Nothing ends by it."""
    await mesh.add_user("ada")
    me = bearer(await mesh.sign_in("ada", "a good one"))
    request = pb.ChangePasswordRequest(old_password=old, new_password=new)
    error = await refused(Invalid, mesh.auth.ChangePassword(request, metadata=me, timeout=30))

    assert isinstance(error, Invalid)
    assert [field] == list(error.fields)
    await mesh.me(me)


async def test_an_old_password_is_not_guessed_with_a_stolen_token(mesh: AuthMesh) -> None:
    """Wrong ones count as at a sign-in."""
    await mesh.add_user("ada")
    me = bearer(await mesh.sign_in("ada", "a good one"))
    request = pb.ChangePasswordRequest(old_password="wrong", new_password="a better one")
    for _ in range(throttle.FREE_FAILURES):
        await refused(Invalid, mesh.auth.ChangePassword(request, metadata=me, timeout=30))
    request.old_password = "a good one"

    await refused(Exhausted, mesh.auth.ChangePassword(request, metadata=me, timeout=30))


async def test_guessing_by_the_address_is_no_way_around(mesh: AuthMesh) -> None:
    """Login and e-mail address, in any case of letters, are one name; the right password works by both."""
    ada = await mesh.add_user("ada")
    assert ada.name == (await mesh.sign_in(ada.email.upper(), "a good one")).user.name
    for number in range(throttle.FREE_FAILURES):
        login = ("ada", ada.email, ada.email.upper())[number % 3]
        await refused(Unauthenticated, mesh.sign_in(login, "wrong"))

    await refused(Exhausted, mesh.sign_in(ada.email, "a good one"))
    await refused(Exhausted, mesh.sign_in("ada", "a good one"))


async def test_guesses_at_once_are_slowed_down_too(mesh: AuthMesh) -> None:
    """Sending them all together does not help."""
    attempts = (mesh.sign_in("nobody", f"guess{number}") for number in range(40))
    outcomes = await asyncio.gather(*attempts, return_exceptions=True)
    codes = [outcome.code() for outcome in outcomes if isinstance(outcome, grpc.aio.AioRpcError)]

    assert len(codes) == 40
    # As many as hash side by side may pass the check together.
    assert codes.count(grpc.StatusCode.UNAUTHENTICATED) <= throttle.FREE_FAILURES + 4
    assert grpc.StatusCode.RESOURCE_EXHAUSTED in codes


async def test_many_good_sign_ins_at_once_are_fine(mesh: AuthMesh) -> None:
    """A crowd with the right password is no attack, and all get tokens of their own."""
    tokens = await asyncio.gather(*(mesh.sign_in() for _ in range(30)))

    assert len({grant.access_token for grant in tokens}) == 30
    assert len({grant.refresh_token for grant in tokens}) == 30
