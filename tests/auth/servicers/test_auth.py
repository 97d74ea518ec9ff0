"""Signing in and out, over the wire."""

import asyncio
import pathlib
import time
from collections.abc import AsyncIterator

import grpc
import pytest
import pytest_asyncio
import structlog
from agentmesh_protos.auth.v1 import auth_pb2 as pb
from google.protobuf import field_mask_pb2

from meshkit import paging
from meshkit.errors import Denied, Exhausted, Invalid, NotFound, Unauthenticated
from meshkit.net.whence import ADDRESS_HEADER, EDGE_HEADER
from services.auth import throttle
from services.auth.throttle import Throttle
from tests.auth.helpers import AuthMesh, Metadata, auth_mesh, bearer, claims, refused


@pytest_asyncio.fixture
async def mesh(tmp_path: pathlib.Path) -> AsyncIterator[AuthMesh]:
    """The auth service, as in production but for the store: `tests/auth/stores` holds all to the same."""
    # Waits do not end in the middle of a test on a busy machine: `test_throttle.py` tests their length.
    async with auth_mesh(tmp_path, throttle=Throttle(lambda: 0.0)) as running:
        yield running


async def keys(mesh: AuthMesh) -> str:
    """Return the public key set."""
    return str((await mesh.auth.GetJwks(pb.GetJwksRequest(), timeout=30)).jwks_json)


async def test_the_default_account_signs_in(mesh: AuthMesh) -> None:
    """admin / admin, on a mesh that only this machine reaches; its token verifies with the public keys."""
    before = time.time()
    tokens = await mesh.sign_in()
    found = claims(tokens.access_token, await keys(mesh))

    assert (tokens.user.login, tokens.user.email, tokens.user.operator) == ("admin", "admin@example.com", True)
    assert f"users/{found['sub']}" == tokens.user.name
    assert (found["login"], found["operator"], found["tier"]) == ("admin", True, "enterprise")
    assert before <= found["iat"] <= time.time()
    assert isinstance(found["exp"], int)
    assert 899 < found["exp"] - found["iat"] <= 901
    assert found["exp"] == tokens.expire_time.seconds
    assert tokens.user.password == ""


async def test_a_caller_says_how_long_the_token_lives(mesh: AuthMesh) -> None:
    """Up to a day; a refresh gives the same again."""
    tokens = await mesh.sign_in(ttl_s=86_400)
    fresh = await mesh.auth.RefreshTokens(pb.RefreshTokensRequest(refresh_token=tokens.refresh_token), timeout=30)
    found = claims(fresh.access_token, await keys(mesh))

    assert 86_399 < found["exp"] - found["iat"] <= 86_401
    for ttl_s in (-1, 86_401):
        error = await refused(Invalid, mesh.sign_in(ttl_s=ttl_s))
        assert isinstance(error, Invalid)
        assert "access_ttl_s" in error.fields


@pytest.mark.parametrize(
    ("login", "password"),
    [("admin", "wrong"), ("nobody", "admin"), ("Admin", "admin"), ("x" * 5000, "y"), ("a\0", "b")],
)
async def test_wrong_names_and_passwords_get_the_same_answer(mesh: AuthMesh, login: str, password: str) -> None:
    """Nobody learns which of the two was wrong."""
    error = await refused(Unauthenticated, mesh.sign_in(login, password))

    assert str(error) == "Invalid name or password"


@pytest.mark.parametrize(
    ("login", "password", "fields"),
    [("", "", {"login", "password"}), ("admin", "", {"password"}), ("admin", "ü" * 600, {"password"})],
)
async def test_a_sign_in_that_cannot_be_meant(mesh: AuthMesh, login: str, password: str, fields: set[str]) -> None:
    """The missing or oversized field is named."""
    error = await refused(Invalid, mesh.sign_in(login, password))

    assert isinstance(error, Invalid)
    assert fields == set(error.fields)


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


async def test_sign_ins_are_audited_without_secrets(mesh: AuthMesh) -> None:
    """A line each, with who and what came of it; no password, no token, no name that is not ours."""
    with structlog.testing.capture_logs() as lines:
        tokens = await mesh.sign_in()
        await refused(Unauthenticated, mesh.sign_in("admin", "wr0ng"))
        await refused(Unauthenticated, mesh.sign_in("s3cret-in-the-wrong-field", "x"))

    attempts = [(line["outcome"], line["user"]) for line in lines if line["event"] == "sign-in"]
    assert attempts == [("ok", tokens.user.name), ("wrong password", tokens.user.name), ("unknown user", "")]
    text = repr(lines)
    assert "wr0ng" not in text
    assert "s3cret" not in text
    assert tokens.access_token not in text


async def test_a_refresh_token_used_twice_ends_the_session(mesh: AuthMesh) -> None:
    """Whoever came second, nothing of the session works from then on."""
    first = await mesh.sign_in()
    other = await mesh.sign_in()
    request = pb.RefreshTokensRequest(refresh_token=first.refresh_token)
    second = await mesh.auth.RefreshTokens(request, timeout=30)
    assert (await mesh.me(bearer(second))).login == "admin"
    await refused(Unauthenticated, mesh.auth.RefreshTokens(request, timeout=30))

    again = pb.RefreshTokensRequest(refresh_token=second.refresh_token)
    await refused(Unauthenticated, mesh.auth.RefreshTokens(again, timeout=30))
    for tokens in (first, second):
        await refused(Unauthenticated, mesh.me(bearer(tokens)))
    await mesh.me(bearer(other))


@pytest.mark.parametrize("token", ["x", "x.y", ".", "." * 3000, "ü.ß"])
async def test_a_refresh_token_that_is_not_ours(mesh: AuthMesh, token: str) -> None:
    """It is refused, whatever it looks like."""
    await refused(Unauthenticated, mesh.auth.RefreshTokens(pb.RefreshTokensRequest(refresh_token=token), timeout=30))


async def test_who_knows_the_name_of_a_session_does_not_end_it(mesh: AuthMesh) -> None:
    """Lists and logs have it: a made-up token is no second use, of a session that is not refreshed neither."""
    mine = await mesh.sign_in()
    asked = pb.LoginRequest(login="admin", password="admin", no_refresh=True)
    browser = await mesh.auth.Login(asked, timeout=30)
    listed = await mesh.auth.ListSessions(pb.ListSessionsRequest(), metadata=bearer(mine), timeout=30)
    names = [each.name.removeprefix("sessions/") for each in listed.sessions]
    mark = mine.refresh_token.rpartition(".")[2]
    for name in names:
        for token in (name, f"{name}.", f"{name}.made-up", f"{name}.made-up.{mark}"):
            request = pb.RefreshTokensRequest(refresh_token=token)
            await refused(Unauthenticated, mesh.auth.RefreshTokens(request, timeout=30))

    assert 2 == len(names)
    await mesh.me(bearer(browser))
    await mesh.auth.RefreshTokens(pb.RefreshTokensRequest(refresh_token=mine.refresh_token), timeout=30)


async def test_signing_out_ends_the_session(mesh: AuthMesh) -> None:
    """The access token and the refresh token fail; another session of the user goes on."""
    tokens, other = await mesh.sign_in(), await mesh.sign_in()
    await mesh.auth.Logout(pb.LogoutRequest(), metadata=bearer(tokens), timeout=30)

    await refused(Unauthenticated, mesh.me(bearer(tokens)))
    request = pb.RefreshTokensRequest(refresh_token=tokens.refresh_token)
    await refused(Unauthenticated, mesh.auth.RefreshTokens(request, timeout=30))
    await mesh.me(bearer(other))


async def test_people_see_and_end_what_they_are_signed_in_with(mesh: AuthMesh) -> None:
    """With what and from where, and which of them is asking; one is ended, then all others, and keys stay."""
    await mesh.add_user("ada")
    mine, lost, other = [await mesh.sign_in("ada", "a good one") for _ in range(3)]
    asked = pb.LoginRequest(
        login="ada", password="a good one", access_ttl_s=60, no_refresh=True, client="\x1b[2J\0\u202e" + "Lynx" * 99
    )
    by_service = (*mesh.badge, (ADDRESS_HEADER, "192.0.2.7"))
    phone = await mesh.auth.Login(asked, metadata=by_service, timeout=30)
    made = pb.CreateApiKeyRequest(display_name="laptop")
    key = await mesh.auth.CreateApiKey(made, metadata=bearer(mine), timeout=30)
    first = await mesh.auth.ListSessions(pb.ListSessionsRequest(page_size=1), metadata=bearer(mine), timeout=30)
    rest = await mesh.auth.ListSessions(
        pb.ListSessionsRequest(page_token=first.next_page_token), metadata=bearer(mine), timeout=30
    )
    (newest,), listed = first.sessions, rest.sessions

    assert "" == phone.refresh_token
    assert ("[2J" + ("Lynx" * 99)[:294], "192.0.2.7") == (newest.client, newest.address)
    assert newest.expire_time == phone.expire_time
    assert [False, False, True] == [each.current for each in listed]
    assert all(each.client.startswith("grpc-python") and not each.address for each in listed)

    await mesh.auth.DeleteSession(pb.DeleteSessionRequest(name=listed[1].name), metadata=bearer(mine), timeout=30)
    await refused(Unauthenticated, mesh.me(bearer(lost)))
    await mesh.me(bearer(other))
    ended = await mesh.auth.EndSessions(pb.EndSessionsRequest(), metadata=bearer(mine), timeout=30)

    assert 2 == ended.ended
    for gone in (other, phone):
        await refused(Unauthenticated, mesh.me(bearer(gone)))
    await mesh.me(bearer(mine))
    await mesh.me(bearer(key.token))


async def test_sessions_of_others_are_for_operators(mesh: AuthMesh) -> None:
    """They count and end them; anybody else does not learn that there are any."""
    ada = await mesh.add_user("ada")
    await mesh.add_user("ben")
    hers, his = await mesh.sign_in("ada", "a good one"), await mesh.sign_in("ben", "a good one")
    admin = bearer(await mesh.sign_in())
    (one,) = (await mesh.auth.ListSessions(pb.ListSessionsRequest(user=ada.name), metadata=admin, timeout=30)).sessions
    for request, call in (
        (pb.ListSessionsRequest(user=ada.name), mesh.auth.ListSessions),
        (pb.EndSessionsRequest(user=ada.name), mesh.auth.EndSessions),
        (pb.DeleteSessionRequest(name=one.name), mesh.auth.DeleteSession),
    ):
        await refused(NotFound, call(request, metadata=bearer(his), timeout=30))
    users = (await mesh.users.ListUsers(pb.ListUsersRequest(), metadata=admin, timeout=30)).users

    assert {"ada": 1, "ben": 1} == {user.login: user.session_count for user in users if user.login != "admin"}
    await mesh.me(bearer(hers))
    ended = await mesh.auth.EndSessions(pb.EndSessionsRequest(user=ada.name), metadata=admin, timeout=30)

    assert 1 == ended.ended
    await refused(Unauthenticated, mesh.me(bearer(hers)))
    (one,) = (await mesh.auth.ListSessions(pb.ListSessionsRequest(), metadata=bearer(his), timeout=30)).sessions
    with structlog.testing.capture_logs() as lines:
        await mesh.auth.DeleteSession(pb.DeleteSessionRequest(name=one.name), metadata=admin, timeout=30)
        await mesh.auth.EndSessions(pb.EndSessionsRequest(user=ada.name), metadata=admin, timeout=30)
    await refused(Unauthenticated, mesh.me(bearer(his)))
    operator = (await mesh.me(admin)).name

    assert [("session ended", one.user, operator), ("sessions ended", ada.name, operator)] == [
        (line["event"], line["user"], line["by"]) for line in lines if line["event"].endswith(" ended")
    ]


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
