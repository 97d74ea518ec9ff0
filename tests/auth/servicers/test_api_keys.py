"""API keys, over the wire."""

import asyncio

import pytest
from agentmesh_protos.auth.v1 import auth_pb2 as pb

from meshkit import paging
from meshkit.errors import Denied, Invalid, NotFound, Unauthenticated
from tests.auth.helpers import AuthMesh, bearer, claims, refused
from tests.auth.servicers.test_sign_in import keys


async def test_an_api_key_makes_nothing_that_outlives_it(mesh: AuthMesh) -> None:
    """No key, no other password of anybody, no operator, and it is no refresh token; nor does it end a session.

    What it may do else stays.
    """
    session = bearer(await mesh.sign_in())
    made = await mesh.auth.CreateApiKey(pb.CreateApiKeyRequest(display_name="ci"), metadata=session, timeout=30)
    key = bearer(made.token)
    await mesh.add_user("ada")
    eve = pb.User(login="eve", email="eve@example.com", password="a good one")
    operator = pb.User(login="eve", email="eve@example.com", password="a good one", operator=True)
    change = pb.User(name="users/ada", password="a better one")
    promotion = pb.User(name="users/ada", operator=True)
    calls = (
        mesh.auth.CreateApiKey(pb.CreateApiKeyRequest(display_name="x"), metadata=key, timeout=30),
        mesh.auth.ChangePassword(
            pb.ChangePasswordRequest(old_password="admin", new_password="a better one"), metadata=key, timeout=30
        ),
        mesh.users.UpdateUser(pb.UpdateUserRequest(user=change), metadata=key, timeout=30),
        mesh.users.UpdateUser(pb.UpdateUserRequest(user=promotion), metadata=key, timeout=30),
        mesh.users.CreateUser(pb.CreateUserRequest(user=operator), metadata=key, timeout=30),
        mesh.auth.DeleteSession(pb.DeleteSessionRequest(name="sessions/x"), metadata=key, timeout=30),
        mesh.auth.EndSessions(pb.EndSessionsRequest(), metadata=key, timeout=30),
    )
    for call in calls:
        await refused(Denied, call)
    await refused(
        Unauthenticated, mesh.auth.RefreshTokens(pb.RefreshTokensRequest(refresh_token=made.token), timeout=30)
    )
    await mesh.users.CreateUser(pb.CreateUserRequest(user=eve), metadata=key, timeout=30)
    await mesh.auth.DeleteApiKey(pb.DeleteApiKeyRequest(name=made.api_key.name), metadata=key, timeout=30)
    await refused(Unauthenticated, mesh.me(key))


async def test_an_api_key_works_until_it_is_deleted(mesh: AuthMesh) -> None:
    """It is an access token of its owner; its token is shown once."""
    ada = await mesh.add_user("ada", tier=pb.TIER_PRO)
    me = bearer(await mesh.sign_in("ada", "a good one"))
    request = pb.CreateApiKeyRequest(display_name="laptop", ttl_days=30)
    made = await mesh.auth.CreateApiKey(request, metadata=me, timeout=30)
    listed = await mesh.auth.ListApiKeys(pb.ListApiKeysRequest(), metadata=me, timeout=30)
    found = claims(made.token, await keys(mesh))

    assert list(listed.api_keys) == [made.api_key]
    assert made.token not in str(listed)
    assert f"apiKeys/{found['jti']}" == made.api_key.name
    assert (found["tier"], found["exp"]) == ("pro", made.api_key.expire_time.seconds)
    assert ada.name == (await mesh.me((("kodosumi_api_key", made.token),))).name

    await mesh.auth.DeleteApiKey(pb.DeleteApiKeyRequest(name=made.api_key.name), metadata=me, timeout=30)
    await refused(Unauthenticated, mesh.me(bearer(made.token)))
    deletion = mesh.auth.DeleteApiKey(pb.DeleteApiKeyRequest(name=made.api_key.name), metadata=me, timeout=30)
    await refused(NotFound, deletion)


async def test_an_api_key_of_somebody_else_is_not_found(mesh: AuthMesh) -> None:
    """Not even an operator deletes it; they can deactivate its user."""
    await mesh.add_user("ada")
    ada = bearer(await mesh.sign_in("ada", "a good one"))
    made = await mesh.auth.CreateApiKey(pb.CreateApiKeyRequest(display_name="x"), metadata=ada, timeout=30)
    admin = bearer(await mesh.sign_in())
    request = pb.DeleteApiKeyRequest(name=made.api_key.name)

    await refused(NotFound, mesh.auth.DeleteApiKey(request, metadata=admin, timeout=30))
    await mesh.me(bearer(made.token))


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.CreateApiKeyRequest(), "display_name"),
        (pb.CreateApiKeyRequest(display_name="x" * 129), "display_name"),
        (pb.CreateApiKeyRequest(display_name="x", ttl_days=-1), "ttl_days"),
        (pb.CreateApiKeyRequest(display_name="x", ttl_days=3651), "ttl_days"),
    ],
)
async def test_a_bad_api_key_names_its_field(mesh: AuthMesh, request_: pb.CreateApiKeyRequest, field: str) -> None:
    """As every bad request does."""
    me = bearer(await mesh.sign_in())
    error = await refused(Invalid, mesh.auth.CreateApiKey(request_, metadata=me, timeout=30))

    assert isinstance(error, Invalid)
    assert [field] == list(error.fields)


async def test_api_keys_come_in_pages(mesh: AuthMesh) -> None:
    """Newest first; a token of somebody else's list is refused."""
    me = bearer(await mesh.sign_in())
    for number in range(5):
        request = pb.CreateApiKeyRequest(display_name=f"{number}")
        await mesh.auth.CreateApiKey(request, metadata=me, timeout=30)
    names, token = [], ""
    while True:
        listing = pb.ListApiKeysRequest(page_size=2, page_token=token)
        page = await mesh.auth.ListApiKeys(listing, metadata=me, timeout=30)
        names += [key.display_name for key in page.api_keys]
        last, token = token, page.next_page_token
        if not token:
            break
    await mesh.add_user("ada")
    ada = bearer(await mesh.sign_in("ada", "a good one"))

    assert names == ["4", "3", "2", "1", "0"]
    foreign = mesh.auth.ListApiKeys(pb.ListApiKeysRequest(page_token=last), metadata=ada, timeout=30)
    await refused(Invalid, foreign)


async def test_a_page_token_of_no_time_is_none_of_ours(mesh: AuthMesh) -> None:
    """Somebody has made it up."""
    tokens = await mesh.sign_in()
    user_id = tokens.user.name.removeprefix("users/")
    for method, request, kind in (
        (mesh.auth.ListApiKeys, pb.ListApiKeysRequest, "apiKeys"),
        (mesh.auth.ListSessions, pb.ListSessionsRequest, "sessions"),
    ):
        for key in (str(2**62), "x"):
            asked = request(page_token=paging.encode(key, kind, user_id))
            await refused(Invalid, method(asked, metadata=bearer(tokens), timeout=30))


async def test_a_repeated_create_gives_the_same_api_key(mesh: AuthMesh) -> None:
    """Thirty times at once, and later: one key, one token, though the token is kept nowhere."""
    me = bearer(await mesh.sign_in())
    request = pb.CreateApiKeyRequest(display_name="laptop", request_id="r1")
    made = await asyncio.gather(*(mesh.auth.CreateApiKey(request, metadata=me, timeout=30) for _ in range(30)))
    again = await mesh.auth.CreateApiKey(request, metadata=me, timeout=30)
    listed = await mesh.auth.ListApiKeys(pb.ListApiKeysRequest(), metadata=me, timeout=30)
    other = pb.CreateApiKeyRequest(display_name="phone", request_id="r1")
    error = await refused(Invalid, mesh.auth.CreateApiKey(other, metadata=me, timeout=30))

    assert {answer.SerializeToString() for answer in (*made, again)} == {again.SerializeToString()}
    assert [key.name for key in listed.api_keys] == [again.api_key.name]
    assert (await mesh.me(bearer(again.token))).login == "admin"
    assert isinstance(error, Invalid)
    assert list(error.fields) == ["request_id"]
