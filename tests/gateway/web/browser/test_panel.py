"""Every page of the panel, as people see it."""

import re

import pytest
from playwright.sync_api import Browser, expect

from agentmesh.testing import Mesh
from tests.gateway.web.browser.looking import WAIT_MS, Jobs, Look

expect.set_options(timeout=WAIT_MS)


def pages(jobs: Jobs) -> list[str]:
    """Return every page, with something on it and without."""
    done, asking = f"/panel/executions/{jobs.done}", f"/panel/executions/{jobs.asking}"
    tabs = [f"{done}/{tab}" for tab in ("output", "events", "timeline", "files", "inputs")]
    lists = ["/panel/flows", "/panel/flows?q=nothing-like-this", "/panel/executions", "/panel/executions?state=failed"]
    apps = ["/panel/apps", "/panel/deploy", *(f"/panel/apps/hymn{tab}" for tab in ("", "/log", "/edit"))]
    payments = ["/panel/payments", f"/panel/payments/{jobs.unpaid}"]
    agents = [
        "/panel/agents",
        "/panel/models",
        "/panel/models/one?provider=openai&model=gpt-4o-mini&endpoint=",
        "/panel/new-tool",
        "/panel/tools/calculator",
        "/panel/new-agent",
        *(f"{jobs.agent}{tab}" for tab in ("", "/definition", "/memory")),
    ]
    crews = ["/panel/new-crew", *(f"{jobs.crew}{tab}" for tab in ("", "/definition", "/memory", "/executions"))]
    return [
        *lists,
        *apps,
        *payments,
        *agents,
        *crews,
        *(f"/panel/access/{tab}" for tab in ("keys", "sessions", "password", "people")),
        jobs.user,
        "/panel/system",
        "/panel/run/hymn",
        "/panel/inbox",
        done,
        *tabs,
        asking,
        f"{asking}/timeline",
    ]


def test_every_page_is_for_everybody(chromium: Browser, site: Mesh, jobs: Jobs) -> None:
    """axe-core and the browser find nothing wrong, no other host is asked, and nothing is wider than the window."""
    with Look(chromium, site.url) as look:
        look.page.goto("/")
        found = look.everywhere()
        look.sign_in()
        for path in pages(jobs):
            look.page.goto(path)
            found += look.everywhere()
        complaints = list(look.complaints)
        look.page.goto("/panel/nothing")
        found += look.everywhere()

    assert [] == found
    assert [] == complaints


def test_a_theme_that_is_chosen_stays(chromium: Browser, site: Mesh) -> None:
    """Whatever the system's is; the page one was on comes back."""
    with Look(chromium, site.url, theme="light") as look:
        look.sign_in("/panel/inbox")
        look.page.locator("details.menu summary").click()
        look.page.get_by_role("button", name="Dark").click()
        expect(look.page.locator("html")).to_have_attribute("data-theme", "dark")
        assert look.page.url.endswith("/panel/inbox")
        look.page.goto("/panel/flows")
        expect(look.page.locator("html")).to_have_attribute("data-theme", "dark")
        assert [] == look.violations()


@pytest.mark.parametrize("script", [True, False])
def test_a_flow_is_found_run_and_watched(chromium: Browser, site: Mesh, script: bool) -> None:
    """With script the result comes by itself; without, it is there when the page is loaded again."""
    with Look(chromium, site.url, script=script) as look:
        look.sign_in()
        look.page.get_by_label("Search flows").fill("hymn")
        if not script:
            look.page.get_by_role("button", name="Search").click()
        expect(look.page.locator("article")).to_have_count(1)
        look.page.get_by_role("link", name="Hymn").click()
        look.page.get_by_label("Topic").fill("the wind")
        look.page.get_by_role("button", name="Run").click()
        look.page.wait_for_url(re.compile(r"/panel/executions/[0-9a-f]{24}$"))
        if script:
            expect(look.page.locator(".badge.good")).to_be_visible()
        else:
            while not look.page.locator(".badge.good").count():
                look.page.reload()
        expect(look.page.get_by_role("region", name="Result")).to_contain_text("Hymn Title")
        assert [] == look.complaints


def test_inputs_that_are_refused_come_back_with_why(chromium: Browser, site: Mesh) -> None:
    """What was typed is kept, and the field says what is wrong with it."""
    with Look(chromium, site.url) as look:
        look.sign_in("/panel/run/hymn")
        expect(look.page.get_by_text("creates a short hymn")).to_have_count(1)  # its form and its description say it
        look.page.get_by_label("Topic").fill("x" * 500)
        look.page.get_by_role("button", name="Run").click()
        topic = look.page.get_by_label("Topic")
        expect(topic).to_have_attribute("aria-invalid", "true")
        expect(topic).to_have_value("x" * 500)
        assert [] == look.violations()


def test_a_question_is_answered_where_it_is_asked(chromium: Browser, site: Mesh, jobs: Jobs) -> None:
    """From the inbox; another window that looks at the execution sees it without a reload."""
    with Look(chromium, site.url) as look, Look(chromium, site.url) as other:
        other.sign_in(f"/panel/executions/{jobs.asking}")
        whole = re.compile(r"^\d.* left\s+until \d{4}-\d\d-\d\d \d\d:\d\d UTC$")  # where no tooltip is, too
        expect(other.page.locator("[id^=lock-] .deadline")).to_have_text(whole)
        look.sign_in("/panel/inbox")
        row = look.page.locator("#part li", has=look.page.locator(f"a[href*='{jobs.asking}']"))
        for text in ("Masumi Two-Stage Service", "sumi-test · Ada", "Say hello · The service waits"):
            expect(row).to_contain_text(text)
        expect(row.locator(".deadline")).to_have_text(whole)
        row.get_by_role("link", name="Answer").click()
        question = look.page.locator("[id^=lock-]")
        for field in question.locator("input:not([type=hidden]), textarea").all():
            if field.get_attribute("type") in (None, "text") and not field.input_value():
                field.fill("Good morning")
        asked = site.client.create_job("sumi-test", {"name": "Eve", "date": "2999-01-01"})
        while not list(site.client.locks(asked.name)):
            assert site.client.job(asked.name).state.lower() not in ("failed", "cancelled")
        question.locator("button").first.click()
        expect(
            look.page.get_by_role("link", name=re.compile(r"\d more questions? waits? in your inbox"))
        ).to_be_visible()
        site.client.cancel(asked.name)
        expect(other.page.locator("[id^=lock-]")).to_have_count(0)
        expect(other.page.locator(".badge.good")).to_be_visible()


def test_a_long_log_is_shown_a_page_at_a_time(chromium: Browser, site: Mesh) -> None:
    """However many events there are, a page has some hundreds; every one of them can be reached."""
    with Look(chromium, site.url) as look:
        look.sign_in()
        job = site.client.create_job("throughput", {"events": 1000, "rate": 0, "size": 0})
        site.client.wait(job.name, timeout_s=WAIT_MS / 1000)
        look.page.goto(f"/panel/executions/{job.id}/events")
        numbers = []
        while True:
            rows = look.page.locator("#log li")
            numbers += [int(row.split("-")[1]) for row in rows.evaluate_all("all => all.map((row) => row.id)")]
            assert 0 < rows.count() <= 200
            earlier = look.page.get_by_role("link", name="Earlier")
            if not earlier.count():
                break
            look.page.goto(earlier.get_attribute("href") or "")
        assert set(range(1, max(numbers) + 1)) == set(numbers)
        assert max(numbers) > 1000
        assert [] == look.violations()
        assert [] == look.complaints


@pytest.mark.parametrize("script", [True, False])
def test_a_phone_has_a_menu_and_all_tabs(chromium: Browser, site: Mesh, jobs: Jobs, script: bool) -> None:
    """Without script, too; that there are more tabs beside is seen, and with script the one that is shown."""
    with Look(chromium, site.url, width=390, script=script) as look:
        page = look.page
        look.sign_in()
        link = page.get_by_role("navigation", name="Main").get_by_role("link", name="Executions")
        expect(link).to_be_hidden()
        page.get_by_role("button", name="Menu").click()
        expect(link).to_be_in_viewport()
        assert not script or [] == look.violations()
        link.click()
        page.wait_for_url("**/panel/executions")
        expect(link).to_be_hidden()
        page.goto(f"/panel/executions/{jobs.done}")
        tabs = page.locator(".tabs")
        assert tabs.evaluate("tabs => tabs.scrollWidth > tabs.clientWidth && tabs.scrollLeft === 0")
        tabs.get_by_role("link", name="Inputs").click()
        page.wait_for_url("**/inputs")
        if script:
            expect(tabs.get_by_role("link", name="Inputs")).to_be_in_viewport(ratio=1)
        assert [] == look.complaints


def test_the_keyboard_is_enough(chromium: Browser, site: Mesh) -> None:
    """The first stop leads past the navigation, every stop can be seen, and Escape closes the menu."""
    with Look(chromium, site.url, width=390) as look:
        look.sign_in()
        look.page.goto("/panel/flows")
        look.page.keyboard.press("Tab")
        expect(look.page.get_by_role("link", name="Skip to the content")).to_be_focused()
        stops = []
        for _ in range(12):
            look.page.keyboard.press("Tab")
            stops.append(
                look.page.evaluate(
                    """() => { const at = document.activeElement, box = at.getBoundingClientRect();
                    const own = getComputedStyle(at).outlineStyle, after = getComputedStyle(at, "::after").outlineStyle;
                    return [at.textContent.trim(), box.width > 0 && (own !== "none" || after !== "none")]; }"""
                )
            )
        assert [] == [text for text, seen in stops if not seen]
        look.page.get_by_role("button", name="Menu").focus()
        look.page.keyboard.press("Enter")
        look.page.keyboard.press("Tab")
        expect(look.page.get_by_role("link", name="Flows")).to_be_focused()
        look.page.keyboard.press("Escape")
        expect(look.page.get_by_role("button", name="Menu")).to_be_focused()
        menu = look.page.locator("details.menu")
        menu.locator("summary").focus()
        look.page.keyboard.press("Enter")
        expect(menu).to_have_attribute("open", "")
        look.page.keyboard.press("Escape")
        expect(menu).not_to_have_attribute("open", "")

        look.page.goto("/panel/run/hymn")
        topic = look.page.get_by_label("Topic")
        while not topic.evaluate("field => field === document.activeElement"):
            look.page.keyboard.press("Tab")
        look.page.keyboard.type("the tide")
        look.page.keyboard.press("Enter")
        look.page.wait_for_url(re.compile(r"/panel/executions/[0-9a-f]{24}$"))
        look.page.keyboard.press("Tab")
        expect(look.page.get_by_role("link", name="Skip to the content")).to_be_focused()


def test_who_is_not_signed_in_any_more_comes_back_to_where_they_were(chromium: Browser, site: Mesh) -> None:
    """A link and a search lead to the sign-in; the link is followed afterwards."""
    with Look(chromium, site.url) as look:
        look.sign_in()
        look.context.add_cookies([{"name": "kodosumi_jwt", "value": "stale", "url": site.url}])
        look.page.get_by_label("Search flows").fill("hymn")
        expect(look.page.get_by_role("heading", name="Sign in")).to_be_visible()
        look.page.goto("/panel/executions?state=failed")
        look.page.get_by_label("Name").fill("admin")
        look.page.get_by_label("Password").fill("wrong")
        look.page.get_by_role("button", name="Sign in").click()
        expect(look.page.get_by_role("alert")).to_be_visible()
        look.page.get_by_label("Name").fill("admin")
        look.page.get_by_label("Password").fill("admin")
        look.page.get_by_role("button", name="Sign in").click()
        look.page.wait_for_url("**/panel/executions?state=failed")


def test_an_execution_is_stopped_and_run_again_with_its_inputs(chromium: Browser, site: Mesh) -> None:
    """While others see it in their list without a reload."""
    with Look(chromium, site.url) as look, Look(chromium, site.url) as other:
        other.sign_in("/panel/executions")
        look.sign_in("/panel/run/sumi-test")
        look.page.locator("[name=name]").fill("Grace")
        look.page.locator("[name=date]").fill("2999-01-01")
        look.page.get_by_role("button", name="Run").click()
        look.page.wait_for_url(re.compile(r"/panel/executions/[0-9a-f]{24}$"))
        fid = look.page.url.rpartition("/")[2]
        expect(other.page.locator(f"#row-{fid}")).to_contain_text("Awaiting input")
        look.page.get_by_role("button", name="Cancel").click()
        expect(other.page.locator(f"#row-{fid}")).to_contain_text("Cancelled")
        look.page.goto(f"/panel/executions/{fid}")
        look.page.get_by_role("link", name="Run again").click()
        expect(look.page.locator("[name=name]")).to_have_value("Grace")
        assert [] == look.complaints + other.complaints


def test_several_executions_are_chosen_and_deleted(chromium: Browser, site: Mesh) -> None:
    """What is chosen stays so while the list moves; what goes on cannot be deleted, and that is said."""
    with Look(chromium, site.url) as look:
        fids, topics = [], ("the wind", "<b>the tide</b>")
        look.sign_in()
        for topic in topics:
            look.page.goto("/panel/run/hymn")
            look.page.get_by_label("Topic").fill(topic)
            look.page.get_by_role("button", name="Run").click()
            look.page.wait_for_url(re.compile(r"/panel/executions/[0-9a-f]{24}$"))
            expect(look.page.locator(".badge.good")).to_be_visible()
            fids.append(look.page.url.rpartition("/")[2])
        with look.page.expect_download() as download:
            look.page.get_by_text("Download", exact=True).click()
            look.page.get_by_role("link", name="Events", exact=True).first.click()
        assert download.value.suggested_filename == f"{fids[1]}-events.ndjson"
        look.page.goto("/panel/executions?q=hymn")
        expect(look.page.get_by_role("button", name="Delete")).to_be_hidden()
        for fid, topic in zip(fids, topics, strict=True):
            expect(look.page.locator(f"#row-{fid}")).to_contain_text(f"hymn · {topic}")
            look.page.locator(f"#tick-{fid} input").check()
        expect(look.page.locator("[data-chosen]")).to_have_text("2 chosen:")
        assert [] == look.violations()
        look.page.get_by_role("button", name="Delete").click()
        look.page.wait_for_url("**/panel/executions?q=hymn")
        for fid in fids:
            expect(look.page.locator(f"#row-{fid}")).to_have_count(0)
        assert [] == look.complaints


def test_a_form_says_what_is_wrong_as_one_types(chromium: Browser, site: Mesh) -> None:
    """Of a flow that declares its inputs; what is still empty is not wrong yet, and what is mended is fine again."""
    with Look(chromium, site.url) as look:
        look.sign_in()
        look.deploy("declared", "tests.apps.declared:app")
        expect(look.page.locator(".badge.good")).to_have_text("Running")
        look.page.goto("/panel/run/declared")
        count, text = look.page.locator("[name=count]"), look.page.locator("[name=text]")
        count.fill("9")
        expect(count).to_have_attribute("aria-invalid", "true")
        expect(look.page.locator(".wrong:not(:empty)")).to_have_count(1)
        assert [] == look.violations()
        count.fill("3")
        expect(look.page.locator(".wrong:not(:empty)")).to_have_count(0)
        expect(count).not_to_have_attribute("aria-invalid", "true")
        text.fill("hello")
        look.page.get_by_role("button", name="Run").click()
        expect(look.page.get_by_role("region", name="Result")).to_contain_text("hello")
        assert [] == look.complaints


def test_a_payment_is_followed_to_its_execution(chromium: Browser, site: Mesh, jobs: Jobs) -> None:
    """On a phone and without script, too; times are whole in a tooltip, and what is due is said whole."""
    with Look(chromium, site.url, width=390, script=False) as look:
        look.sign_in("/panel/payments")
        row = look.page.locator(f"#payment-{jobs.unpaid}")
        expect(row.locator("time")).to_have_text(re.compile("ago|just now"))
        expect(row.locator("time")).to_have_attribute("title", re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d UTC$"))
        row.get_by_role("link", name=f"Execution {jobs.unpaid[-8:]}").click()
        look.page.wait_for_url(f"**/panel/executions/{jobs.unpaid}")
        look.page.goto(f"/panel/payments/{jobs.unpaid}")
        last = look.page.get_by_role("complementary", name="Terms").locator("dd", has=look.page.locator("time")).last
        expect(last).to_have_text(re.compile(r"^in \d+ h\s+\d{4}-\d\d-\d\d \d\d:\d\d UTC$"))


def test_what_a_flow_said_stays_beside_its_result(chromium: Browser, site: Mesh) -> None:
    """The last of it, with a link to all of it."""
    with Look(chromium, site.url) as look:
        look.sign_in("/panel/run/throughput")
        look.page.get_by_label("Events", exact=True).fill("30")
        look.page.get_by_role("button", name="Run", exact=True).click()
        look.page.wait_for_url(re.compile(r"/panel/executions/[0-9a-f]{24}$"))
        expect(look.page.get_by_role("region", name="Result")).to_contain_text("events")
        said = look.page.get_by_role("region", name="Along the way")
        expect(said.locator(".prose")).to_have_count(20)
        assert [] == look.everywhere()
        said.get_by_role("link", name="Events").click()
        expect(look.page.get_by_role("list", name="Events").get_by_role("listitem")).to_have_count(31)
        assert [] == look.complaints


def test_waiting_is_the_same_everywhere(chromium: Browser, site: Mesh, jobs: Jobs) -> None:
    """Who waits for an answer or a payment is neither queued nor running."""
    with Look(chromium, site.url) as look:
        look.sign_in("/panel/executions?state=waiting")
        expect(look.page.locator(f"#row-{jobs.unpaid}")).to_be_visible()
        look.page.goto("/panel/system")
        queue = look.page.get_by_role("region", name="Queues").locator("tr", has_text="paid")
        expect(queue.locator("td.number")).to_have_text(["0 queued", "0", "1", "1"])
