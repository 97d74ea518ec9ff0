"""The log of an execution: what each event says, and the JSON that it is."""

import re

from playwright.sync_api import Browser, expect

from agentmesh.testing import Mesh
from tests.gateway.web.browser.looking import WAIT_MS, Jobs, Look

expect.set_options(timeout=WAIT_MS)


def test_events_are_said_in_words_with_their_json_below(chromium: Browser, site: Mesh, jobs: Jobs) -> None:
    """Which is folded and can be copied; without script it can be unfolded, too."""
    with Look(chromium, site.url) as look:
        look.context.grant_permissions(["clipboard-read", "clipboard-write"])
        look.sign_in(f"/panel/executions/{jobs.done}/events")
        expect(look.page.get_by_role("link", name="in your inbox")).to_have_count(0)  # where nothing is asked
        row = look.page.locator("#log li", has=look.page.locator(".kind", has_text=re.compile("^inputs$")))
        expect(row.locator(".pairs")).to_have_text(re.compile(r"Topic\s*the sea"))
        expect(look.page.locator("#log .badge.good")).to_have_text("Succeeded")
        expect(row.locator("pre")).to_be_hidden()
        row.locator("summary").press("Enter")
        expect(row.locator("pre")).to_contain_text('"topic": "the sea"')
        row.get_by_role("button", name="Copy").click()
        expect(row.get_by_role("button", name="Copied")).to_be_visible()
        assert '"topic": "the sea"' in look.page.evaluate("navigator.clipboard.readText()")
        assert [] == look.everywhere()
        assert [] == look.complaints
    with Look(chromium, site.url, script=False) as bare:
        bare.sign_in(f"/panel/executions/{jobs.done}/events")
        bare.page.locator("#log summary").first.click()
        expect(bare.page.locator("#log pre").first).to_be_visible()
        expect(bare.page.get_by_role("button", name="Copy")).to_have_count(0)


def test_what_is_unfolded_stays_so_while_more_happens(chromium: Browser, site: Mesh) -> None:
    """Rows do not change: those that are there are left alone."""
    with Look(chromium, site.url) as look:
        look.sign_in()
        job = site.client.create_job("throughput", {"events": 40, "rate": 4, "size": 0})
        look.page.goto(f"/panel/executions/{job.id}/events")
        first = look.page.locator("#log details").first
        first.locator("summary").click()
        rows = look.page.locator("#log li").count()
        expect(look.page.locator(f"#log li:nth-child({rows + 3})")).to_be_visible()
        expect(first).to_have_attribute("open", "")
        expect(look.page.locator(".head .badge.good")).to_be_visible()
        expect(first).to_have_attribute("open", "")
        assert [] == look.complaints
