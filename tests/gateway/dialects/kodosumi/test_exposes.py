"""Exposes and their boot (seed: notebook, "Create Exposes" to "Refresh")."""

import asyncio
import re
from typing import Any

import pytest

from tests.gateway.stack import Panel

pytestmark = pytest.mark.asyncio(loop_scope="module")
EXPOSE_KEYS = {
    *("bootstrap", "created", "display", "enabled", "etag", "flow_stats", "heartbeat", "meta", "name"),
    *("needs_reboot", "network", "stale", "state", "updated"),
}


# -- exposes ---------------------------------------------------------------------------------------------------------


async def test_an_expose_has_the_seeds_keys(panel: Panel) -> None:
    """201, null where nothing was given, naive times with microseconds, and a text as etag."""
    response = await panel.save(name="fresh", bootstrap="import_path: tests.gateway.raw_app:app", enabled=False)
    body = response.json()
    again = await panel.call("GET", "/expose/fresh/")

    assert response.status_code == 201
    assert set(body) == EXPOSE_KEYS
    assert (body["display"], body["network"], body["meta"]) == (None, None, None)
    assert (body["state"], body["flow_stats"], body["stale"], body["needs_reboot"]) == ("DEAD", "0/0", False, False)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}", body["created"])
    assert body["created"] == body["updated"]
    assert isinstance(body["etag"], str)
    assert isinstance(body["heartbeat"], float)
    assert set(again.json()) == EXPOSE_KEYS


async def test_a_save_replaces_everything(panel: Panel) -> None:
    """Meta keeps its order and text; what is omitted becomes empty; the creation time stays."""
    meta = [{"url": "/whole/", "data": "display: X\n"}, {"url": "/whole/a", "enabled": False}]
    first = (await panel.save(name="whole", bootstrap="import_path: a:b", display="D", network="Preprod")).json()
    second = (await panel.save(name="whole", meta=meta, enabled=False, etag=first["etag"])).json()

    assert (first["display"], first["network"]) == ("D", "Preprod")
    assert (second["display"], second["network"], second["bootstrap"]) == (None, None, None)
    assert second["meta"] == [
        {"url": "/whole/", "data": "display: X\n", "enabled": True, "state": None, "heartbeat": None},
        {"url": "/whole/a", "data": None, "enabled": False, "state": None, "heartbeat": None},
    ]
    assert second["created"] == first["created"]
    assert second["etag"] != first["etag"]


async def test_an_old_etag_is_a_conflict(panel: Panel) -> None:
    """409 in the panel's words, and nothing changes."""
    first = (await panel.save(name="etagged", enabled=False)).json()
    await panel.save(name="etagged", enabled=False)
    response = await panel.save(name="etagged", enabled=False, display="lost", etag=first["etag"])
    kept = (await panel.call("GET", "/expose/etagged")).json()

    assert response.status_code == 409
    assert response.json()["detail"] == (
        "409: This record has been modified by another user. Please reload the page and try again."
    )
    assert kept["display"] is None


async def test_a_save_may_be_sent_twice(panel: Panel) -> None:
    """With the same key the first answer comes again; the key with another body is refused, naming the header."""
    once = {"headers": {"Idempotency-Key": "save-once"}, "json": {"name": "once", "enabled": False, "display": "1"}}
    first, again = [await panel.call("POST", "/expose/", **once) for _ in range(2)]
    other = await panel.call("POST", "/expose/", headers=once["headers"], json={"name": "once", "enabled": False})

    assert (first.status_code, first.json()["etag"]) == (again.status_code, again.json()["etag"])
    assert other.status_code == 400
    assert "Idempotency-Key" in other.json()["detail"]


async def test_an_expose_can_be_renamed_and_deleted(panel: Panel) -> None:
    """The old name is gone; a name that is taken is a conflict; deleting twice is 404."""
    await panel.save(name="before", enabled=False)
    renamed = await panel.save(name="after", original_name="before", enabled=False)
    old = await panel.call("GET", "/expose/before")
    taken = await panel.save(name="raw", original_name="after", enabled=False)
    deleted = await panel.call("DELETE", "/expose/after/")
    again = await panel.call("DELETE", "/expose/after")

    assert (renamed.status_code, renamed.json()["name"]) == (201, "after")
    assert (old.status_code, old.json()["detail"]) == (404, "Expose 'before' not found")
    assert taken.status_code == 409
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert again.status_code == 404


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ({}, "name"),
        ({"name": "no spaces"}, "name"),
        ({"name": 7}, "name"),
        ({"name": "x", "network": "Lunar"}, "network"),
        ({"name": "x", "enabled": "yes"}, "enabled"),
        ({"name": "x", "bootstrap": "a: ["}, "bootstrap"),
        ({"name": "x", "bootstrap": "runtime-env: {}"}, "bootstrap"),
        ({"name": "x", "bootstrap": "import_path: my.app"}, "bootstrap"),
        ({"name": "x", "bootstrap": {}}, "bootstrap"),
        ({"name": "x", "meta": {}}, "meta"),
        ({"name": "x", "meta": [{"data": "a: 1"}]}, "meta.0.url"),
        ({"name": "x", "meta": [{"url": "/x/", "data": "]"}]}, "meta[0].data"),
    ],
)
async def test_a_bad_expose_names_the_field(panel: Panel, body: dict[str, Any], key: str) -> None:
    """400, and nothing is stored."""
    response = await panel.save(**body)
    stored = await panel.call("GET", "/expose/x")

    assert response.status_code == 400, response.text
    assert response.json()["error"] == "ValidationException"
    assert f"'key': '{key}'" in response.json()["detail"]
    assert stored.status_code == 404


async def test_health_says_what_is_missing(panel: Panel) -> None:
    """201 with a result for each expose and flow."""
    everything = await panel.call("POST", "/expose/health")
    one = await panel.call("POST", "/expose/raw/health")
    result = one.json()["results"][0]

    assert (everything.status_code, one.status_code) == (201, 201)
    assert everything.json()["checked"] == len(everything.json()["results"])
    assert set(one.json()) == {"checked", "timestamp", "results"}
    assert result["app"] == {"valid": True, "message": "RUNNING"}
    assert (result["meta_count"], result["alive_count"], result["state"]) == (2, 2, "RUNNING")
    assert result["meta"][0]["endpoint"] == {"valid": True, "message": "Alive (200)"}


async def test_only_operators_see_exposes(panel: Panel) -> None:
    """401 for users, on every route."""
    user = await panel.edge.new_user("curious")
    for method, path in [
        ("GET", "/expose"),
        ("POST", "/expose"),
        ("GET", "/expose/raw"),
        ("DELETE", "/expose/raw"),
        ("POST", "/expose/health"),
        ("GET", "/boot"),
        ("POST", "/boot"),
        ("DELETE", "/boot"),
        ("POST", "/boot/refresh/raw"),
        ("PUT", "/flow/register"),
        ("POST", "/flow/register"),
        ("POST", "/flow/unregister"),
    ]:
        response = await panel.http.request(method, path, headers=user)

        assert (response.status_code, response.json()["detail"]) == (401, "User not authorized"), path


# -- boot ------------------------------------------------------------------------------------------------------------


async def test_a_boot_is_told_line_by_line(panel: Panel) -> None:
    """201 and text/plain; each line begins with a glyph of its kind; GET /boot has the same lines."""
    async with panel.http.stream("POST", "/boot/", headers=panel.edge.operator) as response:
        lines = [line async for line in response.aiter_lines()]
    told = (await panel.call("GET", "/boot/")).json()

    assert response.status_code == 201
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert lines[0].startswith("ℹ Boot started at 20")
    assert "  • [raw] Prepared deployment config → route=/raw" in lines
    assert [line.split("]")[0] for line in lines if line.startswith("▶")] == [
        *("▶ [DEPLOY", "▶ [HEALTH", "▶ [REGISTER", "▶ [RETRIEVE", "▶ [UPDATE"),
    ]
    assert re.fullmatch(r"✔ Boot completed at .* \(runtime: \d+\.\ds\)", lines[-1])
    assert all(line[0] in "ℹ▶✓✔ ⚠" for line in lines)
    assert told == {"locked": False, "lock_time": None, "messages": lines}


async def test_an_idle_boot_stream_says_so(panel: Panel) -> None:
    """200 with one line."""
    response = await panel.call("GET", "/boot/stream")

    assert (response.status_code, response.text) == (200, "No boot in progress\n")


async def test_a_second_boot_is_turned_away(panel: Panel) -> None:
    """201 and one line, unless it is forced."""
    boots = await asyncio.gather(*(panel.call("POST", "/boot") for _ in range(4)))
    busy = [boot for boot in boots if boot.text == "[ERROR] Boot already in progress. Use force=true to override.\n"]
    forced = await panel.call("POST", "/boot?force=true")
    wrong = await panel.call("POST", "/boot?force=perhaps")

    assert {boot.status_code for boot in boots} == {201}
    assert len(busy) < len(boots)
    assert forced.text.splitlines()[-1].startswith("✔")
    assert wrong.status_code == 400
    assert "'key': 'force'" in wrong.json()["detail"]


async def test_one_expose_can_be_refreshed(panel: Panel) -> None:
    """200, and an unknown one is an error line (seed)."""
    known = await panel.call("POST", "/boot/refresh/raw")
    unknown = await panel.call("POST", "/boot/refresh/nobody")

    assert known.status_code == unknown.status_code == 200
    assert known.text.splitlines()[-1].startswith("✔ Refresh complete at ")
    assert unknown.text == "[ERROR] Expose 'nobody' not found\n"


async def test_a_version_that_does_not_load_leaves_the_one_before(panel: Panel) -> None:
    """The state is Ray Serve's word for it, the boot says why, and the flows are listed and answer."""
    await panel.save(name="kept", bootstrap="import_path: tests.gateway.raw_app:app")
    await panel.call("POST", "/boot/refresh/kept")
    await panel.save(name="kept", bootstrap="import_path: tests.gateway.no_such_module:app")

    refreshed = await panel.call("POST", "/boot/refresh/kept")
    kept = (await panel.call("GET", "/expose/kept")).json()
    flows = (await panel.call("GET", "/flow/", params={"pp": 1000})).json()["items"]
    form = await panel.call("GET", "/-/localhost/8005/kept/-/")

    assert "  [kept] [Boot 2/2] Reached final state → DEPLOY_FAILED" in refreshed.text.splitlines()
    assert "No module named 'tests.gateway.no_such_module'; " in refreshed.text
    assert "are installed packages (the version before still serves)" in refreshed.text
    assert refreshed.text.splitlines()[-1].startswith("✗ Refresh failed at ")
    assert (kept["state"], kept["needs_reboot"]) == ("DEPLOY_FAILED", True)
    assert kept["flow_stats"].split("/")[0] == kept["flow_stats"].split("/")[1] != "0"
    assert [flow for flow in flows if "/kept/" in flow["url"]]
    assert form.status_code == 200
    await panel.call("DELETE", "/expose/kept")
    await panel.call("POST", "/boot/?force=true")
