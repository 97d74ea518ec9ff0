"""The timeline: the caller's executions in pages, and what changed."""

import json
from typing import Any

import pytest
from agentmesh_protos.runner.v1 import job_pb2

from tests.gateway.stage import Stage, at, job

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(autouse=True)
def _nothing_yet(stage: Stage) -> None:
    stage.runner.jobs.clear()
    stage.runner.listed.clear()


async def test_an_item_shows_what_an_execution_is_about(stage: Stage) -> None:
    """An item has the documented keys; times are ISO-8601 in UTC, the runtime is in seconds."""
    stage.runner.add(job(stage.owner, "SUCCEEDED"))
    stage.runner.add(job(stage.owner, "QUEUED"))
    body = (await stage.alice.get("/timeline/list")).json()
    assert body["query"] is None
    assert body["offset"] is None
    queued, done = body["items"]
    assert done == {
        "fid": done["fid"],
        "tags": ["CrewAi", "Test"],
        "summary": "Hymn Creator",
        "inputs": {"dict": {"topic": "x"}},
        "status": "finished",
        "startup": "2025-05-21T07:52:50.500000+00:00",
        "finish": "2025-05-21T07:53:16.802532+00:00",
        "runtime": pytest.approx(26.302532),
        "locks": [],
    }
    assert (queued["status"], queued["finish"]) == ("starting", None)
    assert queued["runtime"] > 26


async def test_pages_follow_each_other(stage: Stage) -> None:
    """Newest first; the offset leads from page to page and is null on the last; nobody sees another's."""
    fids = [stage.runner.add(job(stage.owner)) for _ in range(5)]
    stage.runner.add(job("users/somebody-else"))
    seen: list[str] = []
    offset: str | None = ""
    while offset is not None:
        body = (await stage.alice.get("/timeline/list", params={"pp": "2", "offset": offset})).json()
        assert len(body["items"]) <= 2
        seen += [item["fid"] for item in body["items"]]
        offset = body["offset"]
    assert seen == fids[::-1]
    assert (await stage.bob.get("/timeline/list")).json()["items"] == []


async def test_a_query_narrows(stage: Stage) -> None:
    """`q` goes to the runner and comes back; ten items are a page if nobody says otherwise."""
    stage.runner.add(job(stage.owner, meta_json=json.dumps({"summary": "Prime"})))
    stage.runner.add(job(stage.owner))
    body = (await stage.alice.get("/timeline/list", params={"q": "Prime"})).json()
    assert [item["summary"] for item in body["items"]] == ["Prime"]
    assert body["query"] == "Prime"
    asked = job_pb2.ListJobsRequest(page_size=10, query="Prime", text_bytes_max=4 * 1024 * 1024 // 20)
    assert stage.runner.listed[-1] == asked


@pytest.mark.parametrize(
    ("path", "params", "key"),
    [
        ("/timeline/list", {"pp": "0"}, "pp"),
        ("/timeline/list", {"pp": "-1"}, "pp"),
        ("/timeline/list", {"pp": "many"}, "pp"),
        ("/timeline/list", {"pp": "9" * 50}, "pp"),
        ("/timeline/list", {"offset": "x"}, "offset"),
        ("/timeline/changes", {"since": "yesterday"}, "since"),
        ("/timeline/changes", {"since": "nan"}, "since"),
    ],
)
async def test_bad_parameters_are_named(stage: Stage, path: str, params: dict[str, Any], key: str) -> None:
    """A parameter that cannot be read is a 400 that names it."""
    response = await stage.alice.get(path, params=params)
    assert response.status_code == 400
    assert f"'key': '{key}'" in response.json()["detail"]


async def test_changes_are_told_from_a_moment_on(stage: Stage) -> None:
    """Without a moment only the time is told; with one, what changed since."""
    old = job(stage.owner, update_time=at(1000.0))
    new = job(stage.owner, update_time=at(2000.0))
    stage.runner.add(old)
    fid = stage.runner.add(new)
    first = (await stage.alice.get("/timeline/changes")).json()
    assert (first["update"], first["delete"], first["query"]) == ([], [], None)
    assert first["timestamp"] > 2000
    then = (await stage.alice.get("/timeline/changes", params={"since": "1500.5"})).json()
    assert [item["fid"] for item in then["update"]] == [fid]
    assert then["delete"] == []
    await stage.alice.delete(f"/outputs/{fid}")
    then = (await stage.alice.get("/timeline/changes", params={"since": str(first["timestamp"])})).json()
    assert then["delete"] == [fid]
    assert (await stage.bob.get("/timeline/changes", params={"since": "0"})).json()["delete"] == []
    for moment in ("-1e300", "1e300"):
        assert (await stage.alice.get("/timeline/changes", params={"since": moment})).status_code == 200
    later = (await stage.alice.get("/timeline/changes", params={"since": str(first["timestamp"])})).json()
    assert later["update"] == []
