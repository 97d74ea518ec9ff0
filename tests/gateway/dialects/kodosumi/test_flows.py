"""Flows and the way through to their apps (seed: panel API, "Flow Control" to "Launch")."""

import re

import pytest

from tests.gateway.stack import RAW, Panel

pytestmark = pytest.mark.asyncio(loop_scope="module")
APP = "/-/localhost/8005/raw/-"

# -- flows -----------------------------------------------------------------------------------------------------------


async def test_flows_have_the_seeds_keys(panel: Panel) -> None:
    """Any user may see them, sorted by summary, with null for what the author did not say."""
    user = await panel.edge.new_user("reader")
    response = await panel.http.get("/flow", headers=user)
    another, echo = response.json()["items"]
    base = str(panel.http.base_url).rstrip("/")

    assert response.json()["offset"] is None
    assert echo == {
        "uid": echo["uid"],
        "method": "GET",
        "url": f"{APP}/",
        "source": f"{base}{APP}/openapi.json",
        "summary": "Echo",
        "description": "Gives back.",
        "deprecated": None,
        "author": "ada",
        "organization": None,
        "tags": ["echo", "raw"],
        "base_url": f"{base}{APP}/",
    }
    assert re.fullmatch("[0-9a-f]{32}", echo["uid"])
    assert (another["url"], another["deprecated"], another["organization"]) == (f"{APP}/deep/er", True, "org")


async def test_flows_come_in_pages(panel: Panel) -> None:
    """`offset` is the uid of the last one; an unknown offset starts again."""
    first = (await panel.call("GET", "/flow/?pp=1")).json()
    second = (await panel.call("GET", "/flow", params={"pp": 1, "offset": first["offset"]})).json()
    unknown = (await panel.call("GET", "/flow?pp=1&offset=nothing")).json()
    found = (await panel.call("GET", "/flow?q=ADA")).json()

    assert first["offset"] == first["items"][0]["uid"]
    assert [item["summary"] for item in first["items"] + second["items"]] == ["Another", "Echo"]
    assert second["offset"] is None
    assert unknown == first
    assert [item["summary"] for item in found["items"]] == ["Echo"]


@pytest.mark.parametrize("size", ["0", "-1", "ten", "1001", "1.5"])
async def test_a_bad_page_size_names_the_field(panel: Panel, size: str) -> None:
    """400 with the key `pp`."""
    response = await panel.call("GET", "/flow", params={"pp": size})

    assert response.status_code == 400
    assert "'key': 'pp'" in response.json()["detail"]


async def test_tags_are_counted(panel: Panel) -> None:
    """An object of numbers."""
    assert (await panel.call("GET", "/flow/tags")).json() == {"raw": 1, "echo": 1}


async def test_registers_are_the_booted_exposes(panel: Panel) -> None:
    """Reading them, reading them again, and asking for one by any of its names."""
    source = f"{str(panel.http.base_url).rstrip('/')}{APP}/openapi.json"
    listed = await panel.call("GET", "/flow/register")
    refreshed = await panel.call("PUT", "/flow/register")
    known = await panel.call("POST", "/flow/register", json={"url": ["http://localhost:8005/raw/openapi.json"]})
    unknown = await panel.call("POST", "/flow/register", json={"url": "http://localhost:8001/nobody/openapi.json"})
    wrong = await panel.call("POST", "/flow/register", json={"url": 5})

    assert listed.json() == {"routes": [source], "registers": [source]}
    assert set(refreshed.json()) == {"summaries", "urls", "deletes", "sources", "connected"}
    assert refreshed.json()["urls"] == [f"{APP}/deep/er", f"{APP}/"]
    assert (known.status_code, len(known.json())) == (201, 2)
    assert unknown.status_code == 404
    assert wrong.status_code == 400


async def test_an_unregistered_source_is_listed_no_more(panel: Panel) -> None:
    """Its expose is disabled until somebody saves it again."""
    await panel.save(name="leaving", bootstrap=RAW["bootstrap"])
    await panel.call("POST", "/boot")
    gone = await panel.call("POST", "/flow/unregister", json={"url": "http://localhost:8005/leaving/openapi.json"})
    urls = (await panel.call("PUT", "/flow/register")).json()["urls"]
    unknown = await panel.call("POST", "/flow/unregister", json={"url": "nobody"})
    await panel.call("DELETE", "/expose/leaving")

    assert gone.json() == {"deletes": ["http://localhost:8005/leaving/openapi.json"]}
    assert not [url for url in urls if "/leaving/" in url]
    assert unknown.status_code == 404


# -- the proxy -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", [f"{APP}", f"{APP}/", "/-/anywhere/80/raw/-/", "/-/raw", "/-/raw/", "/-/localhost/8001/raw/-"]
)
async def test_a_flows_form_is_found_by_every_path(panel: Panel, path: str) -> None:
    """Host and port say nothing; the short form works too; a trailing slash does not matter."""
    response = await panel.call("GET", path)

    assert response.status_code == 200
    assert response.json()["summary"] == "Echo"
    assert [element["type"] for element in response.json()["elements"]] == ["text", "submit", "cancel"]


async def test_a_launch_answers_with_its_job(panel: Panel) -> None:
    """The same Idempotency-Key and body again give the same job; another key another one."""
    keys = ["one", "one", "two"]
    answers = [
        await panel.call("POST", f"{APP}/", json={"say": "hi"}, headers={"Idempotency-Key": key}) for key in keys
    ]
    jobs = [answer.json()["result"] for answer in answers]
    too_long = await panel.call("POST", f"{APP}/", json={}, headers={"Idempotency-Key": "k" * 300})

    assert {answer.status_code for answer in answers} == {200}
    assert re.fullmatch("[0-9a-f]{24}", jobs[0])
    assert jobs[0] == jobs[1] != jobs[2]
    assert (too_long.status_code, "'key': 'Idempotency-Key'" in too_long.text) == (400, True)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_a_request_arrives_as_it_was_sent(panel: Panel, method: str) -> None:
    """Method, decoded path, raw query, body and content type; no credential of the client."""
    body = "" if method in ("GET", "OPTIONS") else "säy"
    response = await panel.call(
        method,
        f"{APP}/mirror/a%20b/c%2Bd/?path=1&proxy=2&x=%20y&x=z",
        content=body.encode("latin-1"),
        headers={
            "content-type": "text/x-own; charset=latin-1",
            "cookie": "kodosumi_jwt=secret; mine=1",
            "authorization": "Bearer secret",
            "x-own": "1",
            "x-kodosumi_user": "spoofed",
            "x-kodosumi_extra": "{}",
            "x-forwarded-for": "10.0.0.1",
        },
    )
    told = response.json()
    headers = told["headers"]

    assert response.status_code == 200
    assert (told["method"], told["rest"], told["query"]) == (method, "a b/c+d/", "path=1&proxy=2&x=%20y&x=z")
    assert told["body"] == body
    assert headers["x-own"] == "1"
    assert headers["cookie"] == "mine=1"
    assert headers["host"] == panel.edge.address
    assert "secret" not in str(headers)
    assert "spoofed" not in str(headers)
    assert not [name for name in headers if name.startswith(("x-mesh-", "x-envoy-", "grpc-", "kodosumi"))]
    if body:
        assert headers["content-type"] == "text/x-own; charset=latin-1"


@pytest.mark.parametrize("status", [201, 204, 304, 404, 409, 418, 500, 503])
async def test_a_status_of_the_app_is_passed_on(panel: Panel, status: int) -> None:
    """With its own body, in no envelope."""
    response = await panel.call("GET", f"{APP}/status/{status}")

    assert response.status_code == status
    assert response.text == ("" if status in (204, 304) else f"status {status}")


async def test_headers_of_the_app_are_passed_on(panel: Panel) -> None:
    """But for those that would speak for the mesh."""
    response = await panel.call("GET", f"{APP}/headers")
    cookies = response.headers.get_list("set-cookie")
    panel.http.cookies.clear()

    assert (response.status_code, response.text) == (200, "ok")
    assert response.headers["x-app"] == "yes"
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert cookies == ["mine=1; Path=/", "other=2; Path=/"]
    assert "grpc-status" not in response.headers


async def test_a_body_of_any_kind_is_passed_on(panel: Panel) -> None:
    """Bytes with their content type."""
    response = await panel.call("GET", f"{APP}/binary")

    assert response.headers["content-type"] == "image/png"
    assert response.content == bytes(range(256))


async def test_an_answer_to_head_has_no_body(panel: Panel) -> None:
    """Success or failure: a body would be taken for the answer to the next request on the connection."""
    mirrored = await panel.call("HEAD", f"{APP}/mirror/x")
    missing = await panel.call("HEAD", "/-/localhost/8005/nobody/-/x")
    refused = await panel.http.head(f"{APP}/mirror/x")
    unknown = await panel.call("HEAD", "/nope")
    after = await panel.call("GET", f"{APP}/status/201")

    assert (mirrored.status_code, mirrored.headers["content-type"]) == (200, "application/json")
    assert [answer.status_code for answer in (missing, refused, unknown)] == [404, 401, 404]
    assert not any(answer.content for answer in (mirrored, missing, refused, unknown))
    assert after.text == "status 201"


async def test_redirects_of_the_app(panel: Panel) -> None:
    """One elsewhere is passed on; one that only minds the slash is followed here, as the edge drops it."""
    away = await panel.call("GET", f"{APP}/elsewhere")
    slash = await panel.call("GET", f"{APP}/with-slash")

    assert (away.status_code, away.headers["location"]) == (303, "/flow")
    assert slash.json() == {"path": "/with-slash/"}


async def test_an_app_that_does_not_run_is_not_one_that_does_not_exist(panel: Panel) -> None:
    """503 and 404, both in the envelope."""
    await panel.save(name="asleep", bootstrap=RAW["bootstrap"], enabled=False)
    user = await panel.edge.new_user("early")
    asleep = await panel.http.get("/-/localhost/8005/asleep/-/", headers=user)
    unknown = await panel.http.get("/-/localhost/8005/nobody/-/x", headers=user)
    nothing = await panel.http.get("/-/", headers=user)

    assert (asleep.status_code, asleep.json()["error"]) == (503, "ServiceUnavailableException")
    assert unknown.status_code == nothing.status_code == 404
    assert unknown.json()["detail"] == unknown.json()["path"] == "/-/localhost/8005/nobody/-/x"


async def test_what_is_switched_off_is_launched_in_no_way(panel: Panel) -> None:
    """Neither a flow nor all of an expose, although the app runs still; it is not told to boot, either."""
    expose = {"name": "switched", "bootstrap": RAW["bootstrap"]}
    form = "/-/localhost/8005/switched/-/"
    await panel.save(**expose)
    assert "✔ Boot completed" in (await panel.call("POST", "/boot/")).text
    born = [(await panel.call("POST", form, json={})).json()["result"]]
    answers = []
    for off in ({"meta": [{"url": "/switched/", "enabled": False}]}, {"enabled": False}):
        await panel.save(**expose, **off)
        born += await panel.launched_until_heard("flows/switched")
        answers += [
            await panel.call("POST", form, json={}),
            await panel.call("POST", form, json={}, headers={"Idempotency-Key": f"switched-{off}"}),
            await panel.call("POST", "/mesh/v1/jobs", json={"target": "flows/switched", "inputs": {}}),
        ]
    listed = (await panel.call("GET", "/mesh/v1/jobs", params={"targets": "flows/switched"})).json()["jobs"]

    assert [404] * 6 == [answer.status_code for answer in answers]
    assert not [answer.text for answer in answers if "boot" in answer.text]
    assert {f"jobs/{job}" for job in born} == {job["name"] for job in listed}


async def test_the_proxy_needs_a_login(panel: Panel) -> None:
    """401 in the panel's words."""
    response = await panel.http.get(f"{APP}/")

    assert (response.status_code, response.json()["detail"]) == (401, "Unauthorized")


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("x-own", "1", 200),
        ("clear-site-data", "*", 200),
        ("set-cookie", "koda_operator_session=stolen", 200),
        ("location", "/login?name=eve&password=eve", 502),
        ("x-much", "a" * 17_000, 502),
    ],
)
async def test_a_page_of_an_app_has_an_origin_of_its_own(panel: Panel, name: str, value: str, status: int) -> None:
    """And speaks for itself only."""
    answer = await panel.call("GET", f"{APP}/sets/{name}", params={"value": value})
    policy = answer.headers.get("content-security-policy", "")

    assert status == answer.status_code
    assert (name in answer.headers) is (name == "x-own")
    if status == 200:
        assert policy.startswith("sandbox ")
        assert "allow-same-origin" not in policy
        assert "nosniff" == answer.headers["x-content-type-options"]


@pytest.mark.parametrize("code", [600, 999])
async def test_a_status_that_is_none_is_502(panel: Panel, code: int) -> None:
    """Whatever the app meant by it."""
    answer = await panel.call("GET", f"{APP}/status/{code}")

    assert 502 == answer.status_code


async def test_no_cookie_of_the_mesh_reaches_an_app(panel: Panel) -> None:
    """Of no dialect; others do."""
    cookie = "a=1; koda_operator_session=secret; kodosumi_jwt=secret; b=2"
    seen = (await panel.call("GET", f"{APP}/mirror/x", headers={"cookie": cookie})).json()["headers"]

    assert "a=1; b=2" == seen["cookie"]
