"""The seed document "kodosumi panel API", request by request in its order, against the Hymn Creator of the examples.

What is compared: status codes, keys, types, nulls, and every value that is not an id, a time or an address
(`golden/panel.json`).
"""

import json
import pathlib
import re
from typing import Any

import httpx
import pytest

from agentmesh.testing import Mesh
from tests.mesh_wide.panel import READ_S, Panel, assert_envelope, parse_sse
from tests.mesh_wide.shapes import assert_like

GOLDEN: dict[str, Any] = json.loads((pathlib.Path(__file__).parent / "golden" / "panel.json").read_text())
APPS = {"hymn": "examples.hymn.app:fast_app", "formats": "tests.apps.formats:app"}
TOPIC = "Ich wollte ich wäre ein Huhn."
ADDRESS_VARIES = ("author", "x-author", "source", "uid", "url")
STATUS_VARIES = ("timestamp", "fid", "description", "author", "base_url", "entry_point", "username")


@pytest.fixture(scope="module")
def hymn(admin: Panel) -> str:
    """Deploy the apps; return the hymn's address."""
    admin.deploy(APPS)
    return admin.flow_url("hymn")


# Authentication


def test_login_with_a_form(mesh: Mesh) -> None:
    """POST /login with form data gives the key as JSON and as a cookie."""
    answer = httpx.post(f"{mesh.url}/login", data={"name": "admin", "password": "admin"}, timeout=READ_S)
    check_login(answer)


def test_login_with_json(mesh: Mesh) -> None:
    """POST /api/login with JSON gives the same."""
    check_login(httpx.post(f"{mesh.url}/api/login", json={"name": "admin", "password": "admin"}, timeout=READ_S))


def test_login_with_url_parameters(mesh: Mesh) -> None:
    """GET /login with URL parameters gives the same."""
    check_login(httpx.get(f"{mesh.url}/login", params={"name": "admin", "password": "admin"}, timeout=READ_S))


def check_login(answer: httpx.Response) -> None:
    """Check the body and the cookie of a login."""
    assert answer.status_code == 200, answer.text
    assert answer.json()["KODOSUMI_API_KEY"] == answer.cookies["kodosumi_jwt"]


@pytest.mark.parametrize("how", ["form", "json", "query"])
def test_a_wrong_password_is_refused(mesh: Mesh, how: str) -> None:
    """A wrong password gets 401 in the panel's shape, whichever way it is sent."""
    wrong = {"name": "nobody-by-this-name", "password": "wrong"}
    with httpx.Client(base_url=mesh.url, timeout=READ_S) as client:
        answer = {
            "form": lambda: client.post("/login", data=wrong),
            "json": lambda: client.post("/api/login", json=wrong),
            "query": lambda: client.get("/login", params=wrong),
        }[how]()
    body = assert_envelope(answer, 401)
    assert (body["error"], body["detail"]) == ("NotAuthorizedException", "Invalid name or password")


# Flow control


def test_flows_with_the_key(mesh: Mesh, admin: Panel, hymn: str) -> None:
    """GET /flow with the header KODOSUMI_API_KEY lists the hymn as printed."""
    answer = httpx.get(f"{mesh.url}/flow", headers={"KODOSUMI_API_KEY": admin.token}, timeout=READ_S)
    check_flows(answer)


def test_flows_with_the_cookies(mesh: Mesh, admin: Panel, hymn: str) -> None:
    """GET /flow with the cookies lists the same."""
    check_flows(httpx.get(f"{mesh.url}/flow", cookies={"kodosumi_jwt": admin.token}, timeout=READ_S))


def check_flows(answer: httpx.Response) -> None:
    """Compare the item of the Hymn Creator; `base_url` came with a later release (spec: kodosumi §2.1)."""
    assert answer.status_code == 200
    assert set(answer.json()) == {"items", "offset"}
    (item,) = (item for item in answer.json()["items"] if item["summary"] == "Hymn Creator")
    item.pop("base_url", None)
    assert_like(item, GOLDEN["flow"]["items"][0], varies=ADDRESS_VARIES)
    assert re.fullmatch(r"[0-9a-f]{32}", item["uid"])
    assert re.fullmatch(r"/-/[^/]+/\d+/hymn/-/", item["url"])


def test_flows_page_by_page(admin: Panel, hymn: str) -> None:
    """Pages follow each other by `offset`, each flow once, and the last page has none."""
    whole = [item["uid"] for item in admin.http.get("/flow", params={"pp": 100}).json()["items"]]
    assert len(whole) >= 9
    seen: list[str] = []
    offset = None
    while True:
        page = admin.http.get("/flow", params={"pp": 4, **({"offset": offset} if offset else {})}).json()
        assert len(page["items"]) <= 4
        seen += [item["uid"] for item in page["items"]]
        offset = page["offset"]
        if offset is None:
            break
        assert offset == seen[-1]
    assert seen == whole


# Inputs scheme


@pytest.mark.parametrize("slash", ["", "/"])
def test_input_scheme(admin: Panel, hymn: str, slash: str) -> None:
    """GET on the flow gives its form; a slash at the end makes no difference."""
    answer = admin.http.get(hymn.rstrip("/") + slash)
    assert answer.status_code == 200, answer.text
    body, golden = answer.json(), GOLDEN["schema"]
    assert set(body) == set(golden)
    assert body["elements"][1:] == golden["elements"][1:]
    assert body["elements"][0]["type"] == "markdown"
    assert body["elements"][0]["text"].startswith(golden["elements"][0]["text"])
    assert body["description"].startswith(golden["description"])
    assert (body["summary"], body["tags"]) == (golden["summary"], golden["tags"])
    assert_like(body["openapi_extra"], golden["openapi_extra"], varies=ADDRESS_VARIES)


def test_form_page(admin: Panel, hymn: str) -> None:
    """The form is also a page at /inputs, with the default in it."""
    answer = admin.http.get(f"/inputs{hymn}")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert "A Du Du Du and A Da Da Da." in answer.text


# Launch and errors


def test_an_empty_topic_is_refused(admin: Panel, hymn: str) -> None:
    """The author's message comes back with 200, the elements and no result."""
    answer = admin.http.post(hymn, json={"topic": ""})
    assert answer.status_code == 200
    assert answer.json().get("result") is None
    assert set(answer.json()) == {"errors", "elements"}
    assert answer.json()["errors"] == GOLDEN["errors"]
    assert list(answer.json()["errors"])[-1] == "_global_"
    assert answer.json()["elements"] == admin.http.get(hymn).json()["elements"]


def test_a_refused_launch_leaves_no_job(admin: Panel, hymn: str) -> None:
    """After a refusal the timeline is what it was."""
    before = admin.http.get("/timeline/list", params={"pp": 100}).json()["items"]
    admin.http.post(hymn, json={"topic": ""})
    after = admin.http.get("/timeline/list", params={"pp": 100}).json()["items"]
    assert [item["fid"] for item in after] == [item["fid"] for item in before]


def test_launch_status_and_stream(admin: Panel, hymn: str) -> None:
    """A launch gives a fid; its status and its stream are as printed, from the first moment to the last."""
    answer = admin.http.post(hymn, json={"topic": TOPIC})
    assert answer.status_code == 200
    assert set(answer.json()) == {"result", "elements"}
    fid = answer.json()["result"]
    assert re.fullmatch(r"[0-9a-f]{24}", fid)
    # The document advises `extended`, as a status may be missing at first; here it never is.
    for suffix in ("", "?extended=true"):
        early = admin.http.get(f"/outputs/status/{fid}{suffix}")
        assert early.status_code == 200
        assert early.json()["fid"] == fid
    with admin.http.stream("GET", f"/outputs/stream/{fid}") as stream:
        events = parse_sse("".join(stream.iter_text()))
    kinds = [event.event for event in events if event.id]
    assert kinds[:4] == ["status", "inputs", "meta", "status"]
    assert kinds[-2:] == ["final", "status"]
    assert kinds.count("agent") == 4
    assert kinds.count("action") == kinds.count("result") == kinds.count("stdout") == 2
    done = admin.http.get(f"/outputs/status/{fid}").json()
    check_status(done, fid, admin)
    assert done["status"] == "finished"
    final = json.loads(done["final"])
    assert final["CrewOutput"]["raw"].startswith('**Hymn Title: "')
    assert "Huhn" in final["CrewOutput"]["raw"]
    assert done["final"].startswith('{"CrewOutput":{"raw":"**Hymn Title: \\"')


def check_status(status: dict[str, Any], fid: str, admin: Panel) -> None:
    """Compare a status with the printed one; `app_url` and `locks` came with later releases (spec: kodosumi §5.2)."""
    assert set(GOLDEN["running"]) <= set(status) <= {*GOLDEN["running"], "app_url", "locks"}
    assert status["fid"] == fid
    assert status["username"] == admin.user
    assert isinstance(status["timestamp"], float)
    assert status["entry_point"].endswith("hymn.app:crew")
    assert status["description"].startswith("This agent creates a short hymn")
    assert re.fullmatch(r"/-/[^/]+/\d+/hymn/-/", status["base_url"])
    varies = {*STATUS_VARIES, "status", "final"}
    constant = {key: value for key, value in GOLDEN["running"].items() if key not in varies}
    assert sorted(status["tags"]) == sorted(constant.pop("tags"))
    assert {key: status[key] for key in constant} == constant


# Output formats


@pytest.mark.parametrize("kind", ["link", "image", "video", "text"])
def test_output_formats(admin: Panel, hymn: str, kind: str) -> None:
    """The final field is JSON in a string, whose outer key names the type."""
    fid = admin.launch("formats", kind)
    done = admin.wait(fid)
    assert done["status"] == "finished"
    assert isinstance(done["final"], str)
    assert json.loads(done["final"]) == GOLDEN["final"][kind]
    raw = admin.http.get(f"/outputs/raw/{fid}")
    assert raw.status_code == 200
    assert raw.json() == GOLDEN["final"][kind]
    html = admin.http.get(f"/outputs/html/{fid}")
    assert html.status_code == 200
    assert html.headers["content-type"].startswith("text/html")
    shown = next(iter(next(iter(GOLDEN["final"][kind].values())).values()))
    assert shown in html.text


# Runtime errors


def test_a_kodosumi_error_is_shown(admin: Panel, hymn: str) -> None:
    """Its message is the final Text of the status, the raw result and a part of the page."""
    fid = admin.launch("formats", "expected-error")
    done = admin.wait(fid)
    assert done["status"] == "error"
    assert done["final"] == '{"Text":{"body":"Error message here"}}'
    raw = admin.http.get(f"/outputs/raw/{fid}")
    assert raw.json() == GOLDEN["final"]["expected-error"]
    page = admin.http.get(f"/outputs/html/{fid}")
    assert "Error message here" in page.text
    assert [event.event for event in admin.stream(fid)][-2:] == ["error", "status"]


def test_an_error_of_several_lines_is_shown_whole_and_escaped(admin: Panel, hymn: str) -> None:
    """No line is lost, and what looks like HTML stays text."""
    fid = admin.launch("formats", "long-error")
    done = admin.wait(fid)
    assert json.loads(done["final"]) == {"Text": {"body": "first line\n<b>second</b> line"}}
    page = admin.http.get(f"/outputs/html/{fid}").text
    assert "first line" in page
    assert "<b>second</b>" not in page
    assert "&lt;b&gt;second&lt;/b&gt;" in page


def test_a_bug_of_the_author_is_named_without_paths(admin: Panel, hymn: str) -> None:
    """Any other exception is told by type and text; paths of the machine are not."""
    fid = admin.launch("formats", "bug")
    done = admin.wait(fid)
    assert done["status"] == "error"
    body = json.loads(done["final"])["Text"]["body"]
    assert body.startswith("ValueError: cannot read ")
    assert "formats.py" not in body
    stream = "".join(event.payload for event in admin.stream(fid))
    assert "formats.py" not in stream
    assert "Traceback" not in stream


def test_a_flow_that_returns_nothing_succeeds(admin: Panel, hymn: str) -> None:
    """None is a result like any other."""
    done = admin.wait(admin.launch("formats", "nothing"))
    assert done["status"] == "finished"
    assert json.loads(done["final"]) == {"TypeError": "None"}
