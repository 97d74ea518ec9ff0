"""The panel in a real Chromium: how late it shows what happens, and what 50,000 events cost a page.

A mesh of its own.  Flow, mesh and browser are on one machine, so an event's `time` and the browser's clock are one.
"""

import contextlib
import os
import statistics
import time
from collections.abc import Iterator
from typing import Any

from agentmesh.client import Client
from agentmesh.testing import Mesh, running_mesh
from benchmarks.apps import ROOT
from benchmarks.crowds import say
from benchmarks.figures import Figure, percentile

EVENTS = 50_000
SHOWN = 60
RATE = 4.0
"""Events a second of the run that is watched: further apart than what the panel waits between two parts of a page."""
_CHROMIUM = "/usr/bin/chromium"
_WITHIN_MS = 120_000
_SEEN_TARGET_MS = 200.0
# The page is asked how late each event was when it first stood there; those that it began with do not count.
_LISTEN = """() => {
  const seen = new Set();
  window.late = [];
  const look = (counts) => {
    for (const line of document.querySelectorAll("#log li")) {
      const emitted = line.textContent.match(/"time": ?([0-9.]+)/);
      if (!emitted || seen.has(line.id)) continue;
      seen.add(line.id);
      if (counts) window.late.push(Date.now() - 1000 * Number(emitted[1]));
    }
  };
  look(false);
  new MutationObserver(() => look(true)).observe(document.body, {childList: true, subtree: true, characterData: true});
}"""


def measure() -> list[Figure]:
    """Start a mesh and a browser, and measure."""
    with running_mesh(examples=True, cwd=ROOT) as mesh, Client(mesh.url) as client, _page(mesh) as page:
        client.login("admin", "admin")
        return [*_seen(client, page), *_many(client, page)]


def _seen(client: Client, page: Any) -> list[Figure]:
    job = client.create_job("throughput", {"events": SHOWN, "rate": RATE, "size": 0})
    page.goto(f"/panel/executions/{job.id}/events")
    page.evaluate(_LISTEN)
    client.wait(job.name, timeout_s=_WITHIN_MS / 1000)
    page.wait_for_selector(".badge.good", timeout=_WITHIN_MS)
    late = [float(each) for each in page.evaluate("window.late")]
    say(f"{len(late)} events seen as they happened")
    note = f"{len(late)} events at {RATE:g}/s, from `tracer.result` to the row in the page, without a reload"
    return [
        Figure(name="event on the panel, p50", value=percentile(late, 50), unit="ms", note=note),
        Figure(
            name="event on the panel, p99", value=percentile(late, 99), unit="ms", target=_SEEN_TARGET_MS, note=note
        ),
    ]


def _many(client: Client, page: Any) -> list[Figure]:
    job = client.create_job("throughput", {"events": EVENTS, "rate": 0, "size": 0})
    client.wait(job.name, timeout_s=_WITHIN_MS / 1000)
    figures = []
    for name, query in (("newest", ""), ("in the middle", f"?after={EVENTS // 2}"), ("of one kind", "?kind=said")):
        taken = []
        for _ in range(5):
            begin = time.perf_counter()
            page.goto(f"/panel/executions/{job.id}/events{query}")
            taken.append((time.perf_counter() - begin) * 1000)
        rows, nodes = page.evaluate("['#log li', '*'].map((all) => document.querySelectorAll(all).length)")
        note = f"of {EVENTS} events; {rows} rows and {nodes} elements in the page, median of {len(taken)}"
        figures.append(Figure(name=f"events tab, {name}", value=statistics.median(taken), unit="ms", note=note))
    return figures


@contextlib.contextmanager
def _page(mesh: Mesh) -> Iterator[Any]:
    """Return a page of a browser that is signed in."""
    from playwright.sync_api import sync_playwright  # of the tests' extra

    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=arguments)
        page = browser.new_context(base_url=mesh.url, viewport={"width": 1280, "height": 800}).new_page()
        page.goto("/panel/flows")
        page.get_by_label("Name").fill("admin")
        page.get_by_label("Password").fill("admin")
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/panel/flows")
        yield page
        browser.close()
