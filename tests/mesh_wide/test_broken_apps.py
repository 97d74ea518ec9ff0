"""Apps and handlers that are broken: whoever wrote them is told why, and nobody else notices."""

import pytest

from tests.mesh_wide.panel import Panel, assert_envelope

APPS = {"formats": "tests.apps.formats:app", "handlers": "tests.apps.handlers:app"}


@pytest.fixture(scope="module", autouse=True)
def _deployed(admin: Panel) -> None:
    admin.deploy(APPS)


@pytest.mark.parametrize(
    ("import_path", "words"),
    [
        ("tests.apps.broken:app", "this app is broken on purpose"),
        ("tests.apps.no_such_module:app", "No module named"),
        (
            "tests.apps.panelist:app",
            "No module named 'kodosumi.service.admin': it is not part of what agentmesh offers",
        ),
        ("tests.apps.formats:no_such_attribute", "no_such_attribute"),
        ("tests.apps.formats:GOLDEN", "GOLDEN"),
    ],
)
def test_apps_that_cannot_be_loaded(admin: Panel, import_path: str, words: str) -> None:
    """A boot with a broken app says why, ends, and leaves the other apps running."""
    admin.expose("broken", import_path)
    try:
        lines = admin.boot()
        assert any(words in line for line in lines), "\n".join(lines)
        assert lines[-1].startswith("✔ Boot completed")
        assert not any("Traceback" in line or ".py" in line for line in lines)
        state = admin.http.get("/expose/broken").json()["state"]
        assert state == "DEPLOY_FAILED"
        assert admin.wait(admin.launch("formats", "text"))["status"] == "finished"
        answer = admin.http.post("/sumi/broken/start_job", json={"identifier_from_purchaser": "x"})
        assert answer.status_code in (404, 503)
    finally:
        admin.http.delete("/expose/broken")


def test_a_bootstrap_without_import_path(admin: Panel) -> None:
    """It is kept, as kodosumi does, and the boot says what is missing."""
    answer = admin.http.post("/expose/", json={"name": "pathless", "bootstrap": "deployments: []"})
    if answer.status_code != 201:
        assert "import_path" in assert_envelope(answer, 400)["detail"]
        return
    try:
        lines = admin.boot()
        assert any("import_path" in line for line in lines), "\n".join(lines)
    finally:
        admin.http.delete("/expose/pathless")


def test_a_handler_that_raises(admin: Panel) -> None:
    """The caller gets a 500 that names the error and nothing of the machine; there is no job."""
    answer = admin.http.post(admin.flow_url("handlers", "raises"), json={})
    assert answer.status_code == 500
    assert "the handler fell over" in answer.json()["detail"]
    assert ".py" not in answer.text
    started = admin.http.post("/sumi/handlers/raises/start_job", json={"identifier_from_purchaser": "x"})
    assert started.status_code == 201
    assert started.json()["status"] == "failed"
    assert "the handler fell over" in started.json()["error"]
    assert ".py" not in started.text


def test_a_handler_that_returns_no_launch(admin: Panel) -> None:
    """The author is told what a handler must return."""
    answer = admin.http.post(admin.flow_url("handlers", "returns"), json={})
    assert answer.status_code == 400
    assert "must return a Launch object" in answer.json()["detail"]


def test_an_entry_point_that_does_not_exist(admin: Panel) -> None:
    """The launch is refused, or the job fails and names what is missing."""
    answer = admin.http.post(admin.flow_url("handlers", "missing"), json={})
    if answer.status_code == 200:
        done = admin.wait(answer.json()["result"])
        assert done["status"] == "error"
        assert "no_such_function" in done["final"]
    else:
        assert "no_such_function" in answer.text
