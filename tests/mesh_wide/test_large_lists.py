"""Results of megabytes: every list that shows them answers, and each is there whole where one asks for it alone."""

from collections.abc import Iterator
from typing import Any

import pytest

from agentmesh.testing import Mesh
from tests.mesh_wide.panel import Panel

COUNT = 5
OUTPUT = "ü" * 1_900_000
CUT = "cut off here"


class Hoarder:
    """A user with jobs of an agent and of a crew, whose results are as large as they may be."""

    def __init__(self, panel: Panel) -> None:
        self.http = panel.http
        self.http.headers["authorization"] = f"Bearer {panel.token}"
        agent = self.post("/mesh/v1/agents", {"display_name": "Hoarder", "model": {"provider": "offline"}})["name"]
        crew = self.post(
            "/mesh/v1/crews",
            {
                "crew": {"display_name": "Hoarders"},
                "new_agents": [{"display_name": "One", "model": {"provider": "offline"}}],
                "new_task_defs": [{"agent": "agents/+0", "description": "Keep it"}],
            },
        )["name"]
        self.jobs = {target: [self.job(target) for _ in range(COUNT)] for target in (agent, crew)}
        self.agent, self.crew = agent, crew

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Call a method that must not fail."""
        answer = self.http.post(path, json=body)
        assert answer.status_code in (200, 201), answer.text[:500]
        return dict(answer.json())

    def job(self, target: str) -> str:
        """Complete a job from outside; return its name."""
        wanted = {"target": target, "inputs": {"prompt": "keep"}, "external": True}
        name = str(self.post("/mesh/v1/jobs", wanted)["name"])
        self.post(f"/mesh/v1/{name}:complete", {"state": "JOB_STATE_SUCCEEDED", "output": OUTPUT})
        return name

    def get(self, path: str) -> Any:
        """Return an answer that must not be refused, nor be larger than a message may be."""
        answer = self.http.get(path)
        assert answer.status_code == 200, (path, answer.status_code, answer.text[:500])
        assert len(answer.content) < 16 * 1024 * 1024
        return answer.json()


@pytest.fixture(scope="module")
def hoarder(mesh: Mesh, admin: Panel) -> Iterator[Hoarder]:
    """Return the user, signed in."""
    role = {"name": "hoarder", "email": "hoarder@example.com", "password": "a hoarder's password"}
    assert admin.http.post("/role/", json=role).status_code == 201
    panel = Panel(mesh.url, role["name"], role["password"])
    yield Hoarder(panel)
    panel.close()


def test_pages_of_the_typed_api_are_shorter(hoarder: Hoarder) -> None:
    """Every job is on one, whole."""
    found: list[str] = []
    token = ""
    while not found or token:
        page = hoarder.get(f"/mesh/v1/jobs?pageSize=1000&pageToken={token}")
        assert all(OUTPUT in job["resultJson"] for job in page["jobs"])
        found += [job["name"] for job in page["jobs"]]
        token = page.get("nextPageToken", "")

    assert sorted(name for names in hoarder.jobs.values() for name in names) == sorted(found)


def test_kasal_shows_all_and_each(hoarder: Hoarder) -> None:
    """On a page that has a number."""
    listed = hoarder.get("/v1/executions?limit=100")["executions"]
    one = hoarder.get(f"/v1/executions/{listed[0]['job_id']}")

    assert COUNT == len(listed)
    assert all(CUT in str(item["result"]) for item in listed)
    assert OUTPUT in str(one["result"])


def test_koda_shows_all_and_each(hoarder: Hoarder) -> None:
    """On one page."""
    items = hoarder.get("/api/runtime/tasks?limit=100")["items"]
    one = hoarder.get(items[0]["links"]["self"])

    assert COUNT == len(items)
    assert OUTPUT in str(one)


def test_codex_and_the_timeline_show_all(hoarder: Hoarder) -> None:
    """With or without a query."""
    names = {name.removeprefix("jobs/") for each in hoarder.jobs.values() for name in each}
    for path in ("/timeline/list?pp=100", "/timeline/list?pp=100&q=keep"):
        assert names == {item["fid"] for item in hoarder.get(path)["items"]}
    assert names == {item["fid"] for item in hoarder.get("/timeline/changes?since=1")["update"]}
    assert COUNT == len(hoarder.get("/api/executions"))
