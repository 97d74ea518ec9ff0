"""The seed notebook "Expose and Sumi API Demonstration", cell by cell, from "Payment Integration Demo" to its end.

The purchases go to the mesh's own payment service at `/api/v1/purchase/`, with the buyer's token that operators are
told; the mesh hashes as the
notebook's did.  Each answer is compared with what the notebook printed (`golden/`).  Where the notebook sleeps and
looks again, the test follows the job's stream.
"""

import datetime
import json
import pathlib
import re
import secrets
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from agentmesh.testing import Mesh
from gateway.core.hashes import input_hash
from tests.mesh_wide import meshes
from tests.mesh_wide import test_notebook as notebook
from tests.mesh_wide.panel import Panel, Sse, assert_envelope, parse_sse
from tests.mesh_wide.shapes import assert_like

CELLS: dict[str, Any] = json.loads((notebook.GOLDEN / "notebook_payments.json").read_text())["cells"]
AGENT = "7e8bdaf2b2b919a3a4b94002cafb50086c0c845fe535d07a77ab7f77ee8e013e3f92bbd2aa41065577ac087a0d55ff96430087324c023b021267ca37"  # noqa: E501
SELLER = "2a581594ee277e1625a4e999b1b2d788f54217c35bd7f50ea9aecd64"
"""The key that the notebook writes into its purchases."""
EVENT_KEYS = {
    "step",
    "agentIdentifier",
    "network",
    "inputHash",
    "blockchainIdentifier",
    "payByTime",
    "submitResultTime",
    "externalDisputeUnlockTime",
    "unlockTime",
}
"""Of the first `payment` event (real_payment_events.json; the notebook's print of it is cut)."""
JOB_VARIES = (*notebook.JOB_VARIES, "identifier_from_purchaser")
GREETING = {"greeting": "Hello from HITL Demo!"}


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """A mesh that hashes as the notebook's did, with a chain that takes half a second."""
    env = {
        "AGENTMESH_HASHES": "kodosumi",
        "AGENTMESH_LEDGER_WORKER_DELAY_S": "0.2",
        "AGENTMESH_LEDGER_CONFIRM_DELAY_S": "0.3",
    }
    with meshes.running(tmp_path_factory.mktemp("paid"), examples=True, env=env) as mesh:
        yield mesh


@pytest.fixture(scope="module")
def client(mesh: Mesh) -> Iterator[httpx.Client]:
    """The notebook's client, after the cells before the payments."""
    with httpx.Client(base_url=mesh.url, follow_redirects=True, timeout=30.0) as client:
        notebook.log_in(client)
        notebook.empty(client)
        notebook.create(client)
        notebook.update(client)
        notebook.boot(client)
        yield client


@pytest.fixture(scope="module")
def text_inputs(client: httpx.Client) -> httpx.Client:
    """Cells 526 and 527: `form-example` becomes a paid service."""
    save(client, "526")
    refresh(client, "form-example")
    return client


@pytest.fixture(scope="module")
def two_stage(text_inputs: httpx.Client) -> httpx.Client:
    """Cells 536 and 537: `sumi-test` becomes a paid service."""
    save(text_inputs, "536")
    refresh(text_inputs, "sumi-test")
    return text_inputs


def save(client: httpx.Client, cell: str) -> None:
    """Save an expose as a cell does; the meta's YAML names the agent."""
    golden = CELLS[cell]["printed"]
    meta = [{"url": entry["url"], "data": entry["data"]} for entry in golden["meta"]]
    given = {key: golden[key] for key in ("name", "display", "network", "bootstrap")}
    answer = client.post("/expose/", json={**given, "meta": meta})
    assert answer.status_code == CELLS[cell]["status"]
    assert_like(answer.json(), golden, varies=notebook.EXPOSE_VARIES, more=True)
    assert {"state": "RUNNING", "updated": ""} | answer.json() == answer.json()
    assert f"agentIdentifier: {AGENT}\n" in answer.json()["meta"][0]["data"]


def refresh(client: httpx.Client, expose: str) -> None:
    """Refresh an expose: the four steps, and the notebook's lines about this expose.

    The notebook's system went on to deploy every other app anew, twice; here a refresh leaves them alone and says so.
    """
    said = notebook.lines_of(client, "POST", f"/boot/refresh/{expose}", 200)
    date = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
    plain = [date.sub("DATE", line) for line in said]
    golden = [date.sub("DATE", line) for line in notebook.golden_lines(f"refresh_{expose.replace('-', '_')}.txt")]
    others = next(number for number, line in enumerate(golden) if "Prepared deployment config" in line)
    assert plain[:others] == golden[:others]
    text = "\n".join(plain)
    lines = iter(plain[others:])
    for line in (
        f"▶ [UPDATE] Step 3/4: Enabling expose '{expose}'",
        f"  [{expose}] Expose enabled → enabled=True",
        "▶ [DEPLOY] Step 4/4: Running boot process (re-add flows)",
        "ℹ [Boot 2/2] Boot started at DATE",
        f"  • [{expose}] [Boot 2/2] Prepared deployment config → route=/{expose}",
        f"  [{expose}] [Boot 2/2] Reached final state → RUNNING",
    ):
        assert line in lines, text  # in this order
    assert not any("/jkx" in line or "/prime" in line for line in plain), text
    assert re.fullmatch(r"✔ Refresh complete at DATE \(runtime: \d+\.\ds\)", plain[-1])


def start(client: httpx.Client, path: str, cell: str, inputs: dict[str, str]) -> tuple[str, str]:
    """Start a job with an identifier of its own; return both."""
    identifier = secrets.token_hex(13)
    body = {"identifier_from_purchaser": identifier, "input_data": inputs}
    answer = client.post(f"/sumi/{path}/start_job", json=body)
    assert answer.status_code == CELLS[cell]["status"]
    assert_like(answer.json(), CELLS[cell]["body"], varies=JOB_VARIES)
    assert answer.json()["identifier_from_purchaser"] == identifier
    return str(answer.json()["job_id"]), identifier


def payment_event(client: httpx.Client, job_id: str, key: str) -> dict[str, Any]:
    """Return the first event with `key`, read from the stream as cells 532, 544 and 552 do."""
    with client.stream("GET", f"/outputs/stream/{job_id}") as answer:
        for line in answer.iter_lines():
            if line and line.startswith("data:"):
                data = line[5:].strip()
                if ":" in data and data.split(":", 1)[1].startswith("{"):
                    parsed = json.loads(data.split(":", 1)[1])
                    if "dict" in parsed and key in parsed["dict"]:
                        return dict(parsed["dict"])
    raise AssertionError(f"{job_id} ended without {key}")


def check_waiting(client: httpx.Client, cell: str, job_id: str, identifier: str) -> dict[str, Any]:
    """Cells 531 to 533 (and 543 to 545): the job awaits its payment; its event says what to pay."""
    said = payment_event(client, job_id, "blockchainIdentifier")
    status = client.get(f"/sumi/status/{job_id}").json()
    assert_like(status, CELLS[cell]["body"], varies=JOB_VARIES)
    assert status["identifier_from_purchaser"] == identifier
    assert set(said) == {*EVENT_KEYS, "sellerVkey"}
    assert (said["step"], said["network"], said["agentIdentifier"]) == ("initialized", "Preprod", AGENT)
    assert re.fullmatch(r"([0-9a-f]{2}){100,}", said["blockchainIdentifier"])
    times = [int(said[key]) for key in ("payByTime", "submitResultTime", "unlockTime", "externalDisputeUnlockTime")]
    hours = 3_600_000
    assert time.time() * 1000 < times[0] < times[1]
    assert [times[2] - times[1], times[3] - times[1]] == [6 * hours, 12 * hours]
    assert client.get(f"/outputs/status/{job_id}").json()["status"] == "running"
    return said


def purchase(client: httpx.Client, cell: str, said: dict[str, Any], identifier: str, **changed: str) -> httpx.Response:
    """Cells 534 and 546, word for word but for the address and the token."""
    dev = client.get("/mesh/v1/ledger/developmentToken").raise_for_status().json()
    answer = httpx.post(
        f"{str(client.base_url).rstrip('/')}/api/v1/purchase/",
        headers={"accept": "application/json", "token": dev["token"], "Content-Type": "application/json"},
        json={
            "identifierFromPurchaser": identifier,
            "network": "Preprod",
            "sellerVkey": SELLER,
            "blockchainIdentifier": said["blockchainIdentifier"],
            "payByTime": said["payByTime"],
            "submitResultTime": said["submitResultTime"],
            "unlockTime": said["unlockTime"],
            "externalDisputeUnlockTime": said["externalDisputeUnlockTime"],
            "agentIdentifier": said["agentIdentifier"],
            "inputHash": said["inputHash"],
            **changed,
        },
        timeout=30.0,
    )
    if not changed:
        assert answer.status_code == CELLS[cell]["status"], answer.text
        assert_like(answer.json(), CELLS[cell]["printed"], varies=("id", "walletVkey"), more=True)
        assert answer.json()["status"] == "success"
        assert answer.json()["data"]["blockchainIdentifier"] == said["blockchainIdentifier"]
    return answer


def test_availability_of_a_paid_service(text_inputs: httpx.Client) -> None:
    """Cell 528."""
    answer = text_inputs.get("/sumi/form-example/text-inputs/availability")
    assert answer.status_code == CELLS["528"]["status"]
    assert answer.json() == CELLS["528"]["body"]


def test_text_inputs_are_paid_for(text_inputs: httpx.Client) -> None:
    """Cells 529 to 535: nothing runs before the money is in escrow; then the job does, and tells its result's hash."""
    inputs = {"email": "user@example.com", "username": "PaymentUser", "password": "secretpass123"}
    job_id, identifier = start(text_inputs, "form-example/text-inputs", "530", inputs)
    said = check_waiting(text_inputs, "531", job_id, identifier)
    assert said["inputHash"] == input_hash(identifier, inputs)

    forged = purchase(text_inputs, "534", said, identifier, inputHash="00" * 32)
    assert forged.status_code == 400
    assert forged.json()["status"] == "error"
    assert text_inputs.get(f"/sumi/status/{job_id}").json()["status"] == "awaiting_payment"
    purchase(text_inputs, "534", said, identifier)
    done = notebook.poll(text_inputs, job_id)

    assert done["status"] == "completed"
    assert "PaymentUser" in done["result"]["Markdown"]["body"]
    events = events_of(text_inputs, job_id)
    asked = next(number for number, event in enumerate(events) if event.event == "payment")
    assert [event.event for event in events[:asked]] == ["status", "inputs", "meta", "status"]
    assert [event.payload for event in events[asked:] if event.event == "status"][-2:] == ["running", "finished"]
    assert [event.event for event in events[-3:]] == ["payment", "final", "status"]
    assert re.fullmatch("[0-9a-f]{64}", events[-3].typed["dict"]["resultHash"])
    again = purchase(text_inputs, "534", said, identifier, network="Preprod")
    assert (again.status_code, again.json()["error"]["message"]) == (409, "Purchase exists")


def events_of(client: httpx.Client, job_id: str) -> list[Sse]:
    """Return the events of a job that has ended."""
    events = [event for event in parse_sse(client.get(f"/outputs/stream/{job_id}").text) if event.id]
    assert [event.id for event in events] == list(range(1, len(events) + 1))
    return events


def test_availability_of_the_two_stage_service(two_stage: httpx.Client) -> None:
    """Cell 538."""
    answer = two_stage.get("/sumi/sumi-test/availability")
    assert answer.status_code == CELLS["538"]["status"]
    assert answer.json() == CELLS["538"]["body"]


def test_input_schema_of_the_two_stage_service(two_stage: httpx.Client) -> None:
    """Cell 539: the date must be tomorrow or later."""
    asked = datetime.date.today()
    answer = two_stage.get("/sumi/sumi-test/input_schema")
    assert answer.status_code == CELLS["539"]["status"]
    assert_like(answer.json(), CELLS["539"]["body"], varies=("min",))
    tomorrows = {(day + datetime.timedelta(days=1)).isoformat() for day in (asked, datetime.date.today())}
    assert answer.json()["input_data"][1]["validations"] in [{"min": tomorrow} for tomorrow in tomorrows]


def test_two_stages_are_paid_for_and_answered(two_stage: httpx.Client, request: pytest.FixtureRequest) -> None:
    """Cells 540 to 552: payment, lock, answer, result, and the two hashes that the notebook printed."""
    future = (datetime.date.today() + datetime.timedelta(days=7)).isoformat()
    inputs = {"name": "HITL Test User", "date": future}
    job_id, identifier = start(two_stage, "sumi-test", "541", inputs)
    said = check_waiting(two_stage, "543", job_id, identifier)
    assert said["inputHash"] == input_hash(identifier, inputs)
    purchase(two_stage, "546", said, identifier)

    lid = check_lock(two_stage, job_id, identifier)
    check_answer(two_stage, job_id, lid)
    done = notebook.poll(two_stage, job_id)

    assert (done["status"], done["result"]) == ("completed", CELLS["551"]["result"])
    assert payment_event(two_stage, job_id, "resultHash") == CELLS["552"]["body"]
    kinds = [event.event for event in events_of(two_stage, job_id)]
    order = ["payment", "lock", "lease", "payment", "final"]
    assert [kind for kind in kinds if kind in order] == order
    mesh = request.getfixturevalue("mesh")
    stranger = sign_up(mesh, two_stage)
    for path in (f"/sumi/status/{job_id}", f"/sumi/lock/{job_id}/{lid}", f"/lock/{job_id}/{lid}"):
        assert_envelope(stranger.http.get(path), 404)
    stranger.close()


def sign_up(mesh: Mesh, client: httpx.Client) -> Panel:
    """Return somebody else."""
    role = {"name": "somebody", "email": "somebody@example.com", "password": "somebody's password"}
    assert client.post("/role/", json=role).status_code == 201
    return Panel(mesh.url, role["name"], role["password"])


def check_lock(client: httpx.Client, job_id: str, identifier: str) -> str:
    """Cells 547 to 549: the job awaits input; its status and the lock say which.  Return the lock's id."""
    payment_event(client, job_id, "lid")
    status = client.get(f"/sumi/status/{job_id}").json()
    assert_like(status, CELLS["548"]["body"], varies=(*JOB_VARIES, "expires_at", "lock_id"))
    assert status["identifier_from_purchaser"] == identifier
    (schema,) = status["input_schema"]
    lid = str(schema["lock_id"])
    lock = client.get(f"/sumi/lock/{job_id}/{lid}")
    assert lock.status_code == CELLS["549"]["status"]
    assert_like(lock.json(), CELLS["549"]["body"], varies=("job_id", "status_id", "expires_at"))
    assert (lock.json()["job_id"], lock.json()["status_id"]) == (job_id, lid)
    assert lock.json()["expires_at"] == schema["expires_at"] > time.time()
    panel = client.get(f"/outputs/status/{job_id}").json()
    assert (panel["status"], panel["locks"]) == ("awaiting", [lid])
    return lid


def check_answer(client: httpx.Client, job_id: str, lid: str) -> None:
    """Cell 550; the formula of its hash gives the printed one for the printed ids."""
    printed = CELLS["549"]["body"]
    formula = input_hash(f"{printed['job_id']}:{printed['status_id']}", GREETING)
    assert formula == CELLS["550"]["body"]["input_hash"]
    empty = client.post(f"/sumi/lock/{job_id}/{lid}", json={"input_data": {"greeting": "  "}})
    assert (empty.status_code, empty.json()["status"], empty.json()["input_hash"]) == (201, "error", None)
    assert empty.json()["errors"]["greeting"]
    answer = client.post(f"/sumi/lock/{job_id}/{lid}", json={"input_data": GREETING})
    assert answer.status_code == CELLS["550"]["status"]
    assert_like(answer.json(), CELLS["550"]["body"], varies=("input_hash",))
    assert answer.json()["input_hash"] == input_hash(f"{job_id}:{lid}", GREETING)


@pytest.mark.parametrize(
    ("identifier", "reason"),
    [
        ("demo-123", "is not hex"),
        ("ab" * 6, "has 12 characters"),
        ("ab" * 14, "has 28 characters"),
        ("a" * 15, "has an odd number of digits"),
    ],
)
def test_an_identifier_that_no_escrow_takes(two_stage: httpx.Client, identifier: str, reason: str) -> None:
    """A paid service says at once what is wrong with it, instead of starting a job that nobody can pay for."""
    body = {"identifier_from_purchaser": identifier, "input_data": {"date": "2999-12-31"}}
    detail = assert_envelope(two_stage.post("/sumi/sumi-test/start_job", json=body), 400)["detail"]
    assert "'key': 'identifier_from_purchaser'" in detail
    assert reason in detail


def test_what_a_refused_form_costs(two_stage: httpx.Client) -> None:
    """A date that is not in the future starts no job, so nobody is asked to pay."""
    body = {"identifier_from_purchaser": secrets.token_hex(13), "input_data": {"date": "2020-01-01"}}
    answer = two_stage.post("/sumi/sumi-test/start_job", json=body)
    assert answer.status_code == 201
    assert answer.json()["status"] == "failed"
    assert "date: [" in answer.json()["error"]


def test_golden_is_the_whole_rest_of_the_notebook() -> None:
    """Every cell that printed something is compared above."""
    source = pathlib.Path(__file__).read_text()
    cut = {"532", "544"}  # what they printed is in real_payment_events.json's shape
    assert {cell for cell in CELLS if f'"{cell}"' not in source} <= cut
