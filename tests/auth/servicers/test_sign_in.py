"""Signing in and out, over the wire."""

import time

import pytest
import structlog
from agentmesh_protos.auth.v1 import auth_pb2 as pb

from meshkit.errors import Invalid, NotFound, Unauthenticated
from meshkit.net.whence import ADDRESS_HEADER
from tests.auth.helpers import AuthMesh, bearer, claims, refused


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
    ("login", "password", "fields"),
    [("", "", {"login", "password"}), ("admin", "", {"password"}), ("admin", "ü" * 600, {"password"})],
)
async def test_a_sign_in_that_cannot_be_meant(mesh: AuthMesh, login: str, password: str, fields: set[str]) -> None:
    """The missing or oversized field is named."""
    error = await refused(Invalid, mesh.sign_in(login, password))

    assert isinstance(error, Invalid)
    assert fields == set(error.fields)


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
