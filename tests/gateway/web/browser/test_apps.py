"""The apps of a mesh, as its operator sees them."""

import re
from urllib.parse import quote

from playwright.sync_api import Browser, expect

from agentmesh.testing import Mesh
from tests.gateway.web.browser.looking import WAIT_MS, Look

expect.set_options(timeout=WAIT_MS)


def test_an_app_is_deployed_mended_disabled_and_deleted(chromium: Browser, site: Mesh) -> None:
    """What is typed is judged as one types; why an app does not load is said where one looks, without a reload."""
    with Look(chromium, site.url) as look:
        page = look.page
        look.sign_in("/panel/deploy")
        page.get_by_label("Name").fill("mended")
        page.get_by_label("Bootstrap").fill("import_path: [")
        expect(page.locator("#verdict .bad")).to_contain_text("line 1")
        page.get_by_label("Bootstrap").fill("import_path: no_such_module:app")
        expect(page.locator("#verdict .good")).to_be_visible()
        look.deploy("mended", "no_such_module:app")
        expect(page.get_by_role("alert")).to_contain_text("no_such_module")
        expect(page.locator("#boot-log")).to_contain_text("The restart has failed")
        assert [] == look.violations()
        page.get_by_role("link", name="Bootstrap").click()
        page.get_by_label("Bootstrap").fill("import_path: examples.noop.app:app")
        page.get_by_role("button", name="Save and restart").click()
        expect(page.locator(".badge.good")).to_have_text("Running")
        page.get_by_role("link", name="Flows", exact=True).last.click()
        expect(page.get_by_role("cell", name="Answers").first).to_be_visible()
        page.get_by_role("button", name="Disable").click()
        expect(page.locator("#part .head")).to_contain_text("Disabled")
        expect(page.locator("#boot-log")).to_contain_text("The restart has ended")
        page.goto("/panel/apps/mended/edit")
        page.get_by_text("Delete this app").click()
        page.get_by_role("button", name="Delete mended").click()
        page.wait_for_url("**/panel/apps")
        expect(page.locator("#app-hymn")).to_be_visible()
        expect(page.locator("#app-mended")).to_have_count(0)
        assert [] == look.complaints


def test_a_bootstrap_that_is_refused_is_kept_in_the_editor(chromium: Browser, site: Mesh) -> None:
    """Without script: a page says what is wrong with it, and it is not saved."""
    with Look(chromium, site.url, script=False) as look:
        look.sign_in("/panel/apps/hymn/edit")
        before = look.page.get_by_label("Bootstrap").input_value()
        look.page.get_by_label("Bootstrap").fill("deployments: []")
        look.page.get_by_role("button", name="Save", exact=True).click()
        expect(look.page.locator("#verdict")).to_contain_text("import_path")
        expect(look.page.get_by_label("Bootstrap")).to_have_value("deployments: []")
        look.page.goto("/panel/apps/hymn/edit")
        expect(look.page.get_by_label("Bootstrap")).to_have_value(before)


def test_somebody_elses_page_is_no_page_of_apps(chromium: Browser, site: Mesh) -> None:
    """An app that there is not is said to be missing, also at an address that is none."""
    with Look(chromium, site.url) as look:
        look.sign_in()
        for address in ("nothing", quote("../x", safe=""), "hymn/nonsense"):
            look.page.goto(f"/panel/apps/{address}")
            expect(look.page.get_by_role("heading", level=1)).to_have_text(re.compile("no such page|like this"))
