"""Files are sent with a form, and looked at beside an execution."""

import base64

import pytest
from playwright.sync_api import Browser, FilePayload, expect

from agentmesh.testing import Mesh
from tests.gateway.web.browser.looking import WAIT_MS, Look

expect.set_options(timeout=WAIT_MS)
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
LARGE = b"word " * 300_000
"""More than a piece of what a script sends."""


@pytest.fixture(scope="module")
def uploading(site: Mesh) -> str:
    """Deploy the flow that takes files; return where it is run."""
    site.deploy("uploading", "tests.apps.uploading:fast_app")
    return "/panel/run/uploading"


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_files_are_sent_and_shown(chromium: Browser, site: Mesh, uploading: str, script: bool) -> None:
    """With a script in pieces, without one along with the form; pictures and texts are seen, all can be kept."""
    files = [
        FilePayload(name="notes.txt", mimeType="text/plain", buffer=b"<b>one</b> two"),
        FilePayload(name="dot.png", mimeType="image/png", buffer=PNG),
        FilePayload(name="large.txt", mimeType="text/plain", buffer=LARGE),
    ]
    with Look(chromium, site.url, script=script) as look:
        look.sign_in(uploading)
        if script:
            assert [] == look.violations()
        look.page.get_by_label("Upload Files", exact=True).set_input_files(files)
        look.page.get_by_role("button", name="Run", exact=True).click()
        look.page.wait_for_url("**/panel/executions/*")
        fid = look.page.url.rpartition("/")[2]
        assert "succeeded" == site.client.wait(fid).state
        look.page.goto(f"/panel/executions/{fid}")
        expect(look.page.get_by_role("region", name="Result")).to_contain_text("large.txt: 300000")
        expect(look.page.get_by_role("region", name="Along the way")).to_contain_text("File Processing Started")
        look.page.goto(f"/panel/executions/{fid}/files")

        for name in ("notes.txt", "dot.png", "large.txt", "notes.md", "dot.md", "large.md"):
            expect(look.page.get_by_role("link", name=name)).to_be_visible()
        expect(look.page.get_by_role("img", name="dot.png")).to_be_visible()
        given = look.page.get_by_role("region", name="What it was given")
        expect(given.locator("pre").last).to_have_text("<b>one</b> two")
        answer = look.page.request.get(f"/panel/executions/{fid}/files/in/notes.txt?show")
        assert "application/octet-stream" == answer.headers["content-type"]
        assert LARGE == look.page.request.get(f"/panel/executions/{fid}/files/in/large.txt").body()
        if script:
            assert 1 == look.page.get_by_role("img", name="dot.png").evaluate("image => image.naturalWidth")
            assert [] == look.everywhere()
        assert [] == look.complaints
