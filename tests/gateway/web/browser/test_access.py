"""Who may come in, as they and their operator see it."""

from playwright.sync_api import Browser, expect

from agentmesh.testing import Mesh
from tests.gateway.web.browser.looking import WAIT_MS, Look

expect.set_options(timeout=WAIT_MS)


def test_a_key_is_shown_once_and_revoked(chromium: Browser, site: Mesh) -> None:
    """Its token is on the page that made it, and on no other."""
    with Look(chromium, site.url) as look:
        look.sign_in("/panel/access/keys")
        look.page.get_by_role("textbox", name="Name").first.fill("nightly report")
        look.page.get_by_role("button", name="Make a key").click()
        expect(look.page.locator("#token")).to_contain_text("ey")
        assert [] == look.violations()
        look.page.goto("/panel/access")  # where it was once all on one page
        look.page.wait_for_url("**/panel/access/keys")
        expect(look.page.locator("#token")).to_have_count(0)
        look.page.get_by_role("button", name="Revoke nightly report").click()
        expect(look.page.get_by_text("nightly report")).to_have_count(0)
        assert [] == look.complaints


def test_one_sees_and_ends_ones_sessions(chromium: Browser, site: Mesh) -> None:
    """What is open in another browser ends at once; an operator ends those of somebody else."""
    with Look(chromium, site.url) as look, Look(chromium, site.url) as other, Look(chromium, site.url) as third:
        look.sign_in("/panel/access/people")
        look.page.get_by_text("Add somebody").click()
        look.page.locator("#login").fill("hedy")
        look.page.get_by_label("E-mail address").fill("hedy@example.com")
        look.page.get_by_label("First password").fill("frequency-hopping-42")
        look.page.get_by_role("button", name="Add", exact=True).click()
        other.sign_in("/panel/access/sessions", "hedy", "frequency-hopping-42")
        third.sign_in("/panel/executions", "hedy", "frequency-hopping-42")
        other.page.reload()
        sessions = other.page.get_by_role("region", name="Where you are signed in").locator("tbody tr")
        expect(sessions).to_have_count(2)
        expect(sessions.filter(has_text="This one")).to_contain_text("Chrome on Linux")
        expect(sessions.filter(has_text="Unknown")).to_have_count(0)
        assert [] == other.violations()
        sessions.get_by_role("button", name="End").click()
        expect(sessions).to_have_count(1)
        expect(third.page.get_by_role("heading", name="Sign in")).to_be_visible()

        look.page.reload()
        look.page.locator("#user-hedy").get_by_role("link", name="1 session of hedy").click()
        assert [] == look.violations()
        look.page.get_by_role("button", name="End").click()
        expect(look.page.get_by_text("There are none.")).to_be_visible()
        other.page.reload()
        expect(other.page.get_by_role("heading", name="Sign in")).to_be_visible()
        assert [] == look.complaints


def test_somebody_is_added_changes_their_password_and_is_switched_off(chromium: Browser, site: Mesh) -> None:
    """They see no page of operators; what they have open ends when they are switched off."""
    with Look(chromium, site.url) as look, Look(chromium, site.url) as other:
        look.sign_in("/panel/access/people")
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

        other.sign_in("/panel/access/keys", "grace", "cobol-compiler-59")
        expect(other.page.get_by_role("link", name="People")).to_have_count(0)
        assert [] == other.violations()
        for path in ("/panel/apps", "/panel/system", "/panel/deploy", "/panel/apps/hymn", "/panel/access/people"):
            assert 403 == other.page.goto(path).status  # type: ignore[union-attr]
        other.complaints.clear()  # the browser writes each 403 down
        other.page.goto("/panel/access/password")
        other.page.get_by_label("The one you have").fill("cobol-compiler-59")
        other.page.get_by_label("A new one").fill("flow-matic-1955")
        other.page.get_by_label("The new one again").fill("flow-matic-1955")
        other.page.get_by_role("button", name="Change it").click()
        expect(other.page.get_by_role("status")).to_contain_text("It is changed")
        other.page.get_by_role("link", name="Sessions").click()
        sessions = other.page.get_by_role("region", name="Where you are signed in").locator("tbody tr")
        expect(sessions).to_have_count(1)
        expect(sessions).to_contain_text("Chrome on Linux")
        other.page.goto("/panel/executions")
        expect(other.page.get_by_role("heading", name="Executions", exact=True)).to_be_visible()

        look.page.get_by_role("button", name="Switch off grace").click()
        expect(look.page.locator("#user-grace")).to_contain_text("Switched off")
        expect(other.page.get_by_role("heading", name="Sign in")).to_be_visible()
        assert [] == look.complaints
