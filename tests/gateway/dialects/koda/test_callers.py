"""Who may call Koda's runtime API, and what everybody else is told."""

import base64
import hmac
import json
import time
from typing import Any

import httpx
import pytest

from tests.gateway.dialects.koda.people import API_TOKENS, RUNTIME_TOKEN, SUBMITTED, Koda
from tests.gateway.stack import Edge

pytestmark = pytest.mark.asyncio(loop_scope="module")
STATUS = "/api/control-plane/auth/status"


async def test_signing_in_sets_the_cookie(edge: Edge) -> None:
    """Which no script reads and no other site sends; the session's token is in the body, too."""
    await edge.new_user("eve")
    sent = {"identifier": "eve", "password": "secret-secret"}
    answer = await edge.http.post("/api/control-plane/auth/login", json=sent)
    edge.http.cookies.clear()

    body = answer.json()
    cookie = answer.headers["set-cookie"]
    assert ["ok", "operator", "session_token", "auth"] == list(body)
    assert (True, "eve", "user") == (body["ok"], body["operator"]["username"], body["operator"]["role"])
    assert cookie.startswith(f"koda_operator_session={body['session_token']}; ")
    assert {"HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=28800"} <= set(cookie.split("; "))


@pytest.mark.parametrize("sent", [{"identifier": "nobody", "password": "x"}, {"identifier": "admin", "password": "x"}])
async def test_a_wrong_name_is_a_wrong_password(edge: Edge, sent: dict[str, str]) -> None:
    """In the same words."""
    error = await Koda(edge).refused("POST", "/api/control-plane/auth/login", 401, json=sent)

    assert ("auth.invalid_credentials", "permission") == (error["code"], error["category"])
    assert "identifier or password is not right" == error["message"]


async def test_signing_out_ends_the_session(edge: Edge) -> None:
    """The token fails from then on, and the cookie is deleted."""
    await edge.new_user("uma")
    sent = {"identifier": "uma", "password": "secret-secret"}
    answer = await edge.http.post("/api/control-plane/auth/login", json=sent)
    edge.http.cookies.clear()
    uma = Koda(edge, Cookie=f"koda_operator_session={answer.json()['session_token']}")
    assert "uma" == (await uma.ok("GET", STATUS))["operator"]["username"]
    out = await uma.call("POST", "/api/control-plane/auth/logout")

    assert "Max-Age=0" in out.headers["set-cookie"]
    await uma.refused("GET", STATUS, 401)


@pytest.mark.parametrize(
    "headers",
    [{"X-Runtime-Token": RUNTIME_TOKEN}, *({"Authorization": f"Bearer {token}"} for token in API_TOKENS)],
    ids=["runtime", "first", "second"],
)
async def test_a_secret_of_the_operator_is_the_operator(edge: Edge, headers: dict[str, str]) -> None:
    """Each in its own place; signing out ends nothing."""
    caller = Koda(edge, **headers)
    before = await caller.ok("GET", STATUS)
    await caller.ok("POST", "/api/control-plane/auth/logout")

    assert ("admin", "operator") == (before["operator"]["username"], before["operator"]["role"])
    assert before == await caller.ok("GET", STATUS)


def envelope(secret: str = RUNTIME_TOKEN, **given: Any) -> dict[str, str]:
    """Return the header with an envelope that is signed with a secret."""
    said = {"agent_scope": None, "capabilities": ["read", "mutate"], "expires_at": time.time() + 900, **given}
    payload = base64.urlsafe_b64encode(json.dumps(said).encode()).rstrip(b"=")
    signature = base64.urlsafe_b64encode(hmac.digest(secret.encode(), payload, "sha256")).rstrip(b"=")
    return {"X-Runtime-Token": f"{payload.decode()}.{signature.decode()}"}


async def test_an_envelope_is_the_operator_for_what_it_allows(edge: Edge) -> None:
    """For a while, and for reading only unless it says more; one for some agents only is not taken."""
    await Koda(edge, **envelope()).ok("POST", "/api/control-plane/auth/logout")
    reader = Koda(edge, **envelope(capabilities=["read"]))
    assert "admin" == (await reader.ok("GET", STATUS))["operator"]["username"]
    for caller, method, path in (
        (reader, "POST", "/api/runtime/tasks"),
        (Koda(edge, **envelope(capabilities=["mutate"])), "GET", STATUS),
        (Koda(edge, **envelope(capabilities="read")), "GET", STATUS),
        (Koda(edge, **envelope(agent_scope="atlas")), "GET", STATUS),
    ):
        more = {"json": SUBMITTED} if method == "POST" else {}
        assert "auth.forbidden" == (await caller.refused(method, path, 403, **more))["code"]
    for headers in (
        envelope(expires_at=time.time() - 1),
        envelope(expires_at="tomorrow"),
        envelope(expires_at=None),
        envelope("another secret"),
        {"X-Runtime-Token": envelope()["X-Runtime-Token"] + "A"},
        {"X-Runtime-Token": "e30."},
        {"X-Runtime-Token": "."},
    ):
        await Koda(edge, **headers).refused("GET", STATUS, 401)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Runtime-Token": API_TOKENS[0]},
        {"Authorization": f"Bearer {RUNTIME_TOKEN}"},
        {"X-Runtime-Token": "nonsense"},
        {"Authorization": "Bearer first-secret, second-secret"},
        {"Cookie": f"koda_operator_session={RUNTIME_TOKEN}"},
        {"Cookie": "kodosumi_jwt=nonsense"},
    ],
    ids=repr,
)
async def test_who_shows_nothing_that_holds_is_401(edge: Edge, headers: dict[str, str]) -> None:
    """On every route but the probes."""
    caller = Koda(edge, **headers)
    task = f"/api/runtime/tasks/tsk_{'0' * 24}"
    for method, path in [
        ("GET", "/api/runtime/agents"),
        ("GET", "/api/runtime/agents/atlas"),
        ("POST", "/api/runtime/tasks"),
        ("GET", "/api/runtime/tasks"),
        ("GET", task),
        ("GET", f"{task}/trace"),
        ("POST", f"{task}/cancel"),
        ("POST", f"{task}/retry"),
        ("POST", f"{task}/pause"),
        ("POST", f"{task}/resume"),
    ]:
        error = await caller.refused(method, path, 401, json=SUBMITTED if method == "POST" else None)
        assert ("auth.required", "permission", False) == (error["code"], error["category"], error["retryable"])
    assert "alive" == (await caller.ok("GET", "/api/runtime/live"))["status"]


async def test_a_cookie_counts_on_our_pages_only(edge: Edge, ada: Koda) -> None:
    """A page of another site cannot submit tasks with it; a token that is sent on purpose can."""
    token = ada.headers["Authorization"].removeprefix("Bearer ")
    with_cookie = Koda(edge, Cookie=f"koda_operator_session={token}")
    foreign = {"Origin": "https://evil.example"}
    error = await with_cookie.refused("POST", "/api/runtime/tasks", 403, json=SUBMITTED, headers=foreign)
    ours = {"Origin": f"http://{edge.address}"}
    await with_cookie.ok("POST", "/api/runtime/tasks", 202, json=SUBMITTED, headers=ours)
    await ada.ok("POST", "/api/runtime/tasks", 202, json=SUBMITTED, headers=foreign)

    assert ("auth.forbidden", "permission") == (error["code"], error["category"])


OF_A_TASK = [("GET", "trace"), ("POST", "cancel"), ("POST", "pause"), ("POST", "resume")]


async def test_what_is_somebody_elses_is_not_there(ada: Koda, bob: Koda) -> None:
    """On every route with an id, as for an id that is nobody's."""
    task = await ada.submit()
    path = f"/api/runtime/tasks/{task['id']}"
    uuid = (await ada.ok("GET", "/mesh/v1/agents/atlas"))["name"].removeprefix("agents/")

    for method, where in [("GET", path), *((m, f"{path}/{w}") for m, w in OF_A_TASK)]:
        assert "task.not_found" == (await bob.refused(method, where, 404))["code"]
    for agent_id in ("atlas", uuid):
        assert "agent.not_found" == (await bob.refused("GET", f"/api/runtime/agents/{agent_id}", 404))["code"]
        sent = {**SUBMITTED, "agent_id": agent_id}
        assert "agent.not_found" == (await bob.refused("POST", "/api/runtime/tasks", 404, json=sent))["code"]
        await bob.refused("GET", f"/api/runtime/tasks?agent_id={agent_id}", 404)
    assert [] == (await bob.ok("GET", "/api/runtime/tasks"))["items"]
    assert {"items": [], "total": 0} == await bob.ok("GET", "/api/runtime/agents")
    assert "completed" == (await ada.ended(task["id"]))["status"]


async def test_a_password_is_not_told_to_anybody(edge: Edge) -> None:
    """Not even in the refusal of a body that has one."""
    sent = {"identifier": ["x"], "password": "canary-password"}
    answer: httpx.Response = await edge.http.post("/api/control-plane/auth/login", json=sent)

    assert 400 == answer.status_code
    assert "canary" not in answer.text
    assert ["identifier"] == list(answer.json()["error"]["fields"])
