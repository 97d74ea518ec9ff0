"""Agents and crews: made, talked with, run."""

import re

from playwright.sync_api import Browser, expect

from agentmesh.testing import Mesh
from tests.gateway.web.browser.looking import WAIT_MS, Jobs, Look

expect.set_options(timeout=WAIT_MS)


def test_an_agent_is_made_talked_with_and_deleted(chromium: Browser, site: Mesh) -> None:
    """Its answer comes without a reload, and a second thing that is said goes on with the same conversation."""
    with Look(chromium, site.url) as look:
        page = look.page
        look.sign_in("/panel/new-agent")
        page.get_by_role("textbox", name="Name").fill("Abacus")
        page.get_by_role("textbox", name="Role").fill("Reckoner")
        page.get_by_role("checkbox", name="calculator").check()
        page.get_by_role("button", name="Make it").click()
        expect(page.get_by_role("heading", name="Abacus", exact=True)).to_be_visible()
        page.get_by_label("Your message").fill("use the calculator on 6*7")
        page.get_by_label("Your message").press("Enter")
        page.wait_for_url(re.compile("/chat/"))
        expect(page.locator("#message-1")).to_contain_text("42")
        assert [] == look.violations()
        page.get_by_label("Your message").fill("use the calculator on 2+3")
        page.get_by_role("button", name="Send").click()
        expect(page.locator("#message-3")).to_contain_text("5")
        expect(page.locator("#answering")).to_have_count(0)
        page.locator("#message-1 a").last.click()
        expect(page.get_by_role("region", name="Timeline")).to_be_visible()
        page.go_back()
        page.get_by_role("link", name="Definition").click()
        page.get_by_role("textbox", name="Goal").fill("Sums that are right")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("textbox", name="Goal")).to_have_value("Sums that are right")
        page.get_by_text("Delete this agent").click()
        page.get_by_role("button", name="Delete Abacus").click()
        page.wait_for_url("**/panel/agents")
        expect(page.get_by_role("link", name="Abacus")).to_have_count(0)
        assert [] == look.complaints


def test_a_crew_asks_for_what_its_tasks_name(chromium: Browser, site: Mesh, jobs: Jobs) -> None:
    """Without script: what is missing is asked for, and running it leads to its execution."""
    with Look(chromium, site.url, script=False) as look:
        look.sign_in(jobs.crew)
        for field in look.page.locator("form[action$='/run'] input").all():
            field.fill("tea")
        look.page.get_by_role("button", name="Run", exact=True).click()
        look.page.wait_for_url(re.compile(r"/panel/executions/[0-9a-f]{24}$"))
