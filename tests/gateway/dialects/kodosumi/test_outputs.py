"""Status, streams and results of executions, as REST clients see them."""

import asyncio
import json
import re
from typing import Any

import httpx
import pytest
from agentmesh_protos.runner.v1 import job_pb2

from tests.gateway.stack import sign_in
from tests.gateway.stage import META, UNKNOWN, Stage, job
from tests.sse import without_alive

pytestmark = pytest.mark.asyncio(loop_scope="module")


def event(seq: int, kind: str, payload: str) -> job_pb2.Event:
    return job_pb2.Event(seq=seq, kind=kind, time=1765350222.5 + seq, payload=payload, detail="Traceback: secret")


LOG = [
    event(1, "status", "queued"),
    event(2, "inputs", '{"dict":{"topic":"<x>"}}'),
    event(3, "stdout", "hello\n<b>world</b>"),
    event(4, "result", '{"Markdown":{"body":"**hi** <script>alert(1)</script>"}}'),
    event(5, "error", "ValueError: <no>"),
    event(6, "status", "failed"),
]


async def read_until(response: httpx.Response, text: str) -> str:
    seen = ""
    async for part in response.aiter_text():
        seen += part
        if text in seen:
            return seen
    raise AssertionError(f"{text!r} never came: {seen}")


async def test_a_running_execution_has_the_document_s_keys(stage: Stage) -> None:
    """The status of a running execution has every documented key, with the types of the document, from one call."""
    fid = stage.runner.add(job(stage.owner))
    stage.runner.counts.clear()
    response = await stage.alice.get(f"/outputs/status/{fid}?extended=true")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {
        **META,
        "status": "running",
        "timestamp": 1747813976.091786,
        "final": None,
        "fid": fid,
        "kodosumi_version": None,
        "base_url": "/-/localhost/8005/hymn/-/deep",
        "app_url": f"{stage.url}/-/hymn",
        "entry_point": "hymn.app:crew",
        "username": stage.alice_id,
        "locks": [],
    }
    assert stage.runner.counts == {"GetJob": 1}


async def test_final_is_json_in_a_string(stage: Stage) -> None:
    """Of a finished execution `final` is the result, of one that failed or was stopped a Text that says why."""
    result = '{"CrewOutput":{"raw":"**Hymn** ü"}}'
    done = stage.runner.add(job(stage.owner, "SUCCEEDED", result_json=result))
    status = (await stage.alice.get(f"/outputs/status/{done}")).json()
    assert (status["status"], status["final"], status["timestamp"]) == ("finished", result, 1747813996.802532)
    failed = stage.runner.add(job(stage.owner, "FAILED", error="ValueError: über\nzwei"))
    status = (await stage.alice.get(f"/outputs/status/{failed}")).json()
    assert status["status"] == "error"
    assert json.loads(status["final"]) == {"Text": {"body": "ValueError: über\nzwei"}}
    stopped = stage.runner.add(job(stage.owner, "CANCELLED", reason=job_pb2.JOB_REASON_USER_STOP))
    status = (await stage.alice.get(f"/outputs/status/{stopped}")).json()
    assert status["status"] == "error"
    assert json.loads(status["final"]) == {"Text": {"body": "user stop"}}


@pytest.mark.parametrize(
    "path",
    [
        "/outputs/status/{}",
        "/outputs/status/{}?extended=true",
        "/outputs/stream/{}",
        "/outputs/main/{}",
        "/outputs/stdio/{}",
        "/outputs/raw/{}",
        "/outputs/html/{}",
    ],
)
async def test_what_is_not_the_caller_s_does_not_exist(stage: Stage, path: str) -> None:
    """A foreign, an unknown and an impossible fid get the same 404, also from streams, in the panel's envelope."""
    foreign = stage.runner.add(job(stage.owner), LOG)
    for fid in (foreign, UNKNOWN, "nonsense", "0" * 23, "A" * 24):
        response = await stage.bob.get(path.format(fid))
        assert response.status_code == 404
        assert response.headers["content-type"] == "application/json"
        assert response.json() == {
            "error": "NotFoundException",
            "path": path.format(fid).partition("?")[0],
            "detail": f"Execution {fid} not found after 1s.",
            "status_code": 404,
        }
    assert (await stage.nobody.get(path.format(foreign))).status_code == 401


async def test_the_stream_has_every_event_as_it_is(stage: Stage) -> None:
    """The whole log arrives in order, in CRLF lines, with the stream's headers, and ends at once behind the last."""
    fid = stage.runner.add(job(stage.owner, "FAILED"), LOG[:4], LOG[4:])
    response = await stage.alice.get(f"/outputs/stream/{fid}")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["cache-control"] == "no-cache"
    assert response.headers["x-accel-buffering"] == "no"
    blocks = without_alive(response.text).split("\r\n\r\n")
    assert blocks[0] == "id: 1\r\nevent: status\r\ndata: 1765350223.5:starting"
    assert blocks[2] == "id: 3\r\nevent: stdout\r\ndata: 1765350225.5:hello\r\ndata: <b>world</b>"
    assert blocks[4] == "id: 5\r\nevent: error\r\ndata: 1765350227.5:ValueError: <no>"
    assert blocks[5] == "id: 6\r\nevent: status\r\ndata: 1765350228.5:error"
    assert blocks[6:] == ["id: 0\r\nevent: eof\r\ndata: end of stream", ""]
    assert "secret" not in response.text


async def test_main_and_stdio_are_for_people(stage: Stage) -> None:
    """They share the log between them and send HTML, safe to show; `raw` sends payloads as they are."""
    fid = stage.runner.add(job(stage.owner, "FAILED"), LOG)
    main = without_alive((await stage.alice.get(f"/outputs/main/{fid}")).text)
    assert [line for line in main.split("\r\n") if line.startswith("id")] == [f"id: {n}" for n in (1, 2, 4, 5, 6, 0)]
    assert ":<p><strong>hi</strong> </p>" in main
    assert "<script" not in main
    assert ":topic: &lt;x&gt;\r\n\r\n" in main
    stdio = without_alive((await stage.alice.get(f"/outputs/stdio/{fid}")).text)
    assert [line for line in stdio.split("\r\n") if line.startswith("id")] == ["id: 3", "id: 5", "id: 0"]
    assert "data: &lt;b&gt;world&lt;/b&gt;" in stdio
    for query in ("?raw", "?raw=1", "?extended=true&raw"):
        raw = (await stage.alice.get(f"/outputs/main/{fid}{query}")).text
        assert "**hi** <script>" in raw


@pytest.mark.parametrize("how", ["header", "query"])
async def test_a_stream_resumes(stage: Stage, how: str) -> None:
    """Behind `Last-Event-ID` only the rest comes; behind the last event only the end."""
    fid = stage.runner.add(job(stage.owner, "FAILED"), LOG)
    for after, ids in ((0, [1, 2, 3, 4, 5, 6]), (4, [5, 6]), (6, [])):
        headers = {"Last-Event-ID": str(after)} if how == "header" else {}
        query = f"?last_event_id={after}" if how == "query" else ""
        text = without_alive((await stage.alice.get(f"/outputs/stream/{fid}{query}", headers=headers)).text)
        assert [int(line[4:]) for line in text.split("\r\n") if line.startswith("id: ")] == [*ids, 0]


@pytest.mark.parametrize("view", ["stream", "main", "stdio"])
async def test_an_event_source_comes_to_an_end(stage: Stage, view: str) -> None:
    """It comes back with the last id it saw: in the middle for the rest, behind the end for 204."""
    log = [job_pb2.Event(seq=number, kind="debug", time=1.0) for number in (1, 2, 3)]
    fid = stage.runner.add(job(stage.owner, "FAILED", last_seq=3), log[:2], log[2:])
    headers = {"accept": "text/event-stream"}
    text = (await stage.alice.get(f"/outputs/{view}/{fid}", headers=headers)).text
    ids = [line[4:] for line in text.split("\r\n") if line.startswith("id: ")]
    middle = await stage.alice.get(f"/outputs/{view}/{fid}", headers={**headers, "last-event-id": "2"})
    end = await stage.alice.get(f"/outputs/{view}/{fid}", headers={**headers, "last-event-id": ids[-1]})

    assert "3" == ids[-1]
    assert "0" not in ids
    assert text.endswith("event: eof\r\ndata: end of stream\r\n\r\n")
    assert 200 == middle.status_code
    assert (204, b"") == (end.status_code, end.content)
    assert "text/event-stream" not in end.headers.get("content-type", "")


async def test_an_event_source_waits_for_what_is_still_to_come(stage: Stage) -> None:
    """Of an execution that runs, having seen all is no end."""
    fid = stage.runner.add(job(stage.owner, last_seq=1), [job_pb2.Event(seq=1, kind="debug", time=1.0)])
    stage.runner.go_on[fid] = asyncio.Event()
    headers = {"accept": "text/event-stream", "last-event-id": "1"}
    async with stage.alice.stream("GET", f"/outputs/stream/{fid}", headers=headers) as response:
        first = await anext(response.aiter_bytes())

    assert 200 == response.status_code
    assert first.startswith(b"event: alive\r\n")


@pytest.mark.parametrize("bad", ["x", "-1", "1.5", "9" * 30, "٣"])
async def test_a_bad_place_to_resume_from_is_refused(stage: Stage, bad: str) -> None:
    """What is no event's id is a 400 that names the parameter."""
    fid = stage.runner.add(job(stage.owner), LOG)
    response = await stage.alice.get(f"/outputs/stream/{fid}", params={"last_event_id": bad})
    assert response.status_code == 400
    assert response.json()["error"] == "ValidationException"
    assert "'key': 'last_event_id'" in response.json()["detail"]


async def test_a_quiet_stream_opens_and_lives(stage: Stage) -> None:
    """A stream with nothing new answers with its head and `alive` at once, and goes on when the job does."""
    fid = stage.runner.add(job(stage.owner), LOG[:2])
    go_on = stage.runner.go_on[fid] = asyncio.Event()
    async with stage.alice.stream("GET", f"/outputs/stream/{fid}", headers={"Last-Event-ID": "2"}) as response:
        assert response.status_code == 200
        assert "id: 0\r\nevent: alive\r\ndata: " in await read_until(response, ":service alive\r\n\r\n")
        stage.runner.jobs[fid].state = job_pb2.JOB_STATE_SUCCEEDED
        go_on.set()


async def test_a_client_that_hangs_up_ends_the_watch(stage: Stage) -> None:
    """Closing the connection cancels the runner's call: nobody reads for nobody."""
    fid = stage.runner.add(job(stage.owner), LOG[:2])
    stage.runner.go_on[fid] = asyncio.Event()
    hung_up = stage.runner.hung_up[fid] = asyncio.Event()
    async with stage.alice.stream("GET", f"/outputs/stream/{fid}") as response:
        await read_until(response, "event: inputs")
        assert not hung_up.is_set()
    async with asyncio.timeout(30):
        await hung_up.wait()


async def test_a_stream_says_that_it_ends_with_its_token(stage: Stage) -> None:
    """As an event of its own, behind what was sent; what is behind it is not read any more."""
    fid = stage.runner.add(job(stage.owner), LOG[:2])
    stage.runner.go_on[fid] = asyncio.Event()
    hung_up = stage.runner.hung_up[fid] = asyncio.Event()
    leaving = await sign_in(stage.nobody, "alice", "alice's own password")
    async with stage.nobody.stream("GET", f"/outputs/stream/{fid}", headers=leaving) as response:
        parts = response.aiter_text()
        rest = await anext(parts)
        assert 200 == (await stage.nobody.get("/logout", headers=leaving)).status_code
        rest += "".join([text async for text in parts])

    assert re.search(r"event: error\r\ndata: [0-9.]+:token has been revoked: sign in again\r\n\r\n$", rest), rest
    async with asyncio.timeout(30):
        await hung_up.wait()


async def test_the_typed_stream_ends_with_its_token(stage: Stage) -> None:
    """The lines of the RPC's own path end, too."""
    fid = stage.runner.add(job(stage.owner), LOG[:2])
    stage.runner.go_on[fid] = asyncio.Event()
    hung_up = stage.runner.hung_up[fid] = asyncio.Event()
    leaving = await sign_in(stage.nobody, "alice", "alice's own password")
    async with stage.nobody.stream("GET", f"/mesh/v1/jobs/{fid}:watch", headers=leaving) as response:
        parts = response.aiter_text()
        await anext(parts)
        assert 200 == (await stage.nobody.get("/logout", headers=leaving)).status_code
        async for _ in parts:
            pass

    async with asyncio.timeout(30):
        await hung_up.wait()


async def test_many_events_arrive_complete(stage: Stage) -> None:
    """A large log arrives with every event once and in order."""
    batches = [[event(n, "stdout", "x" * 50) for n in range(start, start + 500)] for start in range(1, 20_001, 500)]
    fid = stage.runner.add(job(stage.owner, "SUCCEEDED"), *batches, [event(20_001, "status", "succeeded")])
    text = without_alive((await stage.alice.get(f"/outputs/stream/{fid}")).text)
    assert [int(line[4:]) for line in text.split("\r\n") if line.startswith("id: ")] == [*range(1, 20_002), 0]


async def test_raw_is_json_in_every_state(stage: Stage) -> None:
    """The raw result is the typed JSON; while there is none it asks for patience; of an error it says why."""
    patience = {"Markdown": {"body": "no result, yet. please be patient."}}
    for state, given, expected in (
        ("QUEUED", {}, patience),
        ("SUCCEEDED", {"result_json": '{"Markdown":{"body":"*ü*"}}'}, {"Markdown": {"body": "*ü*"}}),
        ("FAILED", {"error": "KodosumiError: no"}, {"Text": {"body": "KodosumiError: no"}}),
    ):
        fid = stage.runner.add(job(stage.owner, state, **given))
        response = await stage.alice.get(f"/outputs/raw/{fid}")
        assert response.headers["content-type"] == "application/json"
        assert response.json() == expected


async def test_html_is_a_safe_page(stage: Stage) -> None:
    """The page shows the result without anything that acts, forbids the browser the rest, and escapes its title."""
    meta = json.dumps({"summary": "<script>alert(1)</script>"})
    result = json.dumps({"Markdown": {"body": "# Hi\n<img src=x onerror=alert(1)>"}})
    fid = stage.runner.add(job(stage.owner, "SUCCEEDED", result_json=result, meta_json=meta))
    response = await stage.alice.get(f"/outputs/html/{fid}")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["content-security-policy"].startswith("default-src 'none'")
    assert "<h1>Hi</h1>" in response.text
    assert "onerror" not in response.text
    assert "<script" not in response.text
    assert "refresh" not in response.text
    waiting = await stage.alice.get(f"/outputs/html/{stage.runner.add(job(stage.owner))}")
    assert "please be patient" in waiting.text
    assert '<meta http-equiv="refresh" content="5">' in waiting.text


async def test_an_execution_is_deleted(stage: Stage) -> None:
    """DELETE answers 204 without a body; after that, and of somebody else's, it is a 404."""
    fid = stage.runner.add(job(stage.owner))
    assert (await stage.bob.delete(f"/outputs/{fid}")).status_code == 404
    response = await stage.alice.delete(f"/outputs/{fid}")
    assert (response.status_code, response.content) == (204, b"")
    assert (await stage.alice.delete(f"/outputs/{fid}")).status_code == 404
    assert (await stage.alice.get(f"/outputs/status/{fid}")).status_code == 404


async def test_many_are_deleted_with_one_request(stage: Stage) -> None:
    """Those before the first unknown one are gone, those behind it stay."""
    fids = [stage.runner.add(job(stage.owner)) for _ in range(3)]
    response = await stage.alice.request("DELETE", "/outputs", json={"fid": [fids[0], UNKNOWN, fids[1]]})
    assert response.status_code == 404
    assert fids[0] not in stage.runner.jobs
    assert fids[1] in stage.runner.jobs
    response = await stage.alice.request("DELETE", "/outputs/", json={"fid": fids[1:]})
    assert (response.status_code, response.content) == (204, b"")
    assert not set(fids) & set(stage.runner.jobs)


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ({"content": b"{", "headers": {"content-type": "application/json"}}, "body"),
        ({"content": b"", "headers": {"content-type": "application/json"}}, "body"),
        ({"json": {}}, "fid"),
        ({"json": {"fid": "abc"}}, "fid"),
        ({"json": {"fid": [5]}}, "fid.0"),
        ({"json": [1]}, "body"),
        ({"json": {"fid": ["a"] * 1001}}, "fid"),
        ({"data": {"fid": "abc"}}, "content-type"),
    ],
)
async def test_a_bad_list_to_delete_names_what_is_wrong(stage: Stage, body: dict[str, Any], key: str) -> None:
    """Wrong JSON, types and content types are a 400 that names the field."""
    response = await stage.alice.request("DELETE", "/outputs", **body)
    assert response.status_code == 400
    assert response.json()["error"] == "ValidationException"
    assert f"'key': '{key}'" in response.json()["detail"]


async def test_pages_that_take_for_ever_are_text(stage: Stage) -> None:
    """Results that no library gets through, asked for together with one that is short: each is there, as it can be."""
    bodies = {"HTML": "<div>" * 32_000, "Markdown": "[" * 150_000}
    results = [json.dumps({kind: {"body": body}}) for kind, body in (*bodies.items(), ("Markdown", "*short*"))]
    fids = [stage.runner.add(job(stage.owner, "SUCCEEDED", result_json=result)) for result in results]

    pages = await asyncio.gather(*(stage.alice.get(f"/outputs/html/{fid}", timeout=60) for fid in fids))

    assert [200] * 3 == [page.status_code for page in pages]
    assert "<pre>&lt;div&gt;&lt;div&gt;" in pages[0].text
    assert "<pre>[[[[" in pages[1].text
    assert "<em>short</em>" in pages[2].text
