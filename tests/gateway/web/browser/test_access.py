"""Who may come in, as they and their operator see it."""

from playwright.sync_api import Browser, expect

from agentmesh.testing import Mesh
from tests.gateway.web.browser.looking import WAIT_MS, Look

expect.set_options(timeout=WAIT_MS)


def test_a_key_is_shown_once_and_revoked(chromium: Browser, site: Mesh) -> None:
    """Its token is on the page that made it, and on no other."""
    with Look(chromium, site.url) as look:
        look.sign_in("/panel/access")
        look.page.get_by_role("textbox", name="Name").first.fill("nightly report")
        look.page.get_by_role("button", name="Make a key").click()
        expect(look.page.locator("#token")).to_contain_text("ey")
        assert [] == look.violations()
        look.page.goto("/panel/access")
        expect(look.page.locator("#token")).to_have_count(0)
        look.page.get_by_role("button", name="Revoke nightly report").click()
        expect(look.page.get_by_text("nightly report")).to_have_count(0)
        assert [] == look.complaints


def test_somebody_is_added_changes_their_password_and_is_switched_off(chromium: Browser, site: Mesh) -> None:
    """They see no page of operators; what they have open ends when they are switched off."""
    with Look(chromium, site.url) as look, Look(chromium, site.url) as other:
        look.sign_in("/panel/access")
        look.page.get_by_text("Add somebody").click()
        look.page.get_by_label("E-mail address").fill("grace@example.com")
        look.page.locator("#login").fill("grace")
        look.page.get_by_label("First password").fill("grace")
        look.page.locator("#password").evaluate("field => field.removeAttribute('minlength')")
        look.page.get_by_role("button", name="Add", exact=True).click()
        expect(look.page.get_by_role("alert")).to_contain_text("Password")
        expect(look.page.locator("#login")).to_have_value("grace")
        look.complaints.clear()  # the browser writes down that it was refused
        look.page.get_by_label("First password").fill("cobol-compiler-59")
        look.page.get_by_role("button", name="Add", exact=True).click()
        expect(look.page.locator("#user-grace")).to_be_visible()

        other.sign_in("/panel/access", "grace", "cobol-compiler-59")
        expect(other.page.get_by_role("heading", name="People")).to_have_count(0)
        assert [] == other.violations()
        for path in ("/panel/apps", "/panel/system", "/panel/deploy", "/panel/apps/hymn"):
            assert 403 == other.page.goto(path).status  # type: ignore[union-attr]
        other.complaints.clear()  # the browser writes each 403 down
        other.page.goto("/panel/access")
        other.page.get_by_label("The one you have").fill("cobol-compiler-59")
        other.page.get_by_label("A new one").fill("flow-matic-1955")
        other.page.get_by_label("The new one again").fill("flow-matic-1955")
        other.page.get_by_role("button", name="Change it").click()
        other.sign_in("/panel/executions", "grace", "flow-matic-1955")

        look.page.get_by_role("button", name="Switch off grace").click()
        expect(look.page.locator("#user-grace")).to_contain_text("Switched off")
        expect(other.page.get_by_role("heading", name="Sign in")).to_be_visible()
        assert [] == look.complaints
