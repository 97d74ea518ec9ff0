"""Locks over HTTP, as Sumi and MIP-003 show them: real runner, real hosts."""

from typing import Any

import httpx
import pytest

from gateway.core.hashes import input_hash
from tests.gateway.asking import LATER, NO_LOCK, Asking
from tests.gateway.stage import UNKNOWN

pytestmark = pytest.mark.asyncio(loop_scope="module")

# -- sumi ------------------------------------------------------------------------------------------------------------

FIELD = {"id": "greeting", "type": "text", "name": "Greeting", "data": None, "validations": {"optional": True}}


async def test_a_lock_is_answered_through_sumi(asking: Asking) -> None:
    """Status, schema and answer have the notebook's shapes; the hash is MIP-004's with the purchaser's identifier."""
    fid = await asking.start()
    lid = await asking.lock(fid)
    schema = {"input_data": [FIELD], "input_groups": None}

    status = (await asking.call("GET", f"/sumi/status/{fid}")).json()
    lock = (await asking.call("GET", f"/sumi/lock/{fid}/{lid}")).json()
    answer = await asking.call("POST", f"/sumi/lock/{fid}/{lid}", json={"input_data": {"greeting": "hello"}})
    after = (await asking.call("GET", f"/sumi/lock/{fid}/{lid}")).json()

    assert status["status"] == "awaiting_input"
    assert status["input_schema"] == [{"lock_id": lid, **schema, "expires_at": lock["expires_at"]}]
    assert lock == {
        "job_id": fid,
        "status_id": lid,
        "status": "pending",
        "input_schema": schema,
        "expires_at": lock["expires_at"],
        "prompt": "greeting",
    }
    assert lock["expires_at"] > status["updated_at"]
    assert answer.status_code == 201
    digest = input_hash("aabbaabb11221122aabb", {"greeting": "hello"})
    assert answer.json() == {"status": "success", "input_hash": digest}
    assert after["status"] == "released"
    await asking.result(fid)
    done = (await asking.call("GET", f"/sumi/status/{fid}")).json()
    assert (done["status"], done["input_schema"]) == ("completed", None)


async def test_what_goes_wrong_is_an_answer_of_sumi(asking: Asking) -> None:
    """A refused answer is an error with the fields, not a success; so is one that is late or for nothing."""
    fid = await asking.start()
    lid = await asking.lock(fid)
    path = f"/sumi/lock/{fid}/{lid}"

    refused = await asking.call("POST", path, json={"input_data": {"greeting": "damn"}})
    pending = (await asking.call("GET", path)).json()["status"]
    await asking.call("POST", path, json={"input_data": {"greeting": "hello"}})
    late = await asking.call("POST", path, json={"input_data": {"greeting": "hello"}})
    unknown = await asking.call("POST", f"/sumi/lock/{fid}/{NO_LOCK}", json={"input_data": {}})

    assert refused.status_code == 201
    assert refused.json() == {
        "status": "error",
        "input_hash": None,
        "error": "greeting: ['Be polite.']; _global_: []",
        "errors": {"greeting": ["Be polite."], "_global_": []},
    }
    assert pending == "pending"
    for answer, text in ((late, "was answered already: this answer was not taken"), (unknown, "not found.")):
        assert (answer.status_code, answer.json()["status"], answer.json()["input_hash"]) == (201, "error", None)
        assert answer.json()["error"].endswith(text)
    assert (await asking.call("POST", path, json={"input_data": [1]})).status_code == 400
    assert (await asking.call("POST", path, json={})).status_code == 400
    assert (await asking.call("GET", f"/sumi/lock/{fid}/{NO_LOCK}")).status_code == 404


async def test_an_expired_lock_says_so(asking: Asking) -> None:
    """Its status is `expired`; the job has failed because nobody answered."""
    fid = await asking.start(timeout=0.05)
    lid = await asking.lock(fid)
    await asking.result(fid)

    lock = (await asking.call("GET", f"/sumi/lock/{fid}/{lid}")).json()
    answer = await asking.call("POST", f"/sumi/lock/{fid}/{lid}", json={"input_data": {}})
    status = (await asking.call("GET", f"/sumi/status/{fid}")).json()

    assert lock["status"] == "expired"
    assert answer.json()["error"].endswith("has expired: this answer was not taken")
    assert status["status"] == "failed"


async def test_a_foreign_lock_is_unknown_to_sumi(asking: Asking) -> None:
    """Another user can neither see, answer nor provide input."""
    fid = await asking.start()
    lid = await asking.lock(fid)
    foreign = await asking.edge.new_user("sumi-foreigner")
    post = asking.edge.http.post

    shown = await asking.edge.http.get(f"/sumi/lock/{fid}/{lid}", headers=foreign)
    answer = await post(f"/sumi/lock/{fid}/{lid}", headers=foreign, json={"input_data": {"greeting": "x"}})
    body = {"job_id": fid, "input_data": {f"{lid}:greeting": "x"}}
    provided = await post("/sumi/asking/provide_input", headers=foreign, json=body)

    assert (shown.status_code, provided.status_code) == (404, 404)
    assert answer.json()["status"] == "error"
    assert answer.json()["error"] == f"Execution {fid} not found."
    assert (await asking.call("GET", f"/sumi/lock/{fid}/{lid}")).json()["status"] == "pending"


# -- provide_input ---------------------------------------------------------------------------------------------------


async def provide(asking: Asking, fid: str, data: Any, **more: Any) -> httpx.Response:
    headers = more.pop("headers", {})
    body = {"job_id": fid, "input_data": data, **more}
    return await asking.call("POST", "/sumi/asking/provide_input", json=body, headers=headers)


async def test_input_is_provided_to_all_locks_at_once(asking: Asking) -> None:
    """The later status groups the fields by lock; their answers go together, hashed as they were sent."""
    fid = await asking.start(how="two")
    asked = {item["name"]: item["lid"] for item in await asking.events(fid, "lock", 2)}
    status = (await asking.call("GET", f"/sumi/status/{fid}", headers=LATER)).json()

    data = {f"{asked['greeting']}:greeting": "hello", f"{asked['plain']}:a": "x"}
    answer = await provide(asking, fid, data)

    groups = {group["title"]: group for group in status["input_schema"]["input_groups"]}
    assert {title: group["id"] for title, group in groups.items()} == asked
    assert [field["id"] for field in groups["plain"]["input_data"]] == [f"{asked['plain']}:a"]
    assert groups["greeting"]["input_data"][0]["type"] == "none"  # the text above it
    digest = input_hash("aabbaabb11221122aabb", data)
    assert (answer.status_code, answer.json()) == (201, {"input_hash": digest, "signature": digest})
    assert (await asking.result(fid)) == {"__list__": [{"dict": {"said": "hello", "to": None}}, {"dict": {"a": "x"}}]}


@pytest.mark.parametrize("named", [True, False])
async def test_a_lock_may_be_named_once(asking: Asking, named: bool) -> None:
    """`status_id` says whose the fields are; the only lock that waits needs no name."""
    fid = await asking.start()
    lid = await asking.lock(fid)

    answer = await provide(asking, fid, {"greeting": "hello"}, **({"status_id": lid} if named else {}))

    assert answer.status_code == 201
    assert await asking.result(fid) == {"dict": {"said": "hello", "to": "Ada"}}


async def test_wrong_input_names_its_fields(asking: Asking) -> None:
    """400 with the fields as they were sent; 409 for a lock that is over; the job's own service must be asked."""
    fid = await asking.start(how="two")
    asked = {item["name"]: item["lid"] for item in await asking.events(fid, "lock", 2)}
    greeting, plain = asked["greeting"], asked["plain"]

    for data, key in (
        ({"greeting": "x"}, "greeting"),
        ({f"{NO_LOCK}:a": "x"}, f"{NO_LOCK}:a"),
        ({f"{greeting}:greeting": "damn"}, f"{greeting}:greeting"),
        ({}, "input_data"),
        ("x", "input_data"),
    ):
        answer = await provide(asking, fid, data)
        assert (answer.status_code, f"'key': '{key}'" in answer.json()["detail"]) == (400, True), answer.text
    partly = await provide(asking, fid, {f"{plain}:a": "x", f"{greeting}:greeting": "damn"})
    over = await provide(asking, fid, {f"{greeting}:greeting": "hello", f"{plain}:a": "x"})
    waiting = (await asking.call("GET", f"/sumi/status/{fid}")).json()["input_schema"]

    assert partly.status_code == 400
    assert "Be polite." in partly.json()["detail"]
    assert f"{plain} was answered before" in partly.json()["detail"]
    assert (over.status_code, "was answered already: no answer was taken" in over.json()["detail"]) == (409, True)
    assert [schema["lock_id"] for schema in waiting] == [greeting]
    for path, body in (
        ("/sumi/other/provide_input", {"job_id": fid, "input_data": {}}),
        ("/sumi/asking/provide_input", {"job_id": UNKNOWN, "input_data": {}}),
        ("/sumi/asking/provide_input", {"job_id": "nonsense", "input_data": {}}),
    ):
        assert (await asking.call("POST", path, json=body)).status_code == 404


async def test_provided_input_may_be_sent_again(asking: Asking) -> None:
    """With an `Idempotency-Key` the second time answers as the first."""
    fid = await asking.start(how="two")
    asked = {item["name"]: item["lid"] for item in await asking.events(fid, "lock", 2)}
    data = {f"{asked['greeting']}:greeting": "hello", f"{asked['plain']}:a": "x"}
    headers = {"Idempotency-Key": f"all-{fid}"}

    first = await provide(asking, fid, data, headers=headers)
    again = await provide(asking, fid, data, headers=headers)

    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()


async def test_the_later_shape_of_an_answer(asking: Asking) -> None:
    """Who asks for the MIP-003 text gets the hash and the signature, and errors as errors."""
    fid = await asking.start()
    lid = await asking.lock(fid)
    path = f"/sumi/lock/{fid}/{lid}"

    refused = await asking.call("POST", path, json={"input_data": {"greeting": "damn"}}, headers=LATER)
    taken = await asking.call("POST", path, json={"input_data": {"greeting": "hello"}}, headers=LATER)
    late = await asking.call("POST", path, json={"input_data": {"greeting": "hello"}}, headers=LATER)

    assert (refused.status_code, "Be polite." in refused.json()["detail"]) == (400, True)
    assert set(taken.json()) == {"input_hash", "signature"}
    assert late.status_code == 409


async def test_an_expose_may_be_called_lock(asking: Asking) -> None:
    """Its flows answer beside the locks of jobs."""
    for path in ("/sumi/lock/flow/availability", "/sumi/lock/availability"):
        answer = await asking.call("GET", path)
        assert answer.json()["message"].endswith("not found or not available")
    answer = await asking.call("POST", "/sumi/lock/flow/start_job", json={"identifier_from_purchaser": "x"})
    assert (answer.status_code, answer.json()["detail"]) == (404, "Service 'lock/flow' not found")
    answer = await asking.call("GET", "/sumi/lock/flow/input_schema")
    assert answer.json()["detail"] == "Service 'lock/flow' not found"
    assert (await asking.call("POST", "/sumi/lock/flow/provide_input", json={})).status_code == 400
