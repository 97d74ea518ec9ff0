"""A job's events over a WebSocket, through Envoy."""

import asyncio
import contextlib
import json
from typing import Any

import httpx
import pytest
from agentmesh_protos.runner.v1 import job_pb2
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway.http.exchange import BASE_URL_HEADER
from tests.gateway.stack import DEADLINE_S, sign_in
from tests.gateway.stage import UNKNOWN, Stage, job

pytestmark = pytest.mark.asyncio(loop_scope="module")

EVENTS = [
    job_pb2.Event(seq=1, kind="status", time=1.5, payload="queued"),
    job_pb2.Event(seq=2, kind="stdout", time=2.5, payload='"ü" & <b>'),
    job_pb2.Event(seq=3, kind="status", time=3.5, payload="succeeded"),
]


def watching(stage: Stage, job_id: str, headers: dict[str, str], *, query: str = "") -> connect:
    """Return a WebSocket to a job's events, to be opened."""
    url = f"ws{stage.url.removeprefix('http')}/mesh/v1/jobs/{job_id}:watch{query}"
    return connect(url, additional_headers=headers, open_timeout=DEADLINE_S, proxy=None)


def token(client: httpx.AsyncClient) -> dict[str, str]:
    """Return the header that a client of the stage signs its requests with."""
    return {"KODOSUMI_API_KEY": client.headers["KODOSUMI_API_KEY"]}


def cookie(client: httpx.AsyncClient) -> dict[str, str]:
    """Return the same as browsers send it."""
    return {"cookie": f"kodosumi_jwt={client.headers['KODOSUMI_API_KEY']}"}


async def frames(socket: ClientConnection) -> list[Any]:
    """Return all frames until the WebSocket is closed."""
    return [json.loads(frame) async for frame in socket]


async def refusal(opening: connect) -> httpx.Response:
    """Return the answer to an upgrade that is refused."""
    with pytest.raises(InvalidStatus) as caught:
        await opening
    answer = caught.value.response
    return httpx.Response(
        answer.status_code, headers=list(answer.headers.raw_items()), content=bytes(answer.body or b"")
    )


async def closed(socket: ClientConnection) -> tuple[int, str]:
    """Wait until the other side closes; return its code and reason."""
    async with asyncio.timeout(DEADLINE_S):
        with contextlib.suppress(ConnectionClosed):
            while True:
                await socket.recv()
    return socket.close_code or 0, socket.close_reason or ""


def open_job(stage: Stage) -> str:
    """Return a job of alice's whose log does not end."""
    job_id = stage.runner.add(job(stage.owner), EVENTS[:1])
    stage.runner.go_on[job_id] = asyncio.Event()
    return job_id


async def test_every_event_is_a_frame(stage: Stage) -> None:
    """As the typed API has it; behind the last one it is closed."""
    job_id = stage.runner.add(job(stage.owner, "SUCCEEDED"), EVENTS[:2], EVENTS[2:])
    async with watching(stage, job_id, token(stage.alice)) as socket:
        found = await frames(socket)

    assert found == [
        {"seq": "1", "kind": "status", "time": 1.5, "payload": "queued"},
        {"seq": "2", "kind": "stdout", "time": 2.5, "payload": '"ü" & <b>'},
        {"seq": "3", "kind": "status", "time": 3.5, "payload": "succeeded"},
    ]
    assert 1000 == socket.close_code


async def test_a_client_goes_on_where_it_was(stage: Stage) -> None:
    """Behind the event whose number it gives."""
    job_id = stage.runner.add(job(stage.owner, "SUCCEEDED"), EVENTS)
    async with watching(stage, job_id, token(stage.alice), query="?after_seq=2") as socket:
        found = await frames(socket)

    assert ["3"] == [event["seq"] for event in found]


async def test_an_event_arrives_when_it_happens(stage: Stage) -> None:
    """The WebSocket is open while the job is silent."""
    job_id = open_job(stage)
    async with watching(stage, job_id, token(stage.alice)) as socket:
        first = json.loads(await socket.recv())
        stage.runner.logs[job_id].append(EVENTS[1:])
        stage.runner.go_on.pop(job_id).set()
        rest = await frames(socket)

    assert ["1", "2", "3"] == [first["seq"], *[event["seq"] for event in rest]]


async def test_who_hangs_up_is_watched_for_no_more(stage: Stage) -> None:
    """The call to the runner ends."""
    job_id = open_job(stage)
    hung_up = stage.runner.hung_up[job_id] = asyncio.Event()
    async with watching(stage, job_id, token(stage.alice)) as socket:
        await socket.recv()

    await asyncio.wait_for(hung_up.wait(), DEADLINE_S)


@pytest.mark.parametrize(
    ("job_id", "headers", "status", "code"),
    [
        ("mine", {}, 401, 16),
        ("mine", {"KODOSUMI_API_KEY": "forged"}, 401, 16),
        (UNKNOWN, None, 404, 5),
        ("bobs", None, 404, 5),
    ],
)
async def test_who_may_not_is_told_so_in_http(
    stage: Stage, job_id: str, headers: dict[str, str] | None, status: int, code: int
) -> None:
    """Nothing is accepted; the body is the typed API's."""
    bob = f"users/{(await stage.admin.get('/role/bob')).json()['id']}"
    named = {
        "mine": stage.runner.add(job(stage.owner), EVENTS),
        "bobs": stage.runner.add(job(bob), EVENTS),
    }
    sent = token(stage.alice) if headers is None else headers
    answer = await refusal(watching(stage, named.get(job_id, job_id), sent))

    assert (status, code) == (answer.status_code, answer.json()["code"])


async def test_a_place_that_is_no_number_is_refused(stage: Stage) -> None:
    """By the name of the field."""
    job_id = stage.runner.add(job(stage.owner), EVENTS)
    answer = await refusal(watching(stage, job_id, token(stage.alice), query="?after_seq=x"))
    violations = answer.json()["details"][-1]["fieldViolations"]

    assert (400, "after_seq") == (answer.status_code, violations[0]["field"])


async def test_a_cookie_counts_on_our_own_pages_only(stage: Stage) -> None:
    """Browsers send it from everybody's, and name the page; a token that is sent on purpose counts from anywhere."""
    job_id = stage.runner.add(job(stage.owner, "SUCCEEDED"), EVENTS)
    foreign = {"origin": "https://elsewhere.example"}
    spoofed = {**foreign, BASE_URL_HEADER: foreign["origin"]}
    for headers in (foreign, {"origin": "null"}, spoofed):
        answer = await refusal(watching(stage, job_id, {**cookie(stage.alice), **headers}))
        assert 403 == answer.status_code
    for headers in (
        cookie(stage.alice),
        {**cookie(stage.alice), "origin": stage.url},
        {**token(stage.alice), **foreign},
    ):
        async with watching(stage, job_id, headers) as socket:
            assert len(EVENTS) == len(await frames(socket))


async def test_who_signs_out_is_gone(stage: Stage) -> None:
    """From an open WebSocket too; the others of the same user stay."""
    job_id = open_job(stage)
    leaving = await sign_in(stage.nobody, "alice", "alice's own password")
    async with (
        watching(stage, job_id, leaving) as gone,
        watching(stage, job_id, token(stage.alice)) as staying,
    ):
        await gone.recv()
        await staying.recv()
        assert 200 == (await stage.nobody.get("/logout", headers=leaving)).status_code
        code, reason = await closed(gone)
        stage.runner.logs[job_id].append(EVENTS[1:])
        stage.runner.go_on.pop(job_id).set()
        rest = await frames(staying)

    assert (4401, "token has been revoked: sign in again") == (code, reason)
    assert 2 == len(rest)


async def test_without_an_upgrade_it_is_the_rpc(stage: Stage) -> None:
    """The same path, answered by the runner, a JSON document on each line."""
    job_id = stage.runner.add(job(stage.owner, "SUCCEEDED"), EVENTS)
    answer = await stage.alice.get(f"/mesh/v1/jobs/{job_id}:watch")
    lines = [json.loads(line) for line in answer.text.splitlines()]

    assert (200, "application/x-ndjson") == (answer.status_code, answer.headers["content-type"])
    assert [event.seq for event in EVENTS] == [int(event["seq"]) for line in lines for event in line["events"]]


@pytest.mark.parametrize("path", ["/mesh/v1/nothing", "/nothing", "/mesh/v1/jobs/a/b:watch"])
async def test_there_is_no_websocket_elsewhere(stage: Stage, path: str) -> None:
    """404 in the shape of whose path it is."""
    url = f"ws{stage.url.removeprefix('http')}{path}"
    answer = await refusal(connect(url, additional_headers=token(stage.alice), open_timeout=DEADLINE_S, proxy=None))

    assert 404 == answer.status_code
    assert (answer.json().get("error") == "NotFoundException") is (not path.startswith("/mesh/"))
