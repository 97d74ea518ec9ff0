"""The pages of `/docs`: they fit, and an operation may be tried from its page."""

from playwright.sync_api import Browser, expect

from agentmesh.testing import Mesh
from gateway.dialects import DIALECTS
from tests.gateway.web.browser.looking import WIDTHS, Look


def test_every_page_fits(site: Mesh, chromium: Browser) -> None:
    """With everything opened, and its own policy refuses nothing; at one of them axe-core looks, too."""
    with Look(chromium, site.url) as look:
        for path in ("/docs", *(f"/docs/{dialect.name}" for dialect in DIALECTS)):
            look.page.goto(path)
            look.page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
            for width in WIDTHS:
                look.page.set_viewport_size({"width": width, "height": 800})
                wide = look.page.evaluate("document.documentElement.scrollWidth")
                assert wide <= width, f"{path} is {wide} px wide"
                assert path != "/docs/sumi" or [] == look.violations()

        assert [] == look.complaints


def test_an_operation_is_tried_from_its_page(site: Mesh, chromium: Browser) -> None:
    """By who is signed in, and with a key: the answer is shown as it comes."""
    with Look(chromium, site.url, width=390) as look:
        look.sign_in()
        look.page.goto("/docs/mesh")
        operation = look.page.locator("#User_GetSelf")
        operation.locator("summary").click()
        operation.get_by_role("button", name="Send").click()
        expect(operation.get_by_role("status")).to_have_text("200 OK")
        expect(operation.get_by_label("Answer")).to_contain_text('"login": "admin"')

        created = look.page.locator("#Job_CreateJob")
        created.locator("summary").click()
        created.get_by_label("Body").fill('{"target": "flows/hymn", "inputs": {"topic": "the sea"}}')
        created.get_by_role("button", name="Send").click()
        expect(created.get_by_role("status")).to_have_text("200 OK")
        expect(created.get_by_label("Answer")).to_contain_text('"target": "flows/hymn"')

        assert [] == look.complaints
