"""The models that agents have: who answers, and another one for several of them at once."""

import re

from playwright.sync_api import Browser, expect

from agentmesh.testing import Mesh
from tests.gateway.web.browser.looking import WAIT_MS, Look

expect.set_options(timeout=WAIT_MS)


def test_several_agents_are_given_another_model(chromium: Browser, site: Mesh) -> None:
    """Without script: who answers is said, a key is never shown, and who is not chosen keeps what they have."""
    with Look(chromium, site.url, script=False) as look:
        page = look.page
        look.sign_in("/panel/new-agent")
        for number, title in enumerate(("Ida", "Otto", "Uma")):
            page.goto("/panel/new-agent")
            page.get_by_role("textbox", name="Name").fill(title)
            page.locator("#provider").fill("mistral")
            page.locator("#model").fill("small")
            page.locator("#api_key").fill("sesame-open" if number == 0 else "")
            page.get_by_role("button", name="Make it").click()
            expect(page.get_by_role("heading", name=title, exact=True)).to_be_visible()
        page.goto("/panel/agents")
        page.get_by_role("link", name="Models").click()
        row = page.locator("tr", has_text="mistral/small")
        expect(row).to_contain_text(re.compile("Offline for 2 of 3"))
        expect(row).to_contain_text("No key for mistral is kept.")
        expect(row).to_contain_text("1 of 3")
        row.get_by_role("link").click()
        page.get_by_role("checkbox", name="Uma").uncheck()
        page.locator("#endpoint").fill("nowhere")
        page.get_by_role("button", name="Change it").click()
        page.locator("#endpoint").fill("https://models.example.com/v1")
        page.locator("#api_key").fill("sesame-again")
        page.get_by_role("button", name="Change it").click()
        page.wait_for_url("**/panel/models")
        moved = page.locator("tr", has_text="https://models.example.com/v1")
        expect(moved).to_contain_text("Its provider")
        expect(moved).to_contain_text("2 of 2")
        assert "sesame" not in page.content()
        stayed = page.locator("tr", has_text="mistral/small").filter(has_text="The provider’s own")
        expect(stayed).to_contain_text("0 of 1")
        moved.get_by_role("link").click()
        assert "sesame" not in page.content()
        page.locator("#provider").fill("")
        page.locator("#model").fill("")
        page.locator("#endpoint").fill("")
        page.get_by_role("button", name="Change it").click()
        page.wait_for_url("**/panel/models")
        expect(page.locator("tr", has_text="models.example.com")).to_have_count(0)
        expect(page.locator("tr", has_text="Offline, as chosen")).to_contain_text("agents")
        page.goto("/panel/models/one?provider=mistral&model=large")
        expect(page.get_by_text("No agent has this model any more.")).to_be_visible()
