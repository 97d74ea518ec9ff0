"""Signing in to Kasal's API and out of it, and what nobody is told."""

import pytest

from tests.gateway.dialects.kasal.errors import error_of
from tests.gateway.dialects.kasal.kasal import BASES, PASSWORD, Kasal, new_user
from tests.gateway.stack import Edge

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("token", ["", "Bearer nonsense", "Basic YTpi"])
async def test_who_is_nobody_is_told(edge: Edge, base: str, token: str) -> None:
    """Without a token, or with one that does not hold."""
    headers = {"authorization": token} if token else {}

    assert (401, "UNAUTHORIZED") == error_of(await edge.http.get(f"{base}/crews", headers=headers))[:2]


async def test_a_wrong_password_is_unauthorized(edge: Edge) -> None:
    """As an address that nobody has."""
    answer = await edge.http.post("/v1/auth/login", json={"email": "nobody@example.com", "password": "x"})

    assert (401, "UNAUTHORIZED") == error_of(answer)[:2]


async def test_a_refresh_token_works_once(edge: Edge) -> None:
    """Who uses it again ends the whole sign-in."""
    sent = {"email": await new_user(edge), "password": PASSWORD}
    first = (await edge.http.post("/v1/auth/login", json=sent)).json()
    again = await edge.http.post("/v1/auth/refresh", json={"refresh_token": first["refresh_token"]})
    assert 200 == again.status_code
    assert again.json()["refresh_token"] != first["refresh_token"]

    reused = await edge.http.post("/api/v1/auth/refresh", json={"refresh_token": first["refresh_token"]})

    assert (401, "UNAUTHORIZED") == error_of(reused)[:2]
    ended = await edge.http.post("/v1/auth/refresh", json={"refresh_token": again.json()["refresh_token"]})
    assert 401 == ended.status_code
    await Kasal(edge, "/v1", again.json()["access_token"]).until_unauthorized()


@pytest.mark.parametrize("base", BASES)
async def test_a_browser_refreshes_by_its_cookie(edge: Edge, base: str) -> None:
    """No script reads it and no page of elsewhere can use it; the token in it works once, as any."""
    sent = {"email": await new_user(edge), "password": PASSWORD}
    login = await edge.http.post(f"{base}/auth/login", json=sent)
    edge.http.cookies.clear()
    name, _, flags = login.headers["set-cookie"].partition("; ")
    assert f"kasal_refresh_token={login.json()['refresh_token']}" == name
    assert {f"Path={base}/auth", "SameSite=Strict", "HttpOnly"} <= set(flags.split("; "))

    for foreign in ({"origin": "https://evil.example"}, {"sec-fetch-site": "same-site"}):
        refused = await edge.http.post(f"{base}/auth/refresh", headers={"cookie": name, **foreign})
        assert refused.status_code in (400, 403), refused.text
    answer = await edge.http.post(f"{base}/auth/refresh", headers={"cookie": name})
    edge.http.cookies.clear()
    assert 200 == answer.status_code, answer.text
    assert answer.json()["refresh_token"] in answer.headers["set-cookie"]
    out = await edge.http.post(
        f"{base}/auth/logout", headers={"authorization": f"Bearer {answer.json()['access_token']}"}
    )
    assert "Max-Age=0" in out.headers["set-cookie"]
    assert 401 == (await edge.http.post(f"{base}/auth/refresh", headers={"cookie": name})).status_code
    edge.http.cookies.clear()
    missing = await edge.http.post(f"{base}/auth/refresh", json={})
    assert (400, "VALIDATION_ERROR", "refresh_token") == error_of(missing)


async def test_signing_out_everywhere_ends_every_session(edge: Edge) -> None:
    """With `all`; without it, the others stay."""
    sent = {"email": await new_user(edge), "password": PASSWORD}
    users = []
    for _ in range(3):
        users.append(Kasal(edge, "/v1", (await edge.http.post("/v1/auth/login", json=sent)).json()["access_token"]))
        edge.http.cookies.clear()
    first, second, third = users

    assert (400, "VALIDATION_ERROR", "all") == error_of(await first.call("POST", "/auth/logout?all=maybe"))
    assert 204 == (await first.call("POST", "/auth/logout")).status_code
    await first.until_unauthorized()
    assert 200 == (await second.call("GET", "/tools")).status_code
    assert 204 == (await second.call("POST", "/auth/logout?all=true")).status_code
    for user in (second, third):
        await user.until_unauthorized()
