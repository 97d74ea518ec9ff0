"""Where a person lands after signing in."""

import html
import re

import httpx
import pytest

from agentmesh.testing import Mesh
from tests.mesh_wide.panel import Panel, assert_envelope

BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture
def browser(mesh: Mesh) -> httpx.Client:
    """Return a browser that follows where it is sent, and keeps cookies."""
    return httpx.Client(base_url=mesh.url, headers=BROWSER, follow_redirects=True, timeout=30)


def sign_in(browser: httpx.Client) -> httpx.Response:
    """Send the sign-in form as the page has it."""
    page = browser.get("/").text
    hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page))
    return browser.post("/login", data={**hidden, "name": "admin", "password": "admin"})


def test_signing_in_leads_to_the_flows(browser: httpx.Client) -> None:
    """Each with a link to its form, and the way out."""
    with browser:
        page = sign_in(browser)
        form = browser.get("/inputs/-/localhost/8005/hymn/-/")
        out = browser.post("/logout", data={"redirect": "/"})

    assert "/panel/flows" == page.url.path
    assert "text/html; charset=utf-8" == page.headers["content-type"]
    assert 'href="/panel/run/hymn"' in page.text
    assert 200 == form.status_code
    assert 'name="password"' in out.text


def test_the_page_can_be_searched(browser: httpx.Client) -> None:
    """What is searched for is shown, escaped; nothing found says so."""
    with browser:
        sign_in(browser)
        found = browser.get("/admin/flow", params={"q": "hymn"}).text
        nothing = browser.get("/admin/flow", params={"q": "<script>"}).text

    assert "hymn" in found
    assert "/prime/" not in found.partition("<h2>")[0]
    assert "<script>" not in nothing
    assert html.escape("<script>") in nothing


def test_executions_and_questions_are_linked(browser: httpx.Client, admin: Panel) -> None:
    """A job that waits for its owner's answer is one click away."""
    inputs = {"name": "Ada", "date": "2999-01-01"}
    fid = admin.http.post("/-/localhost/8005/sumi-test/-/", json=inputs).json()["result"]
    with browser, admin.http.stream("GET", f"/outputs/stream/{fid}") as events:
        next(line for line in events.iter_lines() if line == "event: lock")
        sign_in(browser)
        page = browser.get("/admin/flow").text
        question = re.search(rf'href="(/inputs/lock/{fid}/[^"]+)"', page)
        assert question is not None
        form = browser.get(question[1])

    admin.http.delete(f"/outputs/{fid}")
    assert f'href="/outputs/html/{fid}"' in page
    assert "greeting" in form.text


def test_a_cookie_that_does_not_hold_leads_to_the_sign_in(browser: httpx.Client) -> None:
    """Once round, not for ever."""
    browser.cookies.set("kodosumi_jwt", "stale", domain="127.0.0.1", path="/")
    with browser:
        page = browser.get("/")

    assert 'name="password"' in page.text
    assert len(page.history) < 4


def test_a_browser_that_signs_in_wrong_sees_the_form_again(mesh: Mesh) -> None:
    """With what was wrong; a program gets the error as before."""
    wrong = {"name": "admin", "password": "not it", "redirect": "/admin/flow"}
    with httpx.Client(base_url=mesh.url, timeout=30) as http:
        sent_back = http.post("/login", data=wrong, headers=BROWSER)
        told = http.post("/login", data=wrong)
        page = http.get("/", headers=BROWSER).text
        icon = http.get("/favicon.ico")

    assert (302, "") == (sent_back.status_code, sent_back.text)
    assert "/?redirect=%2Fadmin%2Fflow#failed" == sent_back.headers["location"]
    assert "set-cookie" not in sent_back.headers
    assert 'id="failed"' in page
    assert_envelope(told, 401)
    assert 204 == icon.status_code


def test_pages_lead_back(admin: Panel) -> None:
    """To the flows; an execution that is not there is said on a page to browsers, and in JSON to programs."""
    missing = f"/outputs/html/{'0' * 24}"
    page = admin.http.get(missing, headers={"accept": "text/html"})
    form = admin.http.get("/inputs/-/localhost/8005/sumi-test/-/")

    assert 404 == page.status_code
    assert "There is no such execution" in page.text
    assert_envelope(admin.http.get(missing), 404)
    assert all('<a href="/admin/flow">' in shown.text for shown in (page, form))
