"""Forms of definitions: what is wrong is said as one types, and who answers for an agent is said plainly."""

import re

import pytest
from playwright.sync_api import Browser, expect

from agentmesh.testing import Mesh
from tests.gateway.web.browser.looking import WAIT_MS, Look

expect.set_options(timeout=WAIT_MS)


@pytest.mark.parametrize("script", [True, False])
def test_an_agent_without_a_model_says_who_answers(chromium: Browser, site: Mesh, script: bool) -> None:
    """On its page and in the list, with why, until it has what its model needs; limits are kept, and left out again."""
    title = f"Pilgrim {'with' if script else 'without'}"
    with Look(chromium, site.url, script=script) as look:
        page = look.page
        look.sign_in("/panel/new-agent")
        page.get_by_role("textbox", name="Name").fill(title)
        page.get_by_label("Executions at a time").fill("2")
        page.get_by_label("Messages of a conversation").fill("5")
        page.get_by_label("Temperature").fill("0.5")
        page.get_by_role("button", name="Make it").click()
        expect(page.get_by_role("note")).to_contain_text(f"The offline model answers for {title}. It was chosen")
        page.get_by_role("link", name="Choose a model").click()
        expect(page.get_by_label("Executions at a time")).to_have_value("2")
        expect(page.get_by_label("Messages of a conversation")).to_have_value("5")
        expect(page.get_by_label("Temperature")).to_have_value("0.5")
        page.locator("#provider").fill("openai")
        page.get_by_label("Temperature").fill("")
        page.get_by_label("Executions at a time").fill("")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("note")).to_have_text("The offline model answers. No key for openai is kept.")
        expect(page.get_by_label("Temperature")).to_have_value("")
        expect(page.get_by_label("Executions at a time")).to_have_value("")
        page.goto("/panel/agents")
        card = page.locator("article", has_text=title)
        expect(card).to_contain_text("Offline model answers")
        card.get_by_role("link", name=title).click()
        page.get_by_role("link", name="Definition").click()
        page.locator("#api_key").fill("sesame-open")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_text("One is kept.")).to_be_visible()
        expect(page.get_by_text("The offline model answers.")).to_have_count(0)
        page.get_by_text("Delete this agent").click()
        page.get_by_role("button", name=f"Delete {title}").click()
        page.wait_for_url("**/panel/agents")


def test_a_definition_is_checked_as_one_types(chromium: Browser, site: Mesh) -> None:
    """Beside the field, once it was left; what is mended is fine at once, and what keeps the form stays in reach."""
    with Look(chromium, site.url, width=390) as look:
        page = look.page
        look.sign_in("/panel/new-tool")
        expect(page.get_by_role("button", name="Make it")).to_be_in_viewport(ratio=1)
        name, schema = page.get_by_role("textbox", name="Name"), page.get_by_label("JSON Schema")
        name.press_sequentially("9 no")
        expect(page.locator("#display_name-wrong")).to_be_empty()
        name.press("Tab")
        expect(page.locator("#display_name-wrong")).to_have_text(re.compile("Letters, digits"))
        expect(name).to_have_attribute("aria-invalid", "true")
        name.fill("weather")
        expect(page.locator("#display_name-wrong")).to_be_empty()
        schema.fill('{"type": ')
        schema.press("Tab")
        expect(page.locator("#input_schema_json-wrong")).to_contain_text("This is no JSON")
        page.get_by_role("button", name="Make it").click()
        expect(page.get_by_label("Endpoint")).to_be_focused()
        expect(page.locator("#endpoint-wrong")).not_to_be_empty()
        assert [] == look.everywhere()
        page.get_by_label("Endpoint").fill("https://tools.example.com/weather")
        schema.fill('{"type": "object"}')
        expect(page.locator(".wrong:not(:empty)")).to_have_count(0)
        assert page.url.endswith("/panel/new-tool")
        assert [] == look.complaints


@pytest.mark.parametrize("sent", ["many", "-1", "1.5", "1e9", "9" * 400])
def test_what_is_no_number_is_said_beside_its_field(chromium: Browser, site: Mesh, sent: str) -> None:
    """Whatever a browser lets through: nothing is kept, and the rest of what was written stays."""
    with Look(chromium, site.url, script=False) as look:
        look.sign_in("/panel/new-crew")
        form: dict[str, str | float | bool] = {"display_name": "Half", "concurrency_limit": sent}
        answer = look.context.request.post("/panel/new-crew", form=form)
        assert 422 == answer.status
        look.page.set_content(answer.text())
        expect(look.page.locator("#concurrency_limit-wrong")).to_contain_text("Must be a whole number")
        expect(look.page.locator("#display_name")).to_have_value("Half")
