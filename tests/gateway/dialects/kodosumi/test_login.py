"""Sign-in, sign-out and roles through the real edge (seed: panel API, "Authentication")."""

import json
from typing import Any

import httpx
import pytest

from meshkit.net.whence import ADDRESS_HEADER, EDGE_HEADER
from tests.gateway.stack import DEADLINE_S, Edge

pytestmark = pytest.mark.asyncio(loop_scope="module")
ADMIN = {"name": "admin", "password": "admin"}


@pytest.mark.parametrize("way", ["form", "multipart", "query", "json"])
async def test_every_way_in_answers_alike(edge: Edge, way: str) -> None:
    """Name, id and token come as JSON, and the token as a cookie that scripts cannot read."""
    if way == "form":
        response = await edge.http.post("/login", data=ADMIN)
    elif way == "multipart":
        response = await edge.http.post("/login", files={name: (None, text) for name, text in ADMIN.items()})
    elif way == "query":
        response = await edge.http.get("/login", params=ADMIN)
    else:
        response = await edge.http.post("/api/login/", json=ADMIN)
    edge.http.cookies.clear()
    body = response.json()

    assert response.status_code == 200
    assert set(body) == {"name", "id", "KODOSUMI_API_KEY"}
    assert body["name"] == "admin"
    cookie = f"kodosumi_jwt={body['KODOSUMI_API_KEY']}; Path=/; SameSite=lax; HttpOnly"
    assert response.headers["set-cookie"] == cookie


@pytest.mark.parametrize("how", ["KODOSUMI_API_KEY", "kodosumi_api_key", "bearer", "cookie"])
async def test_the_token_works_wherever_it_is_sent(edge: Edge, how: str) -> None:
    """As a header in any case, as a bearer token, or as the cookie."""
    token = edge.operator["KODOSUMI_API_KEY"]
    headers = {
        "bearer": {"authorization": f"Bearer {token}"},
        "cookie": {"cookie": f"other=1; kodosumi_jwt={token}"},
    }.get(how, {how: token})
    response = await edge.http.get("/role/profile", headers=headers)

    assert response.status_code == 200
    assert response.json()["name"] == "admin"


async def test_a_wrong_password_is_refused_in_the_panels_words(edge: Edge) -> None:
    """The envelope has four keys, and no stack trace."""
    response = await edge.http.post("/login", data={"name": "admin", "password": "guess"})

    assert response.status_code == 401
    assert response.json() == {
        "error": "NotAuthorizedException",
        "path": "/login",
        "detail": "Invalid name or password",
        "status_code": 401,
    }


@pytest.mark.parametrize(
    ("content_type", "content", "key"),
    [
        ("application/json", b'{"name": "admin"}', "password"),
        ("application/json", b'{"name": "admin", "password": 7}', "password"),
        ("application/json", b'{"name": ["admin"], "password": "x"}', "name"),
        ("application/json", b"[]", "body"),
        ("application/json", b"{bad", "body"),
        ("application/json", b"", "body"),
        ("application/json", b"\xff\xfe\x00", "body"),
        ("application/json", b"[" * 100_000, "body"),
        ("text/plain", b'{"name": "admin", "password": "admin"}', "content-type"),
        ("application/json", json.dumps({**ADMIN, "redirect": "https://evil.example"}).encode(), "redirect"),
    ],
)
async def test_a_bad_body_names_the_field(edge: Edge, content_type: str, content: bytes, key: str) -> None:
    """400 in the dialect's words, with the field that is wrong."""
    response = await edge.http.post("/api/login", content=content, headers={"content-type": content_type})
    body = response.json()

    assert response.status_code == 400
    assert body["error"] == "ValidationException"
    assert body["detail"].startswith("Validation failed for POST /api/login: [{'message': ")
    assert f"'key': '{key}'" in body["detail"]


async def test_a_missing_field_of_a_query_does_not_repeat_the_password(edge: Edge) -> None:
    """What is logged or shown to others must not hold it."""
    response = await edge.http.get("/login", params={"password": "hunter2"})

    assert response.status_code == 400
    assert "hunter2" not in response.text


@pytest.mark.parametrize("target", ["//evil.example", "/\\evil.example", "https://evil.example", "flow", "/a b"])
async def test_a_redirect_stays_on_this_server(edge: Edge, target: str) -> None:
    """Anything else is refused before the sign-in."""
    response = await edge.http.post("/login", data={**ADMIN, "redirect": target})

    assert response.status_code == 400
    assert "set-cookie" not in response.headers


async def test_a_redirect_carries_the_cookie(edge: Edge) -> None:
    """302 with the cookie and an empty body."""
    response = await edge.http.post("/login", data={**ADMIN, "redirect": "/flow?pp=3"})
    edge.http.cookies.clear()

    assert response.status_code == 302
    assert response.headers["location"] == "/flow?pp=3"
    assert response.headers["set-cookie"].startswith("kodosumi_jwt=ey")
    assert response.content == b""


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_logout_ends_the_token(edge: Edge, method: str) -> None:
    """The cookie is deleted, the body is empty, and the token fails from then on."""
    headers = await edge.sign_in("admin", "admin")
    response = await edge.http.request(method, "/logout", headers=headers)
    after = await edge.http.get("/role/profile", headers=headers)

    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["set-cookie"].startswith("kodosumi_jwt=; Path=/; Max-Age=0;")
    assert (after.status_code, after.json()["detail"]) == (401, "Invalid token")


async def test_logout_may_lead_on(edge: Edge) -> None:
    """By query or form, to a path on this server only."""
    headers = await edge.sign_in("admin", "admin")
    away = await edge.http.post("/logout", headers=headers, data={"redirect": "//evil.example"})
    by_form = await edge.http.post("/logout", headers=headers, data={"redirect": "/"})
    headers = await edge.sign_in("admin", "admin")
    by_query = await edge.http.get("/logout", headers=headers, params={"redirect": "/flow"})

    assert away.status_code == 400
    assert (by_form.status_code, by_form.headers["location"], by_form.content) == (302, "/", b"")
    assert (by_query.status_code, by_query.headers["location"], by_query.content) == (302, "/flow", b"")


async def test_a_browser_without_token_is_sent_to_sign_in(edge: Edge) -> None:
    """Who prefers HTML gets 302 to the start page, and loses a stale cookie; others get 401."""
    browser = await edge.http.get("/flow", headers={"accept": "text/html,*/*;q=0.5"})
    program = await edge.http.get("/flow")

    assert (browser.status_code, browser.headers["location"]) == (302, "/")
    assert "Max-Age=0" in browser.headers["set-cookie"]
    assert (program.status_code, program.json()["detail"]) == (401, "Unauthorized")


async def _role(edge: Edge, name: str, **more: Any) -> httpx.Response:
    body = {"name": name, "email": f"{name}@example.com", "password": "secret-secret", **more}
    return await edge.http.post("/role/", json=body, headers=edge.operator)


async def test_a_role_can_be_added_read_changed_and_deleted(edge: Edge) -> None:
    """By name or id; the list is sorted by name."""
    created = await _role(edge, "zoe")
    role = created.json()
    by_name = await edge.http.get("/role/zoe", headers=edge.operator)
    by_id = await edge.http.get(f"/role/{role['id']}", headers=edge.operator)
    changed = await edge.http.put(f"/role/{role['id']}", json={"active": False}, headers=edge.operator)
    listed = await edge.http.get("/role", headers=edge.operator)
    refused = await edge.http.post("/api/login", json={"name": "zoe", "password": "secret-secret"})
    deleted = await edge.http.delete(f"/role/{role['id']}", headers=edge.operator)
    again = await edge.http.delete(f"/role/{role['id']}", headers=edge.operator)

    assert created.status_code == 201
    assert set(role) == {"id", "name", "email", "active"}
    assert by_name.json() == by_id.json() == role
    assert changed.json() == {**role, "active": False}
    names = [item["name"] for item in listed.json()]
    assert names == sorted(names)
    assert {"admin", "zoe"} <= set(names)
    assert refused.status_code == 401
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert again.status_code == 404


async def test_a_role_that_is_taken_is_a_conflict(edge: Edge) -> None:
    """409, and the detail begins with the code."""
    await _role(edge, "twin")
    response = await _role(edge, "twin")

    assert response.status_code == 409
    assert response.json()["error"] == "HTTPException"
    assert response.json()["detail"].startswith("409: ")


async def test_an_unusable_role_names_the_field(edge: Edge) -> None:
    """The registry's field names do not show."""
    response = await _role(edge, "mailless", email="nowhere")
    empty = await edge.http.post("/role", json={}, headers=edge.operator)

    assert response.status_code == 400
    assert "'key': 'email'" in response.json()["detail"]
    assert all(f"'key': '{key}'" in empty.json()["detail"] for key in ("name", "email", "password"))


async def test_each_field_of_a_role_counts_or_is_refused(edge: Edge) -> None:
    """By its name; an inactive role cannot sign in."""
    idle = await _role(edge, "idle", active=False)
    unknown = await _role(edge, "tiered", tier="pro")
    changed = await edge.http.put(f"/role/{idle.json()['id']}", json={"tier": "pro"}, headers=edge.operator)
    signing_in = await edge.http.post("/api/login", json={"name": "idle", "password": "secret-secret"})

    assert (idle.status_code, idle.json()["active"], signing_in.status_code) == (201, False, 401)
    for answer in (unknown, changed):
        assert 400 == answer.status_code
        assert "'key': 'tier'" in answer.json()["detail"]


async def test_people_change_their_password(edge: Edge) -> None:
    """Who knows the old one; other sign-ins end, and the answer is one."""
    before = await edge.new_user("changing")
    sent = {"password": "secret-secret", "new_password": "something else"}
    wrong = await edge.http.post("/role/profile/password", json={**sent, "password": "x"}, headers=before)
    easy = await edge.http.post("/role/profile/password", json={**sent, "new_password": "changing"}, headers=before)
    changed = await edge.http.post("/role/profile/password", json=sent, headers=before)
    edge.http.cookies.clear()
    gone = await edge.http.get("/role/profile", headers=before)
    now = {"KODOSUMI_API_KEY": changed.json()["KODOSUMI_API_KEY"]}

    assert (400, 400) == (wrong.status_code, easy.status_code)
    assert "'key': 'password'" in wrong.json()["detail"]
    assert "'key': 'new_password'" in easy.json()["detail"]
    assert changed.headers["set-cookie"].startswith("kodosumi_jwt=")
    assert 401 == gone.status_code
    assert "changing" == (await edge.http.get("/role/profile", headers=now)).json()["name"]
    await edge.sign_in("changing", "something else")


async def test_who_guesses_through_the_edge_is_known_by_their_address(edge: Edge) -> None:
    """As Envoy sees it: what a client says of itself is another's only if Envoy was told to believe a proxy."""
    for number in range(40):  # each failure makes the wait longer: sooner or later it is longer than an attempt takes
        forged = {"x-forwarded-for": f"203.0.113.{number}", EDGE_HEADER: "x", ADDRESS_HEADER: f"203.0.113.{number}"}
        panel = await edge.http.post("/api/login", json={"name": "guessed", "password": "x"}, headers=forged)
        typed = await edge.http.post("/mesh/v1/auth:login", json={"login": "guessed", "password": "x"}, headers=forged)
        if panel.status_code == typed.status_code == 429:
            break
    elsewhere = httpx.AsyncHTTPTransport(local_address="127.0.0.2")
    async with httpx.AsyncClient(base_url=edge.http.base_url, transport=elsewhere, timeout=DEADLINE_S) as other:
        theirs = await other.post("/api/login", json={"name": "guessed", "password": "x"})
        direct = await other.post("/mesh/v1/auth:login", json={"login": "guessed", "password": "x"})

    assert (429, 429) == (panel.status_code, typed.status_code)
    assert (401, 401) == (theirs.status_code, direct.status_code)


async def test_users_may_not_do_what_operators_may(edge: Edge) -> None:
    """401, as the panel answers, except for their own profile."""
    user = await edge.new_user("ordinary")
    refused = await edge.http.get("/role", headers=user)
    profile = await edge.http.get("/role/profile", headers=user)

    assert (refused.status_code, refused.json()["detail"]) == (401, "User not authorized")
    assert (profile.status_code, profile.json()["name"]) == (200, "ordinary")
