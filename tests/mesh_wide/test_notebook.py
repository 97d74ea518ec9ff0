"""The seed notebook "Expose and Sumi API Demonstration", cell by cell, up to and including "Streaming API".

Each answer is compared with what the notebook printed (`golden/`): status code, keys, types, nulls and every value
that is not a time or an id.  The bootstraps are the notebook's own: `agentmesh up --examples`
knows the modules they name.
Where the notebook shows a flaw of the system it was run on, the test asks for better and says so.
"""

import datetime
import json
import pathlib
import re
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from agentmesh.testing import Mesh
from examples.prime.gaps import GapCounter
from tests.mesh_wide.meshes import ROOT
from tests.mesh_wide.panel import Panel, assert_envelope, parse_sse
from tests.mesh_wide.shapes import assert_like

GOLDEN = pathlib.Path(__file__).parent / "golden"
CELLS: dict[str, Any] = json.loads((GOLDEN / "notebook.json").read_text())["cells"]
# The last three are constants where the notebook was run; here they are true.
EXPOSE_VARIES = ("created", "updated", "etag", "heartbeat", "flow_stats", "stale", "needs_reboot")
ITEM_KEYS = frozenset(
    [
        "id",
        "parent",
        "name",
        "display",
        "api_url",
        "tags",
        "agentPricing",
        "metadata_version",
        "description",
        "image",
        "example_output",
        "author",
        "capability",
        "legal",
        "network",
        "state",
    ]
)
"""Of an item of /sumi (spec: kodosumi §7.3; the notebook prints two of them)."""
JOB_VARIES = ("job_id", "started_at", "updated_at", "runtime")


def golden_lines(name: str) -> list[str]:
    """Return the lines of a golden text, without the line that says where it is from."""
    return (GOLDEN / name).read_text().splitlines()[1:]


def lines_of(client: httpx.Client, method: str, path: str, code: int) -> list[str]:
    """Return the lines of a streamed answer, as the notebook reads them."""
    with client.stream(method, path) as answer:
        assert answer.status_code == code
        assert answer.headers["content-type"].startswith("text/plain")
        return [line for line in answer.iter_lines() if line]


@pytest.fixture(scope="module")
def client(mesh: Mesh) -> Iterator[httpx.Client]:
    """Run the cells from "Login" to the boot, and return the notebook's client."""
    with httpx.Client(base_url=mesh.url, follow_redirects=True, timeout=30.0) as client:
        log_in(client)
        empty(client)
        create(client)
        update(client)
        boot(client)
        yield client


def log_in(client: httpx.Client) -> None:
    """Cell 495."""
    answer = client.post(
        "/login",
        data={"name": "admin", "password": "admin"},
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert answer.status_code == 200
    body = answer.json()
    assert set(body) == {"name", "id", "KODOSUMI_API_KEY"}
    assert body["name"] == "admin"
    assert client.cookies["kodosumi_jwt"] == body["KODOSUMI_API_KEY"]


def empty(client: httpx.Client) -> None:
    """Cells 496 to 499: delete every expose and shut down."""
    answer = client.get("/expose/")
    assert answer.status_code == 200
    for item in answer.json():
        deleted = client.delete(f"/expose/{item['name']}")
        assert (deleted.status_code, deleted.content) == (204, b"")
    assert client.get("/expose/").json() == []
    said = lines_of(client, "DELETE", "/boot/", 200)
    # How many flows remain depends on what ran before; the rest is as printed.
    remaining = re.compile(r"\d+ flows remaining")
    assert [remaining.sub("N", line) for line in said if "Set state to DEAD" not in line] == [
        remaining.sub("N", line) for line in golden_lines("shutdown.txt")
    ]


def create(client: httpx.Client) -> None:
    """Cells 500 to 504: four exposes."""
    for cell in ("500", "501", "502", "503"):
        golden = CELLS[cell]["body"]
        answer = client.post("/expose/", json={"name": golden["name"], "bootstrap": golden["bootstrap"]})
        assert answer.status_code == CELLS[cell]["status"]
        assert_like(answer.json(), golden, varies=EXPOSE_VARIES)
        check_times(answer.json())
    listed = client.get("/expose/").json()
    assert [(item["name"], item["state"]) for item in listed] == [
        ("form-example", "DEAD"),
        ("jkx", "DEAD"),
        ("prime", "DEAD"),
        ("sumi-test", "DEAD"),
    ]


def check_times(expose: dict[str, Any]) -> None:
    """The times of an expose are ISO dates with microseconds and no zone; the etag is a number in a string."""
    for name in ("created", "updated"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}", expose[name]), expose[name]
        assert datetime.datetime.fromisoformat(expose[name]).tzinfo is None
    assert re.fullmatch(r"\d+\.\d+", expose["etag"])
    assert abs(expose["heartbeat"] - time.time()) < 60


def update(client: httpx.Client) -> None:
    """Cells 505 and 506: names and descriptions for two of them."""
    before = {item["name"]: item for item in client.get("/expose/").json()}
    for cell in ("505", "506"):
        golden = CELLS[cell]["body"]
        meta = [{"url": entry["url"], "data": entry["data"]} for entry in golden["meta"]]
        answer = client.post(
            "/expose/",
            json={
                "name": golden["name"],
                "display": golden["display"],
                "bootstrap": golden["bootstrap"],
                "meta": meta,
            },
        )
        assert answer.status_code == CELLS[cell]["status"]
        assert_like(answer.json(), golden, varies=EXPOSE_VARIES)
        assert answer.json()["created"] == before[golden["name"]]["created"]
        assert answer.json()["updated"] > before[golden["name"]]["updated"]
        assert answer.json()["etag"] != before[golden["name"]]["etag"]


def boot(client: httpx.Client) -> None:
    """Cells 507 and 508: nothing is offered before the boot; the boot says what it does."""
    answer = client.get("/sumi")
    assert answer.status_code == 200
    assert answer.json()["items"] == []
    said = lines_of(client, "POST", "/boot/", 201)
    compare_boot(said)


def compare_boot(said: list[str]) -> None:
    """Compare a boot with the printed one: the same lines in the same steps; within HEALTH the order is chance."""
    date = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
    folder = re.compile(r"\[[^\]]*/serve_deploy.yaml\]")
    plain = [folder.sub("[<tmp>/serve_deploy.yaml]", date.sub("DATE", line)) for line in said]
    golden = [date.sub("DATE", line) for line in golden_lines("boot.txt")]
    health = golden.index("▶ [HEALTH] Waiting for deployments to complete (timeout: 1800s)")
    assert plain[: health + 1] == golden[: health + 1]
    rest = plain[health + 1 :]
    end = next(number for number, line in enumerate(rest) if line.startswith("✓ All deploy"))
    final = {line for line in golden[health + 1 : -1] if "Reached final state" in line}
    assert {line for line in rest[:end] if "Reached final state" in line} == final
    assert {line for line in rest[:end] if line not in final} <= set(golden)
    # Not shown in full by the notebook; spec: kodosumi §6.2.
    assert rest[end] == "✓ All deployments complete (4 running, 0 failed)"
    assert any(line.startswith("▶ [REGISTER] Registering flow endpoints") for line in rest)
    assert "✓ Flow registration complete (10 registered, 10 discovered)" in rest, "\n".join(rest)
    assert any(line.startswith("✓ Retrieved 10 flow endpoints (10 alive, 0 dead)") for line in rest)
    assert re.fullmatch(r"✔ Boot completed at DATE \(runtime: \d+\.\ds\)", rest[-1])


def test_flows_after_the_boot(client: httpx.Client) -> None:
    """Cell 509: the ten flows of the notebook, in its order, with its addresses."""
    answer = client.get("/sumi")
    assert answer.status_code == 200
    items = answer.json()["items"]
    base = str(client.base_url).rstrip("/")
    assert [[item["display"], item["api_url"].removeprefix(base)] for item in items] == CELLS["509"]["items"]
    assert answer.json()["offset"] is None
    assert {frozenset(item) for item in items} == {ITEM_KEYS}


def test_input_schema_of_text_inputs(client: httpx.Client) -> None:
    """Cell 510: the fields with their placeholders and validations."""
    answer = client.get("/sumi/form-example/text-inputs/input_schema")
    assert answer.status_code == CELLS["510"]["status"]
    assert set(answer.json()) == {"input_data", "input_groups"}
    fields = answer.json()["input_data"]
    golden = CELLS["510"]["first_fields"]
    assert fields[: len(golden)] == golden
    assert fields[len(golden)]["data"]["placeholder"].startswith("+1 (")
    assert answer.json()["input_groups"] is None


def test_text_inputs_without_identifier(client: httpx.Client) -> None:
    """Cell 511: a request without its required field is refused with 400, in the words of the notebook."""
    answer = client.post("/sumi/form-example/text-inputs/start_job", json={})
    assert answer.status_code == CELLS["511"]["status"]
    assert answer.json() == CELLS["511"]["body"]


@pytest.mark.parametrize(
    ("cell", "inputs"),
    [
        ("512", None),
        ("513", {"username": "DemoUser"}),
        ("514", {"username": "DemoUser", "password": "secretpass123"}),
    ],
)
def test_text_inputs_that_the_author_refuses(client: httpx.Client, cell: str, inputs: dict[str, str] | None) -> None:
    """Cells 512 to 514: the author's messages, field by field, `_global_` last."""
    body: dict[str, Any] = {"identifier_from_purchaser": "demo-123"}
    if inputs is not None:
        body["input_data"] = inputs
    answer = client.post("/sumi/form-example/text-inputs/start_job", json=body)
    assert answer.status_code == CELLS[cell]["status"]
    assert answer.json() == CELLS[cell]["body"]


def test_text_inputs_that_start(client: httpx.Client) -> None:
    """Cells 515 and 516.  The notebook got 404 for the job it had just started; an issued id is never unknown here."""
    answer = client.post(
        "/sumi/form-example/text-inputs/start_job",
        json={
            "identifier_from_purchaser": "demo-123",
            "input_data": {"email": "user@example.com", "username": "DemoUser", "password": "secretpass123"},
        },
    )
    check_started(answer, "515")
    status = client.get(f"/sumi/status/{answer.json()['job_id']}")
    assert status.status_code == 200
    assert set(status.json()) == set(CELLS["515"]["body"])
    done = poll(client, answer.json()["job_id"])
    assert done["status"] == "completed"
    assert "DemoUser" in done["result"]["Markdown"]["body"]
    assert "secretpass123" not in json.dumps(done)


def test_unknown_job(client: httpx.Client) -> None:
    """Cell 516's body is what an id that was never issued gets."""
    golden = CELLS["516"]
    answer = client.get(golden["body"]["path"])
    assert answer.status_code == golden["status"]
    assert answer.json() == golden["body"]


def test_input_schema_of_prime(client: httpx.Client) -> None:
    """Cell 517: three optional texts with their defaults."""
    answer = client.get("/sumi/prime/input_schema")
    assert answer.status_code == CELLS["517"]["status"]
    assert answer.json() == CELLS["517"]["body"]


def test_prime_without_input(client: httpx.Client) -> None:
    """Cells 518 and 519.  "Should succeed with defaults", says the notebook, whose job failed; here it succeeds."""
    answer = client.post("/sumi/prime/start_job", json={"identifier_from_purchaser": "prime-no-input"})
    check_started(answer, "518")
    done = poll(client, answer.json()["job_id"])
    assert done["status"] == "completed"
    assert done["error"] is None
    assert sum(done["result"]["dict"].values()) == 664_578


def test_prime_with_invalid_input(client: httpx.Client) -> None:
    """Cells 520 and 521: the job starts, then fails, and says why; paths of the machine and tracebacks stay here."""
    answer = client.post(
        "/sumi/prime/start_job",
        json={
            "identifier_from_purchaser": "prime-invalid",
            "input_data": {"start": "not-a-number", "end": "also-invalid", "tasks": "abc"},
        },
    )
    check_started(answer, "520")
    done = poll(client, answer.json()["job_id"])
    assert done["status"] == "failed"
    assert done["result"] is None
    assert "not-a-number" in done["error"]
    assert str(ROOT) not in done["error"]
    assert ".py" not in done["error"]


def start_valid(client: httpx.Client, cell: str) -> str:
    """Start the job of cells 522 and 524."""
    answer = client.post(
        "/sumi/prime/start_job",
        json={
            "identifier_from_purchaser": "prime-valid",
            "input_data": {"start": "0", "end": "100000", "tasks": "10"},
        },
    )
    check_started(answer, cell)
    return str(answer.json()["job_id"])


def test_prime_with_valid_input(client: httpx.Client) -> None:
    """Cells 522 and 523: the distribution, number by number."""
    done = poll(client, start_valid(client, "522"))
    golden = CELLS["523"]["first_keys"]
    counter = GapCounter(100_000)
    counter.add(0, 100_000)
    expected = {str(gap): count for gap, count in counter.distribution().items()}
    assert {**expected, **golden["result"]["dict"]} == expected
    assert_like(done, {**golden, "started_at": 0.0, "updated_at": 0.0, "runtime": 0.0, "status": "completed",
                       "result": {"dict": expected}}, varies=JOB_VARIES)  # fmt: skip
    assert done["updated_at"] - done["started_at"] == pytest.approx(done["runtime"], abs=1e-3)
    assert abs(done["updated_at"] - time.time()) < 60


def test_streaming(client: httpx.Client) -> None:
    """Cells 524 and 525: the stream has the notebook's first events, in its form, and everything up to the end."""
    fid = start_valid(client, "524")
    with client.stream("GET", f"/outputs/stream/{fid}?extended=true") as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert answer.headers["cache-control"] == "no-cache"
        text = "".join(answer.iter_text())
    assert "\r\n" in text
    all_events = parse_sse(text)
    assert all_events[-1].event == "eof"
    assert all_events[-1].id == 0
    events = [event for event in all_events if event.id]
    assert [event.id for event in events] == list(range(1, len(events) + 1))
    golden = [event for event in parse_sse("\n".join(golden_stream())) if event.id]
    assert [event.event for event in events[:4]] == [event.event for event in golden]
    assert events[0].payload == golden[0].payload == "starting"
    assert events[1].payload == golden[1].payload
    assert events[3].payload == golden[3].payload == "running"
    meta, printed = events[2].typed["dict"], golden[2].typed["dict"]
    check_meta(client, fid, meta, printed)
    assert all(re.fullmatch(r"\d+\.\d+", event.data.partition(":")[0]) for event in events)
    times = [float(event.data.partition(":")[0]) for event in events]
    assert times == sorted(times)
    assert [event.event for event in events[-2:]] == ["final", "status"]
    assert events[-1].payload == "finished"
    assert any(event.event == "debug" for event in events)
    assert events[-2].typed["dict"]["2"] == 1224


def golden_stream() -> list[str]:
    """Return the printed stream with the blank lines that the notebook left out."""
    return [line if not line.startswith("id:") else f"\n{line}" for line in golden_lines("stream.txt")]


def check_meta(client: httpx.Client, fid: str, meta: dict[str, Any], printed: dict[str, Any]) -> None:
    """Compare the meta event, hash included; addresses and versions are our own."""
    base = str(client.base_url).rstrip("/")
    assert set(printed) <= set(meta)
    assert meta["fid"] == fid
    assert meta["panel_url"] == base
    assert meta["entry_point"].endswith("prime.app:run")
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", meta["username"])
    own = ("fid", "username", "app_url", "panel_url", "entry_point", "kodosumi", "extra")
    assert {key: meta[key] for key in printed if key not in own} == {
        key: value for key, value in printed.items() if key not in own
    }
    assert {key: meta["extra"].get(key) for key in printed["extra"]} == printed["extra"]


def check_started(answer: httpx.Response, cell: str) -> None:
    """Compare the answer of start_job: 201, running, nulls where the notebook has nulls."""
    assert answer.status_code == CELLS[cell]["status"]
    assert_like(answer.json(), CELLS[cell]["body"], varies=JOB_VARIES)
    assert re.fullmatch(r"[0-9a-f]{24}", answer.json()["job_id"])


def poll(client: httpx.Client, job_id: str) -> dict[str, Any]:
    """Wait for the job's end, then return its status: the notebook polls, the stream says when it is worth it."""
    with client.stream("GET", f"/outputs/stream/{job_id}") as answer:
        for _ in answer.iter_lines():
            pass
    status = client.get(f"/sumi/status/{job_id}").json()
    assert status["status"] in ("completed", "failed")
    return dict(status)


def test_stranger_cannot_see_the_jobs(client: httpx.Client, stranger: Panel) -> None:
    """A job is its owner's: for others its id is unknown."""
    fid = start_valid(client, "524")
    assert_envelope(stranger.http.get(f"/sumi/status/{fid}"), 404)
