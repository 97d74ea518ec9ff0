"""How tests look at pages: what a browser complains about, what axe-core does, and where a page asks."""

import dataclasses
import os
import pathlib
import re
import time
from typing import Any, Literal, Self

import httpx
from playwright.sync_api import Browser, BrowserContext, Page, expect

CHROMIUM = "/usr/bin/chromium"
"""Debian's (`tools/servers.sh`)."""
WIDTHS = (1280, 390)
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
WAIT_MS = 60_000
_WAIT_S = WAIT_MS / 1000
_AXE = pathlib.Path(__file__).parent.joinpath("vendor", "axe-core", "axe.min.js").read_text("utf-8")
_VIOLATIONS = """async () => (await axe.run(document, {resultTypes: ["violations"]})).violations.flatMap(
  (rule) => rule.nodes.map((node) => `${rule.id}: ${node.target.join(" ")}: ${node.failureSummary}`))"""

_SMALL = """() => [...document.querySelectorAll("a[href], button, summary, select, textarea, input:not([type=hidden])")]
  .map((each) => (["checkbox", "radio"].includes(each.type) && each.closest("label")) || each)
  .filter((each) => each.checkVisibility({visibilityProperty: true}))
  .filter((each) => !each.matches(".unseen") && getComputedStyle(each).display !== "inline")
  .map((each) => [each, each.getBoundingClientRect()])
  .filter(([, box]) => box.width > 1 && box.height < 43.9)
  .map(([each, box]) => `${each.outerHTML.slice(0, 120)} is ${box.height} px high`)"""
"""What is too small for a finger; a link in a text is as high as its line."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Jobs:
    """Executions to look at."""

    done: str
    asking: str
    unpaid: str
    """It is paid for by nobody."""
    agent: str
    """Where the page of an agent is, and of a crew."""
    crew: str
    user: str
    """Where the page of who has made them is."""

    @classmethod
    def made(cls, client: httpx.Client) -> Self:
        """Run them, and wait until they are what they are called."""
        key = client.post("/login", data={"name": "admin", "password": "admin"}).json()["KODOSUMI_API_KEY"]
        client.cookies.clear()
        client.headers["authorization"] = f"Bearer {key}"
        done = launched(client, "flows/hymn", {"topic": "the sea"})
        asking = launched(client, "flows/sumi-test", {"name": "Ada", "date": "2999-01-01"})
        wait_for(client, done, "JOB_STATE_SUCCEEDED")
        wait_for(client, asking, "JOB_STATE_AWAITING_INPUT")
        unpaid = launched(client, "flows/paid", {"text": "SOS"})
        wait_for(client, unpaid, "JOB_STATE_AWAITING_PAYMENT")
        (agent,) = (each for each in client.get("/mesh/v1/agents").json()["agents"] if each["slug"] == "atlas")
        crew = client.get("/mesh/v1/crews").json()["crews"][0]
        me = client.get("/mesh/v1/self").json()["name"]
        return cls(
            done=done,
            asking=asking,
            unpaid=unpaid,
            agent=f"/panel/{agent['name']}",
            crew=f"/panel/{crew['name']}",
            user=f"/panel/access/{me}",
        )


def launched(client: httpx.Client, flow: str, inputs: dict[str, Any]) -> str:
    """Run a flow; return the id of the execution."""
    answer = client.post("/mesh/v1/jobs", json={"target": flow, "inputs": inputs})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["name"]).removeprefix("jobs/")


def wait_for(client: httpx.Client, fid: str, state: str) -> None:
    """Wait until an execution is in a state."""
    until = time.monotonic() + _WAIT_S
    while (now := client.get(f"/mesh/v1/jobs/{fid}").json()["state"]) != state:
        assert time.monotonic() < until, f"{fid} is {now}, not {state}"
        time.sleep(0.05)


class Look:
    """A page in a browser of its own, and what went wrong in it."""

    def __init__(self, browser: Browser, url: str, *, width: int = 1280, theme: Any = "light", script: bool = True):
        self.context: BrowserContext = browser.new_context(
            base_url=url,
            viewport={"width": width, "height": 800},
            color_scheme=theme,
            java_script_enabled=script,
        )
        self.context.set_default_timeout(WAIT_MS)
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self._url = url
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.page.on("request", self._watch)

    def __enter__(self) -> Self:
        """Look."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the browser's window."""
        self.context.close()

    def sign_in(self, target: str = "/panel/flows", name: str = "admin", password: str = "admin") -> None:
        """Go to a page that wants to know who one is, and say it there."""
        self.page.goto(target)
        self.page.get_by_label("Name").fill(name)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url(f"**{target}")

    def deploy(self, name: str, import_path: str) -> None:
        """Deploy an app, once no boot is under way, and look at what comes of it; somebody is signed in."""
        self.page.goto("/panel/apps")
        expect(self.page.locator("#part .badge.busy")).to_have_count(0)
        self.page.goto("/panel/deploy")
        self.page.get_by_label("Name").fill(name)
        self.page.get_by_label("Bootstrap").fill(f"import_path: {import_path}")
        self.page.get_by_role("button", name="Deploy").click()
        self.page.wait_for_url(f"**/panel/apps/{name}/log")

    def everywhere(self) -> list[str]:
        """Return what is wrong with the page at each width and in each theme.

        With `PANEL_SHOTS`, a folder, a picture of each is kept there for people to look at.
        """
        found: list[str] = []
        for width in WIDTHS:
            self.page.set_viewport_size({"width": width, "height": 800})
            for theme in THEMES:
                self.page.emulate_media(color_scheme=theme)
                wrongs = [*self.violations(), *(self.page.evaluate(_SMALL) if width == min(WIDTHS) else [])]
                found += [f"{self.page.url} at {width} px, {theme}: {wrong}" for wrong in wrongs]
                self._keep(f"{width}-{theme}")
        return found

    def violations(self) -> list[str]:
        """Return what axe-core finds, and whether the page is wider than the window."""
        if not self.page.evaluate("'axe' in window"):
            session = self.context.new_cdp_session(
                self.page
            )  # past the page's own policy, which lets no such script in
            session.send("Runtime.evaluate", {"expression": _AXE})
            session.detach()
        found: list[str] = self.page.evaluate(_VIOLATIONS)
        wide, most = self.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        return found if wide <= most else [*found, f"it is {wide} px wide"]

    def _keep(self, how: str) -> None:
        if folder := os.environ.get("PANEL_SHOTS"):
            name = (
                re.sub(r"[0-9a-f]{20}|[^a-z0-9]+", "-", self.page.url.removeprefix(self._url)).strip("-") or "sign-in"
            )
            self.page.screenshot(path=pathlib.Path(folder, f"{name}-{how}.png"), full_page=True)

    def _hear(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")

    def _watch(self, request: Any) -> None:
        if not request.url.startswith((self._url, "data:")):
            self.complaints.append(f"asks elsewhere: {request.url}")
