"""Whatever a flow says arrives once, in order and unharmed, and harms nobody."""

import json
from collections.abc import Iterator

import psutil
import pytest
from agentmesh_protos.runner.v1 import job_pb2

from agentmesh.testing import Mesh
from tests.apps.outputs import FORGERY
from tests.ending import wait_procs
from tests.families import is_gone
from tests.mesh_wide.grpcapi import Jobs
from tests.mesh_wide.panel import Panel, Sse

APPS = {"outputs": "tests.apps.outputs:app"}


@pytest.fixture(scope="module", autouse=True)
def _deployed(admin: Panel) -> None:
    admin.deploy(APPS)


@pytest.fixture
def jobs(mesh: Mesh, admin: Panel) -> Iterator[Jobs]:
    """Return the job service, as the operator."""
    with Jobs(mesh.url, admin.token) as jobs:
        yield jobs


def run(admin: Panel, path: str) -> list[Sse]:
    """Run a flow and return its whole stream."""
    events = admin.stream(admin.launch("outputs", path))
    assert [event.id for event in events] == list(range(1, len(events) + 1))
    return events


def payloads(events: list[Sse], kind: str) -> list[str]:
    """Return what the events of a kind say."""
    return [event.payload for event in events if event.event == kind]


def test_printing(admin: Panel) -> None:
    """Every line is one event, wherever it was printed; ends are stripped and blank lines dropped (spec §5.1)."""
    events = run(admin, "printing")
    lines = payloads(events, "stdout")
    assert set(lines) == {
        "first",
        "half line",
        "native \ufffd\ufffd",
        "from a thread",
        "from a child",
        "  trailing blanks",
        "no newline at the end",
    }
    assert len(lines) == 7
    assert payloads(events, "stderr") == ["to stderr"]
    assert events[-1].payload == "finished"


def test_a_long_line(admin: Panel) -> None:
    """A line of three million characters arrives, perhaps in pieces; nothing of it is lost without a word."""
    lines = payloads(run(admin, "long-line"), "stdout")
    assert sum(line.count("x") for line in lines) == 3_000_000 or lines[-1].endswith("…")


def test_many_lines(admin: Panel) -> None:
    """Twenty thousand lines arrive in order."""
    assert payloads(run(admin, "many-lines"), "stdout") == [f"line {number}" for number in range(20_000)]


def test_many_events(admin: Panel) -> None:
    """Twenty thousand events of four tasks arrive, each task's in its order."""
    events = [json.loads(payload)["dict"] for payload in payloads(run(admin, "many-events"), "result")]
    for task in range(4):
        assert [event["number"] for event in events if event["task"] == task] == list(range(5_000))


def test_no_text_forges_an_event(admin: Panel) -> None:
    """Line breaks of any kind in a text stay within its event: nobody can write into the stream what did not happen."""
    fid = admin.launch("outputs", "strange-text")
    admin.wait(fid)
    raw = admin.http.get(f"/outputs/stream/{fid}").content
    blocks = [block for block in raw.split(b"\r\n\r\n") if block]
    assert all(block.startswith(b"id: ") for block in blocks)
    assert not any(line.startswith(b"id: 99") for line in raw.replace(b"\r", b"\n").split(b"\n"))
    statuses = payloads(admin.stream(fid), "status")
    assert statuses == ["starting", "running", "finished"]
    for page in ("main", "stdio", "main", "stdio"):
        text = admin.http.get(f"/outputs/{page}/{fid}").text
        assert "\nid: 99" not in text.replace("\r", "\n")


def test_strange_text_survives(admin: Panel, jobs: Jobs) -> None:
    """Colours, emoji and control characters are kept; what UTF-8 cannot carry is replaced."""
    fid = admin.launch("outputs", "strange-text")
    events = jobs.watch(fid)
    assert next(event.payload for event in events if event.kind == "debug") == FORGERY
    final = next(event.payload for event in events if event.kind == "final")
    assert json.loads(final) == {"str": FORGERY}
    (text,) = [json.loads(e.payload)["Text"]["body"] for e in events if e.kind == "result" and "Text" in e.payload]
    assert text.startswith("Grüße 🎈 \x1b[31mred\x1b[0m \x00 \u2028 ")
    assert text.endswith(" end")
    assert admin.http.get(f"/outputs/html/{fid}").status_code == 200


def test_a_result_that_is_too_large(admin: Panel) -> None:
    """The job fails and says what was too large; the mesh does not."""
    fid = admin.launch("outputs", "large-result")
    done = admin.wait(fid)
    assert done["status"] == "error"
    assert "characters" in json.loads(done["final"])["Text"]["body"]


def test_a_result_that_json_does_not_know(admin: Panel) -> None:
    """Anything can be returned: it becomes the nearest thing that JSON has."""
    done = admin.wait(admin.launch("outputs", "strange-result"))
    assert done["status"] == "finished", done["final"]
    result = json.loads(done["final"])["dict"]
    assert result["nan"] == "NaN"
    assert result["set"] == [1, 2, 3]
    assert result["time"].startswith("2025-01-02")
    assert result["1"] == "a number as a key"


@pytest.mark.parametrize("path", ["descendants", "sleeping"])
def test_cancel_leaves_no_process(admin: Panel, jobs: Jobs, path: str) -> None:
    """When cancel answers, the job's process and what it started are gone."""
    fid = admin.launch("outputs", path)
    told = admin.first(fid, "result").typed["dict"]
    processes = [psutil.Process(pid) for pid in told.values()]
    assert jobs.cancel(fid).state == job_pb2.JOB_STATE_CANCELLED
    _, alive = wait_procs(processes, timeout=30)
    assert all(is_gone(process) for process in alive)


@pytest.mark.parametrize(
    "text",
    ["", " ", "Grüße 🎈", "a\r\nb\x00c", "\\u0000 ' \" ; --", "<script>alert(1)</script>", "{{ 7 * 7 }}", "x" * 90_000],
)
def test_inputs_arrive_unharmed(admin: Panel, text: str) -> None:
    """What is typed is what the flow gets, and no page runs it."""
    fid = admin.launch("outputs", "echo", text=text)
    done = admin.wait(fid)
    assert json.loads(done["final"]) == {"dict": {"text": text}}
    page = admin.http.get(f"/outputs/html/{fid}").text
    assert "<script>alert" not in page
    items = admin.http.get("/timeline/list", params={"pp": 5}).json()["items"]
    assert next(item["inputs"] for item in items if item["fid"] == fid) == {"dict": {"text": text}}
