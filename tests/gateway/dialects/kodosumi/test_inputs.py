"""The form pages: shown, cancelled, sent, and shown again with what is wrong."""

import html.parser
import json
from typing import Any

import pytest
from agentmesh_protos.runner.v1 import app_pb2

from meshkit.errors import Unavailable
from tests.gateway.stage import UNKNOWN, Stage, answer

pytestmark = pytest.mark.asyncio(loop_scope="module")

EVIL = "\"><script>alert('x')</script>"
ELEMENTS: list[dict[str, Any]] = [
    {"type": "markdown", "text": "Some **text** <script>alert(1)</script>"},
    {"type": "html", "text": '<div class="space"></div><b onclick="x()">bold</b>'},
    {"type": "errors"},
    {"type": "text", "name": "topic", "label": f"Topic {EVIL}", "value": EVIL, "required": True, "size": 20},
    {"type": "password", "name": "password", "label": "Password", "value": None, "required": True},
    {"type": "textarea", "name": "essay", "label": "Essay", "value": f"</textarea>{EVIL}", "rows": 4, "cols": None},
    {"type": "boolean", "name": "agree", "label": "Agree", "value": False, "option": EVIL},
    {
        "type": "select",
        "name": "color",
        "label": "Color",
        "value": None,
        "option": [
            {"type": "option", "name": EVIL, "label": EVIL, "value": False},
            {"type": "option", "name": "red", "label": "Red", "value": True},
        ],
    },
    {
        "type": "radio",
        "name": "size",
        "label": "Size",
        "required": True,
        "option": [{"type": "option", "name": "s", "label": "Small", "value": True}],
    },
    {"type": "file", "name": "doc", "label": "Document"},
    {"type": "hidden", "name": "secret", "value": EVIL},
    {"type": "hr", "text": "<hr>"},
    {"type": "submit", "text": "Send <it>"},
    {"type": "cancel", "text": "Cancel"},
]


class Page(html.parser.HTMLParser):
    """What a browser makes of a page: its elements with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for found, attributes in self.found if found == tag]

    def named(self, name: str) -> dict[str, str | None]:
        (only,) = [attributes for _, attributes in self.found if attributes.get("name") == name]
        return only


@pytest.fixture(autouse=True)
def _app(stage: Stage) -> None:
    stage.runner.called.clear()
    stage.runner.apps["hymn"] = hymn


def hymn(request: app_pb2.CallAppRequest) -> app_pb2.CallAppResponse:
    """An app that wants a topic, and knows one path."""
    if request.path not in ("/", "/deep/flow"):
        return answer({"detail": "Not Found"}, 404)
    if request.method == "GET":
        return answer({"summary": f"Hymn {EVIL}", "elements": ELEMENTS})
    if not json.loads(request.body).get("topic"):
        errors = {"topic": [f"Please give me a topic {EVIL}."], "_global_": ["Nothing works."], "gone": ["Gone."]}
        return answer({"errors": errors, "elements": ELEMENTS})
    return answer({"result": UNKNOWN, "elements": ELEMENTS}, job=UNKNOWN)


@pytest.mark.parametrize(
    "path",
    [
        "/inputs/-/localhost/8005/hymn/-/",
        "/inputs/-/localhost/8005/hymn/-",
        "/inputs/-/hymn",
        "/inputs/-/hymn/deep/flow",
        "/inputs/-/localhost/8001/hymn/-/deep/flow?x=1",
    ],
)
async def test_a_form_is_a_page_without_script(stage: Stage, path: str) -> None:
    """Every element is there, labelled; what the author wrote is text or sanitised; the page needs no script."""
    response = await stage.alice.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["content-security-policy"].startswith("default-src 'none'")
    page = Page(response.text)
    assert not page.all("script")
    assert not [name for _, attributes in page.found for name in attributes if name.startswith("on")]
    sent = {"method": "post", "accept-charset": "utf-8", "enctype": "multipart/form-data"}
    assert page.all("form") == [{**sent, "action": path.partition("?")[0]}]
    assert page.named("topic")["value"] == EVIL
    assert page.named("topic")["size"] == "20"
    assert "required" in page.named("topic")
    assert page.named("secret")["value"] == EVIL
    assert page.named("agree")["type"] == "checkbox"
    assert page.named("size") == {"type": "radio", "id": "field-8-1", "name": "size", "value": "s"} | {
        "checked": None,
        "required": None,
    }
    assert [option["value"] for option in page.all("option")] == [EVIL, "red"]
    assert "<strong>text</strong>" in response.text
    labelled = {label["for"] for label in page.all("label")}
    for tag in ("input", "select", "textarea"):
        assert all(field["id"] in labelled for field in page.all(tag) if field.get("type") != "hidden")


async def test_the_app_hears_of_the_caller_and_the_way_back(stage: Stage) -> None:
    """The app is asked at its own path, with the address people use."""
    await stage.alice.get("/inputs/-/localhost/8005/hymn/-/deep/flow/")
    (call,) = stage.runner.called
    assert (call.name, call.method, call.path, call.base_url) == ("apps/hymn", "GET", "/deep/flow", stage.url)


async def test_cancel_leads_home(stage: Stage) -> None:
    """The Cancel button leads to the start page; nothing is asked of the app."""
    response = await stage.alice.post("/inputs/-/hymn/", data={"__cancel__": "__cancel__", "topic": "x"})
    assert (response.status_code, response.headers["location"]) == (302, "/")
    assert stage.runner.called == []


async def test_a_launch_leads_to_its_result(stage: Stage) -> None:
    """A form that the app takes leads to the execution's page; only the form's fields are sent, as JSON."""
    sent = {"topic": "ä & b", "agree": "on", "color": "red", "evil": "1"}
    response = await stage.alice.post("/inputs/-/hymn/", data=sent)
    assert (response.status_code, response.headers["location"]) == (302, f"/outputs/html/{UNKNOWN}")
    assert response.content == b""
    assert json.loads(stage.runner.called[-1].body) == {"topic": "ä & b", "agree": "on", "color": "red"}


async def test_a_refused_form_comes_back_filled_in(stage: Stage) -> None:
    """What is wrong stands at its field and above the form; what was typed is kept, except the password."""
    sent = {"topic": "", "password": "hunter2", "essay": EVIL, "agree": "on", "color": EVIL}
    response = await stage.alice.post("/inputs/-/hymn", data=sent)
    assert response.status_code == 200
    page = Page(response.text)
    assert not page.all("script")
    topic = page.named("topic")
    assert (topic["value"], topic["aria-invalid"], topic["aria-describedby"]) == ("", "true", f"{topic['id']}-error")
    assert {"class": "error", "id": f"{topic['id']}-error"} in page.all("p")
    assert "Please give me a topic" in response.text
    assert "Nothing works." in response.text
    assert "Gone." in response.text
    assert 'role="alert"' in response.text
    assert "hunter2" not in response.text
    assert "checked" in page.named("agree")
    assert [("selected" in option) for option in page.all("option")] == [True, False]


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_trouble_is_a_page_with_its_status(stage: Stage, method: str) -> None:
    """What the app or the way to it refuses is a page for people, with the right status."""

    def down(_: app_pb2.CallAppRequest) -> app_pb2.CallAppResponse:
        raise Unavailable("no app <serves> this")

    stage.runner.apps["down"] = down
    stage.runner.apps["broken"] = lambda _: answer({"detail": "boom <b>"}, 500)
    data = {"topic": "x"} if method == "POST" else None
    for path, status, text in (
        ("/inputs/-/down", 503, "no app &lt;serves&gt; this"),
        ("/inputs/-/broken", 500, "500: boom &lt;b&gt;"),
        ("/inputs/-/hymn/none", 404, "404: Not Found"),
    ):
        response = await stage.alice.request(method, path, data=data)
        assert response.status_code == status
        assert response.headers["content-type"] == "text/html; charset=utf-8"
        assert text in response.text


async def test_a_page_of_the_app_s_own_is_shut_in(stage: Stage) -> None:
    """An app may answer with its own page; it is shown, but may not act as this site; JSON is shown as text."""
    stage.runner.apps["own"] = lambda _: answer(b"<h1>Own</h1><script>1</script>", kind="text/html; charset=utf-8")
    response = await stage.alice.get("/inputs/-/own")
    assert response.text == "<h1>Own</h1><script>1</script>"
    assert response.headers["content-security-policy"].startswith("sandbox")
    assert "allow-same-origin" not in response.headers["content-security-policy"]
    stage.runner.apps["own"] = lambda _: answer({"a": "<script>"})
    assert "&lt;script&gt;" in (await stage.alice.get("/inputs/-/own")).text


async def test_only_forms_are_taken(stage: Stage) -> None:
    """A body of another kind is a 400 that names the content type; nobody without a token sees a form."""
    response = await stage.alice.post("/inputs/-/hymn", json={"topic": "x"})
    assert response.status_code == 400
    assert "'key': 'content-type'" in response.json()["detail"]
    assert (await stage.nobody.get("/inputs/-/hymn")).status_code == 401
