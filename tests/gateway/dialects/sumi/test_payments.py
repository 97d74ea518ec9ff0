"""Paid services of Sumi: real payments on the embedded ledger, as the buyers of the MIP-003 text see them."""

import re
import secrets
from typing import Any

import httpx
import pytest
import pytest_asyncio

from gateway.core.hashes import input_hash
from tests.gateway import stack
from tests.gateway.asking import LATER, Asking

pytestmark = pytest.mark.asyncio(loop_scope="module")

AGENT = "7e8bdaf2b2b919a3a4b94002cafb50086c0c845fe535d07a77ab7f77" + "ab" * 32
TIMES = ("payByTime", "submitResultTime", "unlockTime", "externalDisputeUnlockTime")
PURCHASE = {"blockchainIdentifier", *TIMES, "agentIdentifier", "sellerVKey"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(edge: stack.Edge) -> Asking:
    """The mesh with the same flows twice: `paid`, whose meta names an agent, and `free`."""
    asking = Asking(edge)
    for name, data in (("paid", f"display: Paid\nagentIdentifier: {AGENT}\n"), ("free", "display: Free\n")):
        meta = [{"url": f"/{name}/", "data": data}]
        saved = await asking.panel.save(name=name, bootstrap="import_path: tests.runner.samples.locking:app", meta=meta)
        assert saved.status_code == 201, saved.text
    booted = await asking.call("POST", "/boot/")
    assert "✔ Boot completed" in booted.text, booted.text
    return asking


async def start(shop: Asking, expose: str, headers: Any = None, **body: Any) -> httpx.Response:
    return await shop.call("POST", f"/sumi/{expose}/start_job", json=body, headers=headers or {})


async def buy(shop: Asking, said: dict[str, Any], **changed: str) -> httpx.Response:
    """Pay for what a start_job has answered, as a buyer does: every value is passed on."""
    body = {
        "identifierFromPurchaser": said["identifierFromPurchaser"],
        "network": "Preprod",
        "sellerVkey": said["sellerVKey"],
        "blockchainIdentifier": said["blockchainIdentifier"],
        "agentIdentifier": said["agentIdentifier"],
        "inputHash": said["input_hash"],
        **{key: str(said[key]) for key in TIMES},
        **changed,
    }
    return await shop.edge.http.post("/api/v1/purchase/", json=body, headers={"token": "dev"})


async def test_a_paid_job_answers_with_what_to_pay(shop: Asking) -> None:
    """The MIP-003 shape has the purchase data at once; with them the job is paid, asks, is answered and ends."""
    identifier = secrets.token_hex(13)

    answer = await start(shop, "paid", LATER, identifier_from_purchaser=identifier, input_data={"how": "greet"})
    said = answer.json()
    job_id = said["job_id"]
    waiting = (await shop.call("GET", f"/sumi/status/{job_id}", headers=LATER)).json()
    bought = await buy(shop, said)
    lid = await shop.lock(job_id)
    asking = (await shop.call("GET", f"/sumi/status/{job_id}", headers=LATER)).json()
    data = {f"{lid}:greeting": "hello"}
    body = {"job_id": job_id, "status_id": lid, "input_data": data}
    provided = await shop.call("POST", "/sumi/paid/provide_input", json=body)
    await shop.result(job_id)
    done = (await shop.call("GET", f"/sumi/status/{job_id}", headers=LATER)).json()

    assert (answer.status_code, said["status"], said["error"]) == (201, "awaiting_payment", None)
    assert re.fullmatch(r"([0-9a-f]{2}){100,}", said["blockchainIdentifier"])
    assert re.fullmatch(r"[0-9a-f]{56}", said["sellerVKey"])
    assert said["agentIdentifier"] == AGENT
    assert said["input_hash"] == input_hash(identifier, {"how": "greet"})
    times = [said[key] for key in TIMES]
    assert times == sorted(times)
    assert all(isinstance(moment, int) and moment > 1_700_000_000_000 for moment in times)
    assert {key: waiting[key] for key in PURCHASE} == {key: said[key] for key in PURCHASE}
    assert (waiting["status"], waiting["input_schema"]) == ("awaiting_payment", None)
    assert bought.status_code == 200, bought.text
    assert asking["status"] == "awaiting_input"
    (group,) = asking["input_schema"]["input_groups"]
    assert (group["id"], group["title"]) == (lid, "greeting")
    assert provided.json()["input_hash"] == input_hash(identifier, data)
    assert (done["status"], done["result"]) == ("completed", '{"dict":{"said":"hello","to":"Ada"}}')
    lock = (await shop.call("GET", f"/sumi/lock/{job_id}/{lid}")).json()
    assert lock["expires_at"] <= said["submitResultTime"] / 1000 - 15 * 60 + 1


async def test_the_notebook_s_shape_says_nothing_of_money(shop: Asking) -> None:
    """There the start says `running`, at once, and the purchase data are on the stream only."""
    answer = await start(shop, "paid", identifier_from_purchaser=secrets.token_hex(7), input_data={})
    status = (await shop.call("GET", f"/sumi/status/{answer.json()['job_id']}")).json()

    assert answer.json()["status"] == "running"
    assert status["status"] == "awaiting_payment"
    assert PURCHASE.isdisjoint(answer.json().keys() | status.keys())


async def test_the_same_key_asks_to_pay_once(shop: Asking) -> None:
    """A start that is sent again with its `Idempotency-Key` is the same job with the same escrow."""
    body: dict[str, Any] = {"identifier_from_purchaser": secrets.token_hex(13), "input_data": {}}
    headers = {**LATER, "Idempotency-Key": secrets.token_hex(8)}

    first = (await start(shop, "paid", headers, **body)).json()
    again = (await start(shop, "paid", headers, **body)).json()

    assert (first["job_id"], first["blockchainIdentifier"]) == (again["job_id"], again["blockchainIdentifier"])


@pytest.mark.parametrize("headers", [{}, LATER])
@pytest.mark.parametrize(
    ("identifier", "reason"),
    [
        ("demo-123", "is not hex"),
        ("aé" * 8, "is not hex"),
        ("", "has 0 characters"),
        ("ab" * 6, "has 12 characters"),
        ("ab" * 14, "has 28 characters"),
        ("a" * 15, "has an odd number of digits"),
    ],
)
async def test_a_paid_service_says_what_identifier_it_takes(
    shop: Asking, headers: Any, identifier: str, reason: str
) -> None:
    """400 with the reason, in the panel's envelope; no job is started."""
    answer = await start(shop, "paid", headers, identifier_from_purchaser=identifier, input_data={})

    assert (answer.status_code, answer.json()["error"]) == (400, "ValidationException")
    assert f"'{reason}: send 14 to 26 hex digits" in answer.json()["detail"]
    assert "'key': 'identifier_from_purchaser'" in answer.json()["detail"]


async def test_an_identifier_is_optional_where_nothing_is_paid(shop: Asking) -> None:
    """Buyers of a free service send none in the MIP-003 shape; the notebook's shape and paid services want one."""
    free = await start(shop, "free", LATER, input_data={"how": "plain"})
    for expose, headers in (("free", {}), ("paid", {}), ("paid", LATER)):
        refused = await start(shop, expose, headers, input_data={})
        assert refused.status_code == 400
        assert "[{'message': 'Field required', 'key': 'identifier_from_purchaser'}]" in refused.json()["detail"]

    assert (free.status_code, free.json()["status"]) == (201, "running")
    assert free.json()["identifierFromPurchaser"] is None
    assert free.json()["input_hash"] == input_hash("", {"how": "plain"})
    assert PURCHASE.isdisjoint(free.json())
    assert await shop.lock(free.json()["job_id"])


async def test_an_agent_that_nobody_knows_fails_the_job(shop: Asking) -> None:
    """The answer says that the job has failed and why, and there is nothing to pay."""
    meta = [{"url": "/unknown/", "data": "display: Unknown\nagentIdentifier: 00ff\n"}]
    await shop.panel.save(name="unknown", bootstrap="import_path: tests.runner.samples.locking:app", meta=meta)
    await shop.call("POST", "/boot/refresh/unknown")

    answer = await start(shop, "unknown", LATER, identifier_from_purchaser=secrets.token_hex(13))

    assert answer.status_code == 201
    assert answer.json()["status"] == "failed", answer.json()
    assert answer.json()["error"]
    assert answer.json()["blockchainIdentifier"] is None
