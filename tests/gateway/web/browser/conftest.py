"""One mesh with the examples, and one Chromium, for all tests of this folder.

They end with the folder's last test, not with the session: while Playwright runs, no other test of the process can
run a loop of its own.
"""

import pathlib
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, sync_playwright

from agentmesh.testing import Mesh
from tests.gateway.web.browser.looking import CHROMIUM, Jobs
from tests.mesh_wide import meshes

_HERE = pathlib.Path(__file__).parent


@pytest.hookimpl(tryfirst=True)  # before xdist looks for groups, though pytest be given this folder
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of this folder to one worker."""
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("browser"))
            item.add_marker(pytest.mark.timeout(300))


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """Return a running mesh."""
    with meshes.running(tmp_path_factory.mktemp("panel"), examples=True) as mesh:
        yield mesh


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """Return a browser, without its sandbox: Chromium has none as root, nor where the kernel lacks namespaces."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def jobs(site: Mesh) -> Iterator[Jobs]:
    """Return jobs in several states: one that is done, and one that waits for an answer."""
    with httpx.Client(base_url=site.url, timeout=60) as client:
        yield Jobs.made(client)
