"""What people see while a service is away, and that everything comes back without their doing anything."""

import contextlib
from collections.abc import Iterator

import psutil
from playwright.sync_api import Browser, expect

from agentmesh.testing import Mesh
from tests.gateway.web.browser.looking import WAIT_MS, Jobs, Look
from tests.mesh_wide import meshes

expect.set_options(timeout=WAIT_MS)


@contextlib.contextmanager
def away(mesh: Mesh, module: str) -> Iterator[None]:
    """Have a service stand still for the length of the block: it neither answers nor hangs up."""
    process: psutil.Process = meshes.child(mesh, module)
    process.suspend()
    try:
        yield
    finally:
        process.resume()


def test_pages_say_that_the_runner_is_away_and_come_back(chromium: Browser, site: Mesh, jobs: Jobs) -> None:
    """What it is not needed for is there, the rest says who is missed, and System still says how the others are."""
    with (
        Look(chromium, site.url) as live,
        Look(chromium, site.url) as system,
        Look(chromium, site.url) as look,
        Look(chromium, site.url, script=False) as bare,
    ):
        live.sign_in("/panel/executions")
        system.sign_in("/panel/system")
        look.sign_in("/panel/flows")
        bare.sign_in("/panel/flows")
        runner = system.page.locator("tr", has=system.page.get_by_role("cell", name="runner", exact=True))
        expect(runner).to_contain_text("Serving")
        old = live.page.get_by_text("What is shown may be old")
        expect(old).to_be_hidden()
        with away(site, "services.runner"):
            expect(old).to_be_visible()
            expect(runner.locator(".badge.bad")).to_be_visible()
            expect(system.page.get_by_text("Not known while the runner does not answer.")).to_be_visible()
            system.page.reload()
            expect(runner.locator(".badge.bad")).to_be_visible()
            assert [] == system.violations()
            look.page.goto("/panel/agents")
            expect(look.page.get_by_role("link", name="Atlas")).to_be_visible()
            look.page.goto("/panel/flows")
            expect(look.page.get_by_text("The runner does not answer.")).to_be_visible()
            for each in (look, bare):
                each.page.goto("/panel/executions")
                expect(
                    each.page.get_by_text("The runner does not answer. This page comes back by itself.")
                ).to_be_visible()
                expect(each.page.get_by_role("link", name="System").last).to_be_visible()
            assert [] == look.violations()
        for each in (look, bare):
            expect(each.page.get_by_role("heading", name="Executions")).to_be_visible()
        expect(old).to_be_hidden()
        expect(runner).to_contain_text("Serving")


def test_without_the_registry_pages_come_back(chromium: Browser, site: Mesh, jobs: Jobs) -> None:
    """A page that it is needed for says so, others are there."""
    with Look(chromium, site.url) as look:
        look.sign_in("/panel/inbox")
        with away(site, "services.registry"):
            look.page.goto("/panel/inbox")
            expect(look.page.get_by_role("heading", name="Inbox")).to_be_visible()
            look.page.goto("/panel/flows")
            expect(
                look.page.get_by_text("The registry does not answer. This page comes back by itself.")
            ).to_be_visible()
        expect(look.page.get_by_role("link", name="Hymn")).to_be_visible()
