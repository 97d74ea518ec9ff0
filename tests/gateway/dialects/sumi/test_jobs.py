"""Jobs of the Sumi API, as the notebook's client sees them."""

import json
import time
from typing import Any

import pytest
from agentmesh_protos.runner.v1 import app_pb2, job_pb2

from gateway.core.hashes import input_hash
from tests.gateway.dialects.sumi.shop import ELEMENTS, TextInputs, failing, offer
from tests.gateway.stage import UNKNOWN, Stage, answer, at, job

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(autouse=True)
def _services(stage: Stage) -> None:
    """Offer what the tests look for."""
    offer(stage)


async def start(stage: Stage, body: Any, **options: Any) -> Any:
    return await stage.alice.post("/sumi/form-example/text-inputs/start_job", json=body, **options)


GOOD = {"email": "user@example.com", "username": "DemoUser", "password": "secretpass123"}


# -- start -----------------------------------------------------------------------------------------------------------


async def test_a_missing_identifier_is_refused_as_in_the_notebook(stage: Stage) -> None:
    """The envelope of the missing field is the notebook's, word for word."""
    response = await start(stage, {})
    assert response.status_code == 400
    assert response.json() == {
        "detail": "Validation failed for POST /sumi/form-example/text-inputs/start_job: "
        "[{'message': 'Field required', 'key': 'identifier_from_purchaser'}]",
        "error": "ValidationException",
        "path": "/sumi/form-example/text-inputs/start_job",
        "status_code": 400,
    }
    assert stage.runner.called == []


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"json": {"identifier_from_purchaser": 5}}, "identifier_from_purchaser"),
        ({"json": {"identifier_from_purchaser": None}}, "identifier_from_purchaser"),
        ({"json": {"identifier_from_purchaser": "x" * 1001}}, "identifier_from_purchaser"),
        ({"json": {"identifier_from_purchaser": "x", "input_data": [1]}}, "input_data"),
        ({"json": {"identifier_from_purchaser": "x", "input_data": "a"}}, "input_data"),
        ({"json": {"identifier_from_purchaser": "x", "input_data": {"n": 2**60}}}, "input_data"),
        ({"json": ["x"]}, "body"),
        ({"json": None}, "body"),
        ({"content": b'{"a', "headers": {"content-type": "application/json"}}, "body"),
        ({"content": b'{"a":NaN}', "headers": {"content-type": "application/json"}}, "body"),
        (
            {"content": b'{"identifier_from_purchaser":"\\ud800"}', "headers": {"content-type": "text/json+json"}},
            "body",
        ),
        ({"content": b"\xff", "headers": {"content-type": "application/json"}}, "body"),
        ({"content": b"[" * 100_000, "headers": {"content-type": "application/json"}}, "body"),
        ({"data": {"identifier_from_purchaser": "x"}}, "content-type"),
        ({}, "body"),
    ],
)
async def test_a_wrong_body_names_what_is_wrong(stage: Stage, options: dict[str, Any], key: str) -> None:
    """Wrong types, JSON and content types are a 400 in the same envelope, which names the field."""
    response = await stage.alice.post("/sumi/prime/start_job", **options)
    assert response.status_code == 400
    assert response.json()["error"] == "ValidationException"
    assert f"'key': '{key}'" in response.json()["detail"]
    assert stage.runner.called == []


@pytest.mark.parametrize(
    ("inputs", "error"),
    [
        (
            None,
            "username: ['Username is required']; password: ['Password is required']; email: ['Email is required']; "
            "_global_: []",
        ),
        (
            {"username": "DemoUser"},
            "password: ['Password is required']; email: ['Email is required']; _global_: []",
        ),
        ({"username": "DemoUser", "password": "secretpass123"}, "email: ['Email is required']; _global_: []"),
    ],
)
async def test_what_the_app_refuses_is_a_failed_job(stage: Stage, inputs: Any, error: str) -> None:
    """The app's complaints come back with 201 as the notebook prints them, and with no other key."""
    body = {"identifier_from_purchaser": "demo-123"}
    response = await start(stage, body if inputs is None else {**body, "input_data": inputs})
    assert response.status_code == 201
    assert response.json() == {"status": "failed", "error": error}


async def test_a_job_starts_as_in_the_notebook(stage: Stage) -> None:
    """A start has the notebook's keys, and the app's job keeps who asked, what they sent, and where."""
    response = await start(stage, {"identifier_from_purchaser": "demo-123", "input_data": GOOD})
    assert response.status_code == 201
    body = response.json()
    assert body == {
        "job_id": body["job_id"],
        "status": "running",
        "input_schema": None,
        "result": None,
        "error": None,
        "identifier_from_purchaser": "demo-123",
        "started_at": 1765350253.658858,
        "updated_at": 1765350253.658858,
        "runtime": None,
    }
    (call,) = stage.runner.called
    assert json.loads(call.body) == GOOD
    assert (call.name, call.method, call.path, call.base_url) == (
        "apps/form-example",
        "POST",
        "/text-inputs",
        stage.url,
    )
    extra = json.loads(call.extra_json)
    assert extra == {
        "identifier_from_purchaser": "demo-123",
        "input_hash": extra["input_hash"],
        "sumi_endpoint": "form-example/text-inputs",
    }
    status = (await stage.alice.get(f"/sumi/status/{body['job_id']}")).json()
    assert set(status) == set(body)
    assert status["status"] == "running"


async def test_options_may_be_sent_by_their_index(stage: Stage) -> None:
    """Buyers of the MIP-003 text send indexes: the app gets names, the hash is of what was sent."""
    chosen = {"type": "select", "name": "email", "option": [{"name": "a@example.com"}, {"name": "b@example.com"}]}
    text_inputs = TextInputs(stage)

    def app(request: app_pb2.CallAppRequest) -> app_pb2.CallAppResponse:
        return answer({"elements": [*ELEMENTS, chosen]}) if request.method == "GET" else text_inputs(request)

    stage.runner.apps["form-example"] = app
    body = {"identifier_from_purchaser": "x", "input_data": {**GOOD, "email": [1]}}
    for headers, sent in (({"accept": "application/vnd.mip-003+json"}, "b@example.com"), ({}, [1])):
        assert (await start(stage, body, headers=headers)).status_code == 201
        call = stage.runner.called[-1]
        assert json.loads(call.body)["email"] == sent
        assert json.loads(call.extra_json)["input_hash"] == input_hash("x", body["input_data"])  # type: ignore[arg-type]


async def test_the_key_of_a_request_goes_to_the_runner(stage: Stage) -> None:
    """`Idempotency-Key` becomes the request id; a key whose job was made from other data is refused."""
    body = {"identifier_from_purchaser": "demo-123", "input_data": GOOD}
    first = await start(stage, body, headers={"Idempotency-Key": "k-1"})
    assert stage.runner.called[-1].request_id == "k-1"
    known = first.json()["job_id"]
    stage.runner.apps["form-example"] = lambda _: answer({"result": known}, job=known)
    assert (await start(stage, body, headers={"Idempotency-Key": "k-1"})).json() == first.json()
    other = await start(stage, {**body, "identifier_from_purchaser": "b"}, headers={"Idempotency-Key": "k-1"})
    assert other.status_code == 400
    assert "'key': 'Idempotency-Key'" in other.json()["detail"]


async def test_an_app_that_fails_is_a_failed_job(stage: Stage) -> None:
    """An app that errs, answers without a job or does not run gives 201 and says so."""
    stage.runner.apps["prime"] = failing
    for expose, app, error in (
        ("form-example/text-inputs", lambda _: answer({"detail": "boom"}, 500), "Service returned HTTP 500: boom"),
        ("form-example/text-inputs", lambda _: answer({}), "Service did not return a job ID (fid)"),
        ("prime", failing, "Failed to submit job: Unavailable: no app serves prime"),
    ):
        stage.runner.apps[expose.split("/")[0]] = app
        response = await stage.alice.post(f"/sumi/{expose}/start_job", json={"identifier_from_purchaser": "x"})
        assert response.status_code == 201
        assert set(response.json()) == {"status", "error"}
        assert response.json()["status"] == "failed"
        assert response.json()["error"].startswith(error)
    unknown = await stage.alice.post("/sumi/none/start_job", json={"identifier_from_purchaser": "x"})
    assert unknown.status_code == 404


# -- status ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "given", "shown"),
    [
        ("QUEUED", {}, ("running", None, None)),
        ("RUNNING", {}, ("running", None, None)),
        ("AWAITING_PAYMENT", {}, ("awaiting_payment", None, None)),
        ("AWAITING_INPUT", {}, ("awaiting_input", None, None)),
        ("SUCCEEDED", {"result_json": '{"dict":{"1":2}}'}, ("completed", {"dict": {"1": 2}}, None)),
        ("FAILED", {"error": "ValueError: no"}, ("failed", None, "ValueError: no")),
        ("CANCELLED", {"reason": job_pb2.JOB_REASON_TIMEOUT}, ("failed", None, "timeout")),
    ],
)
async def test_a_status_shows_what_its_state_allows(stage: Stage, state: str, given: Any, shown: Any) -> None:
    """The result is an object and only there once completed, the error is text and only there once failed."""
    extra = json.dumps({"identifier_from_purchaser": "demo-123"})
    job_id = stage.runner.add(job(stage.owner, state, extra_json=extra, **given))
    body = (await stage.alice.get(f"/sumi/status/{job_id}")).json()
    assert (body["status"], body["result"], body["error"]) == shown
    assert body["identifier_from_purchaser"] == "demo-123"
    assert (body["started_at"], body["updated_at"], body["runtime"]) == (1747813970.5, 1747813990.0, 19.5)
    assert body["input_schema"] is None


async def test_the_later_status_is_camel_case(stage: Stage) -> None:
    """Who asks for the later text gets its names, and the result as text."""
    extra = json.dumps({"identifier_from_purchaser": "demo-123", "input_hash": "ab"})
    headers = {"accept": "application/vnd.mip-003+json"}
    for result, text in (
        ('{"Markdown":{"body":"*x*"}}', "*x*"),
        ('{"dict":{"a":"ü"}}', '{"dict":{"a":"ü"}}'),
    ):
        job_id = stage.runner.add(job(stage.owner, "SUCCEEDED", extra_json=extra, result_json=result))
        body = (await stage.alice.get(f"/sumi/status/{job_id}", headers=headers)).json()
        assert body == {
            "job_id": job_id,
            "status": "completed",
            "input_schema": None,
            "result": text,
            "error": None,
            "input_hash": "ab",
            "identifierFromPurchaser": "demo-123",
            "startedAt": 1747813970.5,
            "updatedAt": 1747813990.0,
            "runtime": 19.5,
        }


async def test_a_status_stands_without_the_payments_service(stage: Stage) -> None:
    """While that is away, a paid job's status has nulls in its place."""
    extra = json.dumps({"identifier_from_purchaser": "ab" * 13, "agentIdentifier": "cd"})
    made = job(stage.owner, "AWAITING_PAYMENT", extra_json=extra)
    made.payment = made.name.replace("jobs/", "payments/")
    headers = {"accept": "application/vnd.mip-003+json"}
    body = (await stage.alice.get(f"/sumi/status/{stage.runner.add(made)}", headers=headers)).json()
    assert (body["status"], body["agentIdentifier"]) == ("awaiting_payment", "cd")
    assert [body[key] for key in ("blockchainIdentifier", "payByTime", "sellerVKey")] == [None] * 3


async def test_a_job_is_its_owner_s(stage: Stage) -> None:
    """Another user's job, an unknown one and nonsense are the same 404."""
    job_id = stage.runner.add(job(stage.owner))
    for name in (job_id, UNKNOWN, "nonsense", "availability", "input_schema"):
        response = await stage.bob.get(f"/sumi/status/{name}")
        assert response.status_code == 404
        assert response.json()["detail"] == f"Job '{name}' not found"
    assert (await stage.nobody.get(f"/sumi/status/{job_id}")).status_code == 401


async def test_an_expose_may_be_called_status(stage: Stage) -> None:
    """The services of an expose with that name are there, beside the jobs."""
    stage.registry.add("status", "/", summary="Root")
    stage.registry.add("status", "/flow", summary="Flow")
    stage.runner.apps["status"] = lambda _: answer({"elements": ELEMENTS})
    assert (await stage.alice.get("/sumi/status")).json()["display"] == "Root"
    assert (await stage.alice.get("/sumi/status/flow")).json()["display"] == "Flow"
    assert (await stage.alice.get("/sumi/status/availability")).json()["message"] == "Root is ready to accept jobs"
    assert (await stage.alice.get("/sumi/status/input_schema")).json()["input_data"][0]["id"] == "username"
    assert (await stage.alice.get("/sumi/status/flow/availability")).json()["status"] == "available"
    job_id = stage.runner.add(job(stage.owner, update_time=at(time.time())))
    assert (await stage.alice.get(f"/sumi/status/{job_id}")).json()["status"] == "running"


async def test_a_job_is_asked_for_below_its_service(stage: Stage) -> None:
    """As later clients do, `{service}/status?job_id=`; a job of another service is not there."""
    mine = job(stage.owner, "RUNNING", flow="flows/prime/async", target="flows/prime/async")
    job_id = stage.runner.add(mine)

    found = await stage.alice.get("/sumi/prime/async/status", params={"job_id": job_id})
    same = await stage.alice.get(f"/sumi/status/{job_id}")
    root = await stage.alice.get("/sumi/prime/status", params={"job_id": job_id})
    unknown = await stage.alice.get("/sumi/prime/async/status", params={"job_id": UNKNOWN})
    nothing = await stage.alice.get("/sumi/prime/async/status")
    theirs = await stage.bob.get("/sumi/prime/async/status", params={"job_id": job_id})

    assert (found.status_code, found.json()) == (200, same.json())
    assert [answer.status_code for answer in (root, unknown, nothing, theirs)] == [404] * 4
    assert root.json()["detail"] == f"Job '{job_id}' not found"
