"""Nobody sees or does what is not theirs, whatever they send along."""

import json
import time

import grpc
import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from agentmesh.testing import Mesh
from tests.mesh_wide import grpcapi
from tests.mesh_wide.panel import Panel, assert_envelope, until_healthy

APPS = {"formats": "tests.apps.formats:app", "handlers": "tests.apps.handlers:app"}
NO_JOB = "0123456789abcdef01234567"


@pytest.fixture(scope="module", autouse=True)
def _deployed(admin: Panel) -> None:
    admin.deploy(APPS)


JOB_ROUTES = [
    ("GET", "/outputs/status/{}"),
    ("GET", "/outputs/status/{}?extended=true"),
    ("GET", "/outputs/stream/{}"),
    ("GET", "/outputs/main/{}"),
    ("GET", "/outputs/stdio/{}"),
    ("GET", "/outputs/raw/{}"),
    ("GET", "/outputs/html/{}"),
    ("GET", "/sumi/status/{}"),
    ("DELETE", "/outputs/{}"),
]


@pytest.mark.parametrize(("method", "route"), JOB_ROUTES)
def test_a_job_of_somebody_else(stranger: Panel, private_job: str, method: str, route: str) -> None:
    """Another user's job does not exist: 404, with nothing of it in the answer."""
    answer = stranger.http.request(method, route.format(private_job))
    body = assert_envelope(answer, 404)
    unknown = stranger.http.request(method, route.format(NO_JOB)).json()
    assert body["detail"] == unknown["detail"].replace(NO_JOB, private_job), "the answer tells that the job exists"


@pytest.mark.parametrize("method", ["get", "watch", "events", "cancel", "delete"])
def test_a_job_of_somebody_else_over_grpc(mesh: Mesh, stranger: Panel, private_job: str, method: str) -> None:
    """The typed API says the same: NOT_FOUND."""
    with grpcapi.Jobs(mesh.url, stranger.token) as jobs, pytest.raises(grpc.RpcError) as caught:
        getattr(jobs, method)(private_job)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_a_strangers_list_is_empty(stranger: Panel, private_job: str) -> None:
    """The timeline shows own jobs only, whatever is searched for."""
    for query in ("", private_job, "Text"):
        items = stranger.http.get("/timeline/list", params={"q": query, "pp": 100}).json()["items"]
        assert private_job not in [item["fid"] for item in items]


def test_deleting_many_stops_at_a_strangers_job(stranger: Panel, admin: Panel, private_job: str) -> None:
    """DELETE /outputs with somebody else's id is 404 and deletes nothing of theirs."""
    answer = stranger.http.request("DELETE", "/outputs/", json={"fid": [private_job]})
    assert_envelope(answer, 404)
    assert admin.status(private_job)["status"] == "finished"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/expose/"),
        ("POST", "/expose/"),
        ("DELETE", "/expose/formats"),
        ("POST", "/boot/"),
        ("DELETE", "/boot/"),
        ("GET", "/role/"),
        ("POST", "/role/"),
    ],
)
def test_what_only_operators_may(stranger: Panel, method: str, path: str) -> None:
    """A user who is no operator gets 401, as kodosumi has it."""
    body = {"name": "intruder", "email": "intruder@example.com", "password": "an intruder's password"}
    answer = stranger.http.request(method, path, json=body if method == "POST" else None)
    assert_envelope(answer, 401)


def test_without_a_token(nobody: httpx.Client, private_job: str) -> None:
    """Without a token everything but the login and /health is 401 Unauthorized."""
    for method, route in [*JOB_ROUTES, ("GET", "/flow"), ("GET", "/expose/"), ("POST", "/boot/"), ("GET", "/sumi")]:
        answer = nobody.request(method, route.format(private_job), headers={"accept": "application/json"})
        assert assert_envelope(answer, 401)["error"] == "NotAuthorizedException"
    until_healthy(nobody)


def forged(admin: Panel) -> dict[str, str]:
    """Return tokens that look like the admin's and must not hold."""
    claims = jwt.decode(admin.token, options={"verify_signature": False})
    head, body, signature = admin.token.split(".")
    late = {**claims, "exp": int(time.time()) - 60}
    own_key = ec.generate_private_key(ec.SECP256R1())
    kid = jwt.get_unverified_header(admin.token)["kid"]
    return {
        "none": jwt.encode(claims, "", algorithm="none"),
        "hmac": jwt.encode(claims, "secret-of-at-least-thirty-two-bytes", algorithm="HS256", headers={"kid": kid}),
        "own key": jwt.encode(claims, own_key, algorithm="ES256", headers={"kid": kid}),
        "expired": jwt.encode(late, own_key, algorithm="ES256", headers={"kid": kid}),
        "no signature": f"{head}.{body}.",
        "cut": admin.token[:-8],
        "changed": f"{head}.{body[:-2]}AA.{signature}",
        "garbage": "garbage",
        "dots": "a.b.c",
    }


@pytest.mark.parametrize(
    "name", ["none", "hmac", "own key", "expired", "no signature", "cut", "changed", "garbage", "dots"]
)
def test_forged_tokens(nobody: httpx.Client, admin: Panel, name: str) -> None:
    """No forged token holds, in whichever place it is sent."""
    token = forged(admin)[name]
    for headers in (
        {"KODOSUMI_API_KEY": token},
        {"Authorization": f"Bearer {token}"},
        {"Cookie": f"kodosumi_jwt={token}"},
    ):
        answer = nobody.get("/expose/", headers={**headers, "accept": "application/json"})
        assert_envelope(answer, 401)


def test_a_token_that_expires(mesh: Mesh, nobody: httpx.Client) -> None:
    """A token holds until its time is over, and then no more."""
    token = grpcapi.login(mesh.url, "admin", "admin", ttl_s=2)
    expires_at = jwt.decode(token, options={"verify_signature": False})["exp"]
    asked_at = 0.0
    while (answer := nobody.get("/flow", headers={"KODOSUMI_API_KEY": token})).status_code == 200:
        assert asked_at < expires_at + 5, "the token still holds"
        asked_at = time.time()  # the next time; its answer may take long
    assert_envelope(answer, 401)
    assert time.time() >= expires_at - 1


def test_a_revoked_token(mesh: Mesh, nobody: httpx.Client) -> None:
    """After the logout the token holds no more."""
    panel = Panel(mesh.url)
    assert panel.http.get("/flow").status_code == 200
    assert panel.http.post("/logout").status_code == 200
    deadline = time.monotonic() + 60
    while (answer := nobody.get("/flow", headers={"KODOSUMI_API_KEY": panel.token})).status_code == 200:
        assert time.monotonic() < deadline, "the token still holds"
    assert_envelope(answer, 401)
    panel.close()


def test_internal_headers_are_not_believed(admin: Panel, stranger: Panel, nobody: httpx.Client) -> None:
    """What only the mesh's own parts may say is ignored when a client says it."""
    claims = {"sub": admin.user, "operator": True}
    spoofed = {
        "x-mesh-service": "gateway",
        "x-http-code": "202",
        "x-http-body": '{"spoofed": true}',
        "x-kodosumi_user": admin.user,
        "x-kodosumi_base": "http://evil.example",
        "x-kodosumi-url": "http://evil.example",
        "x-kodosumi_extra": '{"identifier_from_purchaser": "spoofed", "agentIdentifier": "spoofed"}',
        "x-jwt-payload": json.dumps(claims),
        "x-mesh-user": admin.user,
        "x-mesh-sub": admin.user,
        "x-mesh-operator": "true",
        "x-mesh-tier": "enterprise",
        "x-envoy-original-path": "/health",
    }
    assert_envelope(nobody.get("/expose/", headers={**spoofed, "accept": "application/json"}), 401)
    assert_envelope(stranger.http.get("/expose/", headers=spoofed), 401)
    answer = stranger.http.get("/flow", headers=spoofed)
    assert answer.status_code == 200
    assert "spoofed" not in answer.json()
    answer = stranger.http.post(stranger.flow_url("handlers", "echo"), json={"say": "hi"}, headers=spoofed)
    assert answer.status_code == 200, answer.text
    fid = answer.json()["result"]
    done = stranger.wait(fid)
    assert done["username"] == stranger.user
    told = json.loads(done["final"])["dict"]["headers"]
    assert told["x-kodosumi_user"] == stranger.user
    assert "evil" not in done["final"]
    assert "spoofed" not in "".join(event.payload for event in stranger.stream(fid))
    assert stranger.token not in done["final"], "the app has seen the user's token"
