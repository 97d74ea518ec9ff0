"""Flows as agentic services: real jobs and a real ledger, called by strangers as the text of MIP-003 says."""

import asyncio
import dataclasses
import pathlib
import re
import secrets
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from gateway.core.hashes import input_hash
from gateway.dialects import DIALECTS, mip003
from gateway.edge.front import NOBODY, Rate
from meshkit.principal import GUEST
from tests.gateway import stack
from tests.gateway.asking import NO_LOCK, Asking
from tests.gateway.stage import UNKNOWN
from tests.ports import free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

AGENT = "7e8bdaf2b2b919a3a4b94002cafb50086c0c845fe535d07a77ab7f77" + "cd" * 32
TIMES = ("payByTime", "submitResultTime", "unlockTime", "externalDisputeUnlockTime")
BUYER = {"accept": "*/*", "user-agent": "python-requests/2.32.5"}
"""All that a buyer sends beside its body."""
METAS = {
    "open": "display: Open\npublic: true\ndemo: {input: {how: plain}, output: {result: Hello}}\n",
    "sold": f"display: Sold\nagentIdentifier: {AGENT}\n",
    "kept": f"display: Kept\nagentIdentifier: {AGENT}\npublic: false\n",
    "plain": "display: Plain\n",
}


class Shop:
    """A buyer of the flows of `tests/runner/samples/locking.py`, which knows nothing but base URLs."""

    def __init__(self, asking: Asking) -> None:
        self.asking = asking
        self.http = asking.edge.http

    async def get(self, path: str, **params: str) -> httpx.Response:
        """Ask without a login."""
        return await self.http.get(f"/mip003/{path}", params=params, headers=BUYER)

    async def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        """Send without a login."""
        return await self.http.post(f"/mip003/{path}", json=body, headers={**BUYER, **headers})

    async def start(self, base: str, **inputs: Any) -> dict[str, Any]:
        """Start a job; return the answer."""
        body = {"identifier_from_purchaser": secrets.token_hex(10), "input_data": inputs}
        answer = await self.post(f"{base}/start_job", body)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def until(self, base: str, job_id: str, status: str) -> dict[str, Any]:
        """Poll as buyers do until a job stands so."""
        async with asyncio.timeout(stack.DEADLINE_S):
            while True:
                said = (await self.get(f"{base}/status", job_id=job_id)).json()
                if said["status"] == status:
                    return dict(said)
                assert said["status"] not in ("completed", "failed"), said
                await asyncio.sleep(0.05)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(edge: stack.Edge) -> AsyncIterator[Shop]:
    """The mesh with the same flow under metas that differ."""
    asking = Asking(edge)
    for name, data in METAS.items():
        meta = [{"url": f"/{name}/", "data": data}]
        saved = await asking.panel.save(name=name, bootstrap="import_path: tests.runner.samples.locking:app", meta=meta)
        assert saved.status_code == 201, saved.text
    await asking.panel.save(
        name="deep",
        bootstrap="import_path: tests.gateway.dialects.mip003.deep_app:app",
        meta=[{"url": path, "data": "public: true\n"} for path in ("/deep/a/eins", "/deep/b/eins", "/deep/日本語")],
    )
    booted = await asking.call("POST", "/boot/")
    assert "✔ Boot completed" in booted.text, booted.text
    yield Shop(asking)


async def test_a_stranger_starts_answers_and_reads_a_job(shop: Shop) -> None:
    """Without a login, at one base URL, in the text's shapes; what has no value is not there."""
    available = (await shop.get("open/availability")).json()
    schema = (await shop.get("open/input_schema")).json()
    demo = (await shop.get("open/demo")).json()
    said = await shop.start("open", how="greet")
    asked = await shop.until("open", said["job_id"], "awaiting_input")
    body = {"job_id": said["job_id"], "status_id": asked["id"], "input_data": {"greeting": "hello"}}
    provided = await shop.post("open/provide_input", body)
    done = await shop.until("open", said["job_id"], "completed")

    assert available == {"status": "available", "type": "masumi-agent", "message": "Open is ready to accept jobs"}
    optional = [{"validation": "optional", "value": "true"}]
    assert schema == {
        "input_data": [
            {"id": "how", "type": "text", "name": "How", "data": {"default": "greet"}, "validations": optional},
            {"id": "timeout", "type": "number", "validations": optional},
        ]
    }
    assert demo == {"input": {"how": "plain"}, "output": {"result": "Hello"}}
    identifier = said["identifierFromPurchaser"]
    assert said.keys() == {"id", "job_id", "status", "identifierFromPurchaser", "input_hash"}
    assert (said["status"], said["input_hash"]) == ("success", input_hash(identifier, {"how": "greet"}))
    assert asked.keys() == {"id", "job_id", "status", "input_schema"}
    assert [field["id"] for field in asked["input_schema"]["input_data"]] == ["info", "greeting"]
    digest = input_hash(identifier, {"greeting": "hello"})
    assert (provided.status_code, provided.json()["status"]) == (200, "success")
    assert provided.json()["input_hash"] == digest
    assert done == {
        "id": done["id"],
        "job_id": said["job_id"],
        "status": "completed",
        "result": '{"dict":{"said":"hello","to":"Ada"}}',
    }


async def test_a_stranger_pays(shop: Shop) -> None:
    """A flow with an agent is public by itself; its start has what to pay, and the job waits until it is paid."""
    said = await shop.start("sold", how="plain")
    waiting = (await shop.get("sold/status", job_id=said["job_id"])).json()
    purchase = {
        "identifierFromPurchaser": said["identifierFromPurchaser"],
        "network": "Preprod",
        "sellerVkey": said["sellerVKey"],
        "blockchainIdentifier": said["blockchainIdentifier"],
        "agentIdentifier": said["agentIdentifier"],
        "inputHash": said["input_hash"],
        **{key: str(said[key]) for key in TIMES},
    }
    bought = await shop.http.post("/api/v1/purchase/", json=purchase, headers={"token": "dev"})
    asked = await shop.until("sold", said["job_id"], "awaiting_input")

    assert said["agentIdentifier"] == AGENT
    assert re.fullmatch(r"[0-9a-f]{56}", said["sellerVKey"])
    times = [said[key] for key in TIMES]
    assert times == sorted(times)
    assert all(moment > 1_700_000_000_000 for moment in times)
    assert waiting["status"] == "awaiting_payment"
    assert bought.status_code == 200, bought.text
    assert [field["id"] for field in asked["input_schema"]["input_data"]] == ["a"]


async def test_the_same_key_is_the_same_job(shop: Shop) -> None:
    """A buyer whose answer was lost asks again, and is asked to pay once."""
    body = {"identifier_from_purchaser": secrets.token_hex(10), "input_data": {"how": "plain"}}
    key = {"Idempotency-Key": secrets.token_hex(8)}

    first, again = [(await shop.post("sold/start_job", body, **key)).json() for _ in range(2)]

    assert first == again


async def test_several_questions_are_groups(shop: Shop) -> None:
    """A job that asks twice at once has a group for each, and both may be answered in one go."""
    said = await shop.start("open", how="two")
    async with asyncio.timeout(stack.DEADLINE_S):
        asked: dict[str, Any] = {}
        while len(asked.get("input_schema", {}).get("input_groups", ())) < 2:
            asked = await shop.until("open", said["job_id"], "awaiting_input")
    groups = {group["title"]: group for group in asked["input_schema"]["input_groups"]}
    sent = {groups["greeting"]["id"]: {"greeting": "hello"}, groups["plain"]["id"]: {"a": "b"}}
    body = {"job_id": said["job_id"], "status_id": asked["id"], "input_groups": sent}
    provided = await shop.post("open/provide_input", body)
    done = await shop.until("open", said["job_id"], "completed")
    late = await shop.post("open/provide_input", body)

    assert [field["id"] for field in groups["plain"]["input_data"]] == ["a"]
    assert provided.json()["input_hash"] == input_hash(said["identifierFromPurchaser"], sent)
    assert "hello" in done["result"]
    assert late.status_code == 409, late.text


@pytest.mark.parametrize("base", ["plain", "kept", "nowhere", "open/nowhere"])
async def test_what_is_not_public_is_not_there(shop: Shop, base: str) -> None:
    """Nobody can tell a flow that is not public from none; an explicit `public: false` wins over the agent."""
    answers = [
        await shop.get(f"{base}/input_schema"),
        await shop.get(f"{base}/demo"),
        await shop.post(f"{base}/start_job", {"identifier_from_purchaser": secrets.token_hex(10)}),
    ]
    available = await shop.get(f"{base}/availability")

    assert [answer.status_code for answer in answers] == [404, 404, 404]
    assert {answer.text for answer in answers} == {answers[0].text}
    assert "sign in if it is yours" in answers[0].json()["detail"]
    assert (available.status_code, available.json()["status"]) == (200, "unavailable")


async def test_who_signs_in_runs_what_is_not_public(shop: Shop) -> None:
    """As its owner, whom nobody reads; a cookie is no login here."""
    operator = shop.asking.edge.operator
    cookie = {"cookie": f"kodosumi_jwt={operator['KODOSUMI_API_KEY']}"}

    said = await shop.post("plain/start_job", {"input_data": {"how": "plain"}}, **operator)
    job_id = said.json()["job_id"]
    mine = await shop.http.get("/mip003/plain/status", params={"job_id": job_id}, headers=operator)
    theirs = await shop.get("plain/status", job_id=job_id)
    by_cookie = await shop.post("plain/start_job", {"input_data": {"how": "plain"}}, **cookie)

    assert (said.status_code, mine.status_code) == (200, 200)
    assert theirs.status_code == 404
    assert by_cookie.status_code == 404


async def test_a_job_is_read_below_its_own_flow_only(shop: Shop) -> None:
    """Whatever else is public, and whoever knows its id."""
    said = await shop.start("open", how="plain")
    await shop.until("open", said["job_id"], "awaiting_input")
    body = {"job_id": said["job_id"], "status_id": said["id"], "input_data": {"a": "b"}}

    elsewhere = await shop.get("sold/status", job_id=said["job_id"])
    answered = await shop.post("sold/provide_input", body)
    unknown = await shop.get("open/status", job_id=UNKNOWN)
    nonsense = await shop.get("open/status", job_id="../jobs")
    without = await shop.get("open/status")

    assert [answer.status_code for answer in (elsewhere, answered, unknown, nonsense)] == [404] * 4
    assert elsewhere.json() == {"detail": f"Job '{said['job_id']}' not found"}
    assert (without.status_code, list(without.json()["field_errors"])) == (400, ["job_id"])


async def test_a_user_s_job_is_nobody_else_s(shop: Shop) -> None:
    """A job that a user started elsewhere is not read here, though its flow is public."""
    body = {"identifier_from_purchaser": secrets.token_hex(10), "input_data": {"how": "plain"}}
    started = await shop.asking.call("POST", "/sumi/open/start_job", json=body)

    answer = await shop.get("open/status", job_id=started.json()["job_id"])

    assert started.status_code == 201
    assert answer.status_code == 404


async def test_guests_own_what_strangers_start(shop: Shop) -> None:
    """No user sees these jobs in a list; the operator, who sees all, does."""
    said = await shop.start("open", how="plain")
    user = await shop.asking.edge.new_user("guesser")

    theirs = (await shop.http.get("/timeline/list", params={"pp": "100"}, headers=user)).json()["items"]
    watched = await shop.http.get(f"/outputs/status/{said['job_id']}", headers=user)
    operator = await shop.http.get(f"/mesh/v1/jobs/{said['job_id']}", headers=shop.asking.edge.operator)

    assert theirs == []
    assert watched.status_code == 404
    assert operator.json()["owner"] == GUEST.user


@pytest.mark.parametrize("path", ["/flow", "/timeline/list", "/mesh/v1/jobs", "/mesh/v1/locks", "/mesh/v1/flows"])
async def test_a_guest_is_not_made_by_a_header(shop: Shop, path: str) -> None:
    """Only services of the mesh act for guests; who says so from outside is nobody."""
    answer = await shop.http.get(path, headers={**BUYER, "x-mesh-guest": "1"})

    assert answer.status_code == 401, answer.text


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"identifier_from_purchaser": 5}, ["identifier_from_purchaser"]),
        ({"input_data": []}, ["input_data"]),
        ([], ["body"]),
    ],
)
async def test_a_wrong_start_names_its_fields(shop: Shop, body: Any, fields: list[str]) -> None:
    """400, as the text says."""
    answer = await shop.post("open/start_job", body)

    assert (answer.status_code, list(answer.json()["field_errors"])) == (400, fields), answer.text


async def test_a_paid_service_wants_an_identifier(shop: Shop) -> None:
    """A free one does without, as buyers of free services send none."""
    paid = await shop.post("sold/start_job", {"input_data": {"how": "plain"}})
    free = await shop.post("open/start_job", {"input_data": {"how": "plain"}})
    odd = await shop.post("sold/start_job", {"identifier_from_purchaser": "demo-123"})

    assert (paid.status_code, list(paid.json()["field_errors"])) == (400, ["identifier_from_purchaser"])
    assert (free.status_code, "identifierFromPurchaser" in free.json()) == (200, False)
    assert "send 14 to 26 hex digits" in odd.text


async def test_a_refused_answer_names_its_fields_and_the_job_waits(shop: Shop) -> None:
    """400 for what the form does not take, or is not asked; 409 for a status that is over."""
    said = await shop.start("open", how="greet")
    asked = await shop.until("open", said["job_id"], "awaiting_input")
    body: dict[str, Any] = {"job_id": said["job_id"], "status_id": asked["id"]}

    rude = await shop.post("open/provide_input", {**body, "input_data": {"greeting": "damn"}})
    strange = await shop.post("open/provide_input", {**body, "input_groups": {NO_LOCK: {"greeting": "hello"}}})
    nothing = await shop.post("open/provide_input", body)
    over = await shop.post("open/provide_input", {**body, "status_id": NO_LOCK, "input_data": {"greeting": "hello"}})
    still = await shop.until("open", said["job_id"], "awaiting_input")

    assert (rude.status_code, rude.json()["field_errors"]) == (400, {"greeting": ["Be polite."]})
    assert (strange.status_code, list(strange.json()["field_errors"])) == (400, [NO_LOCK])
    assert (nothing.status_code, list(nothing.json()["field_errors"])) == (400, ["input_data"])
    assert over.status_code == 409
    assert still == asked


async def test_a_flow_is_found_by_its_whole_path(shop: Shop) -> None:
    """Two that end alike are two, and one may be called anything; `api_url` says which base is whose."""
    items = (await shop.asking.call("GET", "/mesh/v1/flows", params={"query": "Deep"})).json()["flows"]
    said = {}
    for path in ("a/eins", "b/eins", "日本語"):
        job = await shop.start(f"deep/{path}")
        said[path] = (await shop.until(f"deep/{path}", job["job_id"], "completed"))["result"]

    assert len(items) == 3
    assert said == {"a/eins": "a", "b/eins": "b", "日本語": "c"}


async def test_the_listing_and_the_registry_name_the_base(shop: Shop) -> None:
    """Of a public flow; others keep Sumi's."""
    listed = (await shop.asking.call("GET", "/sumi", params={"pp": "100"})).json()["items"]
    urls = {item["id"]: item["api_url"] for item in listed}
    base = str(shop.http.base_url).rstrip("/")
    registered = await shop.http.get(
        "/api/v1/registry/agent-identifier",
        params={"network": "Preprod", "agentIdentifier": AGENT},
        headers={"token": "dev"},
    )

    assert urls["open"] == f"{base}/mip003/open"
    assert urls["sold"] == f"{base}/mip003/sold"
    assert urls["kept"] == f"{base}/sumi/kept"
    assert urls["plain"] == f"{base}/sumi/plain"
    assert registered.json()["data"]["Metadata"]["apiBaseUrl"] == f"{base}/mip003/sold"
    for name in ("open", "sold"):
        assert (await shop.http.get(f"{urls[name]}/availability", headers=BUYER)).json()["status"] == "available"


async def test_strangers_are_counted_by_their_address(shop: Shop, edge: stack.Edge, tmp_path: pathlib.Path) -> None:
    """Whoever asks too much is told so in this dialect's shape, and others are not kept waiting."""
    assert {NOBODY: (Rate(50), Rate(1_200, per_s=60))} == mip003.DIALECT.rates
    few = dataclasses.replace(mip003.DIALECT, rates={NOBODY: (Rate(5, per_s=3600),)})  # none comes back meanwhile
    dialects = [few if one is mip003.DIALECT else one for one in DIALECTS]
    config = edge.config.model_copy(update={"port": free_port()})
    elsewhere = httpx.AsyncHTTPTransport(local_address="127.0.0.2")
    asked: dict[str, Any] = {"url": "/mip003/open/status", "params": {"job_id": UNKNOWN}, "headers": BUYER}
    async with (
        stack.enveloped(config, edge.jwks_json, tmp_path, dialects) as http,
        httpx.AsyncClient(base_url=http.base_url, transport=elsewhere, timeout=stack.DEADLINE_S) as greedy,
    ):
        answers = await asyncio.gather(*(greedy.get(**asked) for _ in range(20)))
        panel = await greedy.get("/favicon.ico")
        other = await http.get(**asked)

    refused = [answer for answer in answers if answer.status_code == 429]
    assert ({404, 429}, 15) == ({answer.status_code for answer in answers}, len(refused))
    assert refused[0].json() == {"detail": "too many requests: slow down"}
    assert int(refused[0].headers["retry-after"]) >= 1
    assert panel.status_code == 204
    assert other.status_code == 404
