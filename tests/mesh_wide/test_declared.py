"""Flows that declare their inputs, from every way in to what people see."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from agentmesh_protos.runner.v1 import job_pb2

from agentmesh.client import InvalidInputs
from agentmesh.testing import Mesh
from tests.mesh_wide.grpcapi import Jobs
from tests.mesh_wide.panel import Panel, assert_envelope

AGENT = "7e8bdaf2b2b919a3a4b94002cafb50086c0c845fe535d07a77ab7f77" + "67" * 16
"""An agent that the ledger has from its start."""
APPS = {"declared": "tests.apps.declared:app"}
TEXTS: dict[str, Any] = {"text": "hello", "count": "3", "loud": "on", "words": "a\nb"}
FORM_ENCODED = {"content-type": "application/x-www-form-urlencoded"}
VALUES = {"text": "hello", "count": 3, "loud": True, "tone": "warm", "words": ["a", "b"]}


@pytest.fixture(scope="module", autouse=True)
def _deployed(admin: Panel) -> None:
    admin.deploy(APPS)


def by_page(mesh: Mesh, admin: Panel, path: str, inputs: dict[str, Any]) -> str:
    """Launch as a browser does, and come to the job's page."""
    answer = admin.http.post(f"/inputs/-/localhost/8005/declared/-/{path}", data=inputs)
    assert answer.status_code == 200, answer.text
    return answer.url.path.rpartition("/")[2]


def by_sumi(mesh: Mesh, admin: Panel, path: str, inputs: dict[str, Any]) -> str:
    """Launch as a purchaser does."""
    body = {"identifier_from_purchaser": "me", "input_data": inputs}
    answer = admin.http.post(f"/sumi/declared/{path}/start_job" if path else "/sumi/declared/start_job", json=body)
    assert answer.status_code in (200, 201), answer.text
    return str(answer.json()["job_id"])


def by_grpc(mesh: Mesh, admin: Panel, path: str, inputs: dict[str, Any]) -> str:
    """Launch by the typed API."""
    return mesh.client.create_job(f"declared/{path}".rstrip("/"), inputs).name.removeprefix("jobs/")


def by_panel(mesh: Mesh, admin: Panel, path: str, inputs: dict[str, Any]) -> str:
    """Launch as clients of the panel's API do: with a form."""
    answer = admin.http.post(f"/-/localhost/8005/declared/-/{path}", data=inputs)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["result"])


Way = Callable[[Mesh, Panel, str, dict[str, Any]], str]


@pytest.mark.parametrize("launch", [by_page, by_panel, by_sumi, by_grpc])
@pytest.mark.parametrize("path", ["untouched", "shared"])
def test_every_way_in_checks_and_starts(mesh: Mesh, admin: Panel, launch: Way, path: str) -> None:
    """Texts become what the model declares; of one flow the app would fail if it were asked."""
    fid = launch(mesh, admin, path, TEXTS)
    done = admin.wait(fid)

    assert "finished" == done["status"], done
    assert {"dict": VALUES} == json.loads(done["final"])
    with Jobs(mesh.url, admin.token) as jobs:
        assert json.loads(jobs.get(fid).inputs_json) == VALUES


def test_a_form_declares_as_well(mesh: Mesh, admin: Panel) -> None:
    """Its flow gets a dict in the schema's types, every field of it."""
    done = admin.wait(by_grpc(mesh, admin, "form", {"name": "Ada", "age": "36"}))
    empty = admin.wait(by_grpc(mesh, admin, "form", {"name": "Ada"}))

    assert {"dict": {"name": "Ada", "age": 36}} == json.loads(done["final"])
    assert {"dict": {"name": "Ada", "age": None}} == json.loads(empty["final"])


def test_the_form_is_shown(admin: Panel) -> None:
    """By the panel's API, and as a page."""
    elements = admin.http.get(admin.flow_url("declared")).json()["elements"]
    page = admin.http.get("/inputs/-/localhost/8005/declared/-/").text

    assert ["markdown", "text", "number", "boolean", "select", "textarea", "submit", "cancel"] == [
        element["type"] for element in elements
    ]
    assert 'name="count"' in page
    assert "What to say, and how often." in page


@pytest.mark.parametrize("path", ["", "untouched"])
def test_the_panel_answers_a_launch_with_the_form_and_the_job(admin: Panel, path: str) -> None:
    """JSON and forms alike; what is wrong stands by field in an answer that is no error."""
    url = f"/-/localhost/8005/declared/-/{path}"
    elements = admin.http.get(url).json()["elements"]
    launched = [
        admin.http.post(url, json={**VALUES, "submit": "go"}),
        admin.http.post(url, content=json.dumps(VALUES), headers={"content-type": "text/plain"}),
        admin.http.post(url, data=TEXTS),
        admin.http.post(url, content="text=hello&count=3&loud=on&words=a%0Ab", headers=FORM_ENCODED),
        admin.http.post(url, content="text=hello&count=3&loud=on&words=a&words=b", headers=FORM_ENCODED),
    ]
    refused = [admin.http.post(url), admin.http.post(url, json={}), admin.http.post(url, data={"count": "9"})]

    for answer in launched:
        assert ["result", "elements"] == list(answer.json())
        assert (200, "application/json") == (answer.status_code, answer.headers["content-type"])
        assert elements == answer.json()["elements"]
        assert {"dict": VALUES} == json.loads(admin.wait(answer.json()["result"])["final"])
    for answer in refused:
        assert (200, ["errors", "elements"]) == (answer.status_code, list(answer.json())), answer.text
        assert elements == answer.json()["elements"]
        assert ("_global_", []) == list(answer.json()["errors"].items())[-1]
        assert answer.json()["errors"]["text"]
    assert refused[2].json()["errors"]["count"]


@pytest.mark.parametrize("path", ["", "untouched"])
@pytest.mark.parametrize(
    ("content", "kind", "why"),
    [
        (b"{", "application/json", "JSON"),
        (b"[]", "application/json", "must be a JSON object"),
        (b'{"text": NaN}', "application/json", "NaN"),
        (b'{"text": "\\ud800"}', "application/json", "surrogate"),
        (b"text=%ff", "application/x-www-form-urlencoded", "not valid application/x-www-form-urlencoded"),
        (b"a=1&" * 1001, "application/x-www-form-urlencoded", "not valid application/x-www-form-urlencoded"),
        (b"--x--", "multipart/form-data; boundary=x", "not multipart/form-data"),
    ],
    ids=["half", "array", "constant", "surrogate", "encoding", "many", "multipart"],
)
def test_a_body_that_cannot_be_read(admin: Panel, path: str, content: bytes, kind: str, why: str) -> None:
    """Is refused with the reason."""
    url = f"/-/localhost/8005/declared/-/{path}"
    answer = admin.http.post(url, content=content, headers={"content-type": kind})

    assert (400, ["detail"]) == (answer.status_code, list(answer.json()))
    assert why in answer.json()["detail"]


def test_a_launch_that_is_repeated_is_one_job(admin: Panel) -> None:
    """With its Idempotency-Key, which is good for no other inputs; a refusal uses no key up."""
    url, once = "/-/localhost/8005/declared/-/untouched", {"Idempotency-Key": "declared-1"}
    wrong = admin.http.post(url, json={"text": ""}, headers=once)
    first, again = (admin.http.post(url, json={"text": "a"}, headers=once).json()["result"] for _ in range(2))
    other = admin.http.post(url, json={"text": "b"}, headers=once)
    too_long = admin.http.post(url, json={"text": "b"}, headers={"Idempotency-Key": "k" * 300})

    assert "text" in wrong.json()["errors"]
    assert first == again
    assert "Idempotency-Key" in assert_envelope(other, 400)["detail"]
    assert "Idempotency-Key" in assert_envelope(too_long, 400)["detail"]


def test_the_panel_shows_what_a_job_costs(mesh: Mesh, admin: Panel) -> None:
    """A priced flow waits for its money, however it is launched."""
    mesh.client.save_expose(
        "priced",
        "import_path: tests.apps.declared:app\n",
        network="Preprod",
        meta={"/untouched": f"agentIdentifier: {AGENT}\n"},
    )
    admin.boot()
    form = admin.http.get("/inputs/-/localhost/8005/priced/-/untouched").text
    fid = admin.http.post("/-/localhost/8005/priced/-/untouched", json=TEXTS).json()["result"]
    asked = admin.first(fid, "payment").typed["dict"]
    page = admin.http.get(f"/outputs/html/{fid}").text
    with Jobs(mesh.url, admin.token) as jobs:
        waiting = jobs.get(fid)

    assert (AGENT, "Preprod") == (asked["agentIdentifier"], asked["network"])
    assert "A job costs what its seller asks (Preprod)" in form
    assert "It costs 10 ADA (Preprod) and runs when that is in escrow." in page
    assert job_pb2.JOB_STATE_AWAITING_PAYMENT == waiting.state


def test_what_is_wrong_is_told_by_field(mesh: Mesh, admin: Panel) -> None:
    """In each dialect's shape; nothing starts."""
    wrong = {"text": "", "count": 9, "tone": "hot", "colour": "red"}

    with pytest.raises(InvalidInputs) as caught:
        mesh.client.create_job("declared", wrong)
    passed_on = admin.http.post(admin.flow_url("declared"), json=wrong).json()["errors"]
    body = {"identifier_from_purchaser": "me", "input_data": {**TEXTS, "count": 9}}
    sold = admin.http.post("/sumi/declared/start_job", json=body)
    page = admin.http.post("/inputs/-/localhost/8005/declared/-/", data={**TEXTS, "count": "9"})

    assert {
        "text": ["is required"],
        "count": ["must be at most 5"],
        "tone": ["must be one of warm, cold"],
        "colour": ["is no field here; there is text, count, loud, tone, words"],
    } == {name: list(texts) for name, texts in caught.value.fields.items()}
    assert {"text", "count", "tone", "colour", "_global_"} == passed_on.keys()
    assert "must be at most 5" in sold.text
    assert "must be at most 5" in page.text


def test_an_authors_validator_fails_the_job(mesh: Mesh, admin: Panel) -> None:
    """What no schema says is said in the job, by field and without a traceback."""
    done = admin.wait(by_grpc(mesh, admin, "", {"text": "forbidden"}))

    assert "error" == done["status"]
    assert "text: that word is not said" in done["final"]


def test_how_far_a_job_is(mesh: Mesh, admin: Panel) -> None:
    """A few events of progress, the last one among them; bars leave one line; usage is added up."""
    fid = admin.launch("declared", "busy")
    admin.wait(fid)

    with Jobs(mesh.url, admin.token) as jobs:
        job, events = jobs.get(fid), jobs.watch(fid)

    told = [json.loads(event.payload) for event in events if event.kind == "progress"]
    assert {"done": 200, "total": 200, "percent": 100.0, "text": "in words"} in told
    assert "native 100%" in [item["text"] for item in told]
    assert 60 > len(told)
    lines = [event.payload for event in events if event.kind in ("stdout", "stderr")]
    assert (1, True) == (len([line for line in lines if "it/s" in line]), len(lines) <= 2)
    assert (100.0, 101, 10, 5) == (
        job.progress.percent,
        job.usage.input_tokens,
        job.usage.output_tokens,
        job.usage.cost_micros,
    )


def test_frames_and_pictures_are_shown(mesh: Mesh, admin: Panel) -> None:
    """As a table that says how much it leaves out, and as an image."""
    fid = admin.launch("declared", "shown")
    done = admin.wait(fid)
    page = admin.http.get(f"/outputs/html/{fid}").text

    assert ["Table", "Image"] == [next(iter(item)) for item in json.loads(done["final"])["__list__"]]
    assert "<td>999</td>" in page
    assert "… 500 more rows" in page
    assert 'src="data:image/png;base64,' in page


def test_a_forgotten_return_fails_the_job(admin: Panel) -> None:
    """With the remedy."""
    done = admin.wait(admin.launch("declared", "forgot"))

    assert "error" == done["status"]
    assert "forgot returned nothing: end it with a `return`" in done["final"]
