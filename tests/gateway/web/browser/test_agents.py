"""Agents and crews: made, talked with, run."""

import re

import pytest
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
        expect(page.locator(".tag")).to_have_text("offline")  # no model was named
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


@pytest.mark.parametrize("script", [True, False])
def test_a_crew_is_made_changed_and_deleted(chromium: Browser, site: Mesh, script: bool) -> None:
    """With its tasks, also without script; what cannot be kept is said beside its field, and what was written stays."""
    title = f"Survey {'with' if script else 'without'}"
    with Look(chromium, site.url, script=script) as look:
        page = look.page
        look.sign_in("/panel/new-crew")
        page.get_by_label("Name").fill(title)
        page.locator("#manager_model").fill("gpt-4o")
        page.get_by_role("checkbox", name="Atlas").check()
        page.get_by_role("button", name="Make it").click()
        expect(page.get_by_role("alert")).to_be_visible()
        expect(page.locator("#manager_provider")).to_have_attribute("aria-invalid", "true")
        expect(page.locator("#manager_provider-wrong")).to_contain_text("Must not be empty")
        expect(page.get_by_label("Name")).to_have_value(title)
        assert not script or [] == look.violations()
        page.locator("#manager_model").fill("")
        page.get_by_label("Tasks at a time").fill("2")
        page.get_by_role("button", name="Make it").click()
        page.wait_for_url("**/definition#tasks")

        add = page.locator("details", has=page.locator("button", has_text="Add it"))
        for description, first in (("Look at {place}", ""), ("Draw a map of {place}", "Look at {place}")):
            add.locator("summary").first.click()
            if not first:  # of a sequential crew somebody does each
                add.get_by_label("What to do").fill(description)
                add.get_by_role("button", name="Add it").click()
                expect(page.locator(".wrong", has_text="which agent")).to_be_visible()
            else:
                add.get_by_label("What to do").fill(description)
                add.get_by_role("checkbox", name=first).check()
            add.get_by_label("Who does it").select_option(label="Atlas")
            add.get_by_role("button", name="Add it").click()
            expect(page.locator("summary", has_text=description)).to_be_visible()
        page.get_by_role("link", name="Tasks").click()
        expect(page.get_by_text("After Look at {place}")).to_be_visible()
        expect(page.get_by_label("Place")).to_be_visible()
        page.get_by_role("link", name="Definition").click()
        before = page.locator("details", has_text="1. Look at {place}").first
        before.locator("summary").first.click()
        before.get_by_role("button", name="Delete").click()
        expect(before.get_by_role("alert")).to_contain_text("depends")
        after = page.locator("details", has_text="2. Draw a map").first
        after.locator("summary").first.click()
        after.get_by_role("button", name="Delete").click()
        expect(page.locator("summary", has_text="Draw a map")).to_have_count(0)
        long = "They know the ground. " * 20
        page.get_by_label("Description").first.fill(long)
        page.get_by_role("button", name="Save").first.click()
        expect(page.get_by_label("Description").first).to_have_value(long)
        page.goto("/panel/agents")
        card = page.locator("article", has_text=title)
        folded = card.locator(".fold > p").bounding_box()
        card.get_by_text("More").click()
        expect(card.get_by_text("Less")).to_be_visible()
        whole = card.locator(".fold > p").bounding_box()
        assert folded
        assert whole
        assert 2 * folded["height"] < whole["height"]
        assert not script or [] == look.violations()
        page.get_by_role("link", name=title).click()
        page.get_by_role("link", name="Definition").click()
        page.get_by_text("Delete this crew").click()
        page.get_by_role("button", name=f"Delete {title}").click()
        page.wait_for_url("**/panel/agents")
        expect(page.get_by_role("link", name=title)).to_have_count(0)


def test_a_tool_is_made_changed_and_deleted(chromium: Browser, site: Mesh) -> None:
    """Without script: its token is kept and never shown, and stays if none is written; what is wrong is said."""
    with Look(chromium, site.url, script=False) as look:
        page = look.page
        look.sign_in("/panel/new-tool")
        page.get_by_role("textbox", name="Name").fill("weather")
        page.get_by_label("Endpoint").fill("https://tools.example.com/weather")
        page.get_by_label("Token", exact=True).fill("sesame-open")
        page.get_by_role("button", name="Make it").click()
        expect(page.locator("#auth-wrong")).to_contain_text("how the token is sent")
        page.get_by_label("How it is authorised").select_option("bearer")
        page.get_by_label("Token", exact=True).fill("sesame-open")
        page.get_by_role("button", name="Make it").click()
        page.wait_for_url("**/panel/agents#tools")
        page.get_by_role("link", name="weather", exact=True).click()
        expect(page.get_by_text("One is kept.")).to_be_visible()
        assert "sesame-open" not in page.content()
        page.get_by_label("What it does").fill("Tells how it will be.")
        page.get_by_role("checkbox", name="Agents may use it").uncheck()
        page.get_by_role("button", name="Save").click()
        row = page.locator("tr", has_text="weather")
        expect(row).to_contain_text("Switched off")
        expect(row).to_contain_text("Tells how it will be.")
        row.get_by_role("link").click()
        expect(page.get_by_text("One is kept.")).to_be_visible()
        page.get_by_text("Delete this tool").click()
        page.get_by_role("button", name="Delete weather").click()
        page.wait_for_url("**/panel/agents#tools")
        expect(page.get_by_role("link", name="weather", exact=True)).to_have_count(0)
        page.get_by_role("link", name="calculator", exact=True).click()
        expect(page.get_by_role("heading", name="calculator")).to_be_visible()
        expect(page.get_by_role("button", name="Save")).to_have_count(0)
        schema = page.locator("pre")
        expect(schema).to_contain_text(re.compile(r'^\{\n  "'))
        page.get_by_text("JSON Schema").click()
        expect(schema).to_be_hidden()


def test_a_crew_asks_for_what_its_tasks_name(chromium: Browser, site: Mesh, jobs: Jobs) -> None:
    """Without script: what is missing is asked for, and running it leads to its execution."""
    with Look(chromium, site.url, script=False) as look:
        look.sign_in(jobs.crew)
        for field in look.page.locator("form[action$='/run'] input").all():
            field.fill("tea")
        look.page.get_by_role("button", name="Run", exact=True).click()
        look.page.wait_for_url(re.compile(r"/panel/executions/[0-9a-f]{24}$"))
