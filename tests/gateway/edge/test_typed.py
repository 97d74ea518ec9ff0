"""Our own API in JSON, under `/mesh/v1`: Envoy hands it straight to the services.

The paths, bodies and streams follow from the annotations; errors are `google.rpc.Status`, whoever says them.
"""

import asyncio
import contextlib
import json
import pathlib
from typing import Any

import grpc
import httpx
import pytest
from agentmesh_protos.runner.v1 import job_pb2

from tests.gateway.asking import Asking
from tests.gateway.stack import DEADLINE_S, Edge, enveloped
from tests.ports import free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

ENDED = ("succeeded", "failed", "cancelled")


class Typed:
    """An operator at the typed API."""

    def __init__(self, edge: Edge) -> None:
        self.edge = edge

    async def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Send a request to a path under /mesh/v1."""
        headers = {**self.edge.operator, **more.pop("headers", {})}
        return await self.edge.http.request(method, f"/mesh/v1/{path}", headers=headers, **more)

    async def ok(self, method: str, path: str, **more: Any) -> Any:
        """Return the JSON of an answer that must be a success."""
        answer = await self.call(method, path, **more)
        assert 200 == answer.status_code, answer.text
        return answer.json()

    async def create(self, **inputs: Any) -> dict[str, Any]:
        """Start a job of the flow that asks."""
        job: dict[str, Any] = await self.ok("POST", "jobs", json={"target": "flows/asking", "inputs": inputs})
        return job

    async def events(self, name: str, kind: str = "status") -> list[dict[str, Any]]:
        """Watch a job until it has an event of this kind, for a status one that is an end; return what was seen."""
        seen: list[dict[str, Any]] = []
        url = f"/mesh/v1/{name}:watch"
        async with self.edge.http.stream("GET", url, headers=self.edge.operator) as answer:
            assert (200, "application/x-ndjson") == (answer.status_code, answer.headers["content-type"])
            async for line in answer.aiter_lines():
                seen += json.loads(line)["events"]
                if any(event["kind"] == kind and (kind != "status" or event["payload"] in ENDED) for event in seen):
                    return seen
        raise AssertionError(f"{name} ended with {seen}")


@pytest.fixture(scope="module")
def typed(asking: Asking) -> Typed:
    """The typed API of a mesh that has the flows that ask."""
    return Typed(asking.edge)


async def test_a_job_lives_and_ends(typed: Typed) -> None:
    """Created, shown, listed, watched line by line to the end, and forgotten."""
    created = await typed.create(how="two")
    name = created["name"]
    shown = await typed.ok("GET", name)
    listed = await typed.ok("GET", "jobs?pageSize=1000")
    cancelled = await typed.ok("POST", f"{name}:cancel")
    events = await typed.events(name)
    page = await typed.ok("GET", f"{name}/events?pageSize=2&afterSeq=1")
    deleted = await typed.ok("DELETE", name)
    gone = await typed.call("GET", name)

    assert "flows/asking" == created["target"]
    assert name == shown["name"]
    assert name in [job["name"] for job in listed["jobs"]]
    assert "JOB_STATE_CANCELLED" == cancelled["state"]
    assert list(range(1, len(events) + 1)) == [int(event["seq"]) for event in events]
    assert "cancelled" == events[-1]["payload"]
    assert ["2", "3"] == [event["seq"] for event in page["events"]]
    assert {} == deleted
    assert 404 == gone.status_code


async def test_a_lock_is_answered(typed: Typed) -> None:
    """Found by its job, refused with the field's name, answered once; then the job goes on."""
    name = (await typed.create(how="greet"))["name"]
    await typed.events(name, kind="lock")
    (lock,) = (await typed.ok("GET", f"{name}/locks"))["locks"]
    everywhere = await typed.ok("GET", "locks")
    rude = await typed.call("POST", f"{lock['name']}:answer", json={"inputs": {"greeting": "damn"}})
    answered = await typed.ok("POST", f"{lock['name']}:answer", json={"inputs": {"greeting": "hello"}})
    again = await typed.call("POST", f"{lock['name']}:answer", json={"inputs": {"greeting": "hello"}})
    events = await typed.events(name)

    assert lock["name"].startswith(f"{name}/locks/")
    assert lock["name"] in [each["name"] for each in everywhere["locks"]]
    assert (400, 3) == (rude.status_code, rude.json()["code"])
    assert "greeting" == rude.json()["details"][-1]["fieldViolations"][0]["field"]
    assert "LOCK_STATE_ANSWERED" == answered["state"]
    assert (400, 9) == (again.status_code, again.json()["code"])
    assert "succeeded" == events[-1]["payload"]


async def test_a_flow_has_a_deep_name(typed: Typed) -> None:
    """Its path is as many segments as it has."""
    names = [flow["name"] for flow in (await typed.ok("GET", "flows"))["flows"]]
    flow = await typed.ok("GET", "flows/asking")
    deep = await typed.call("GET", "flows/asking/deep/er")

    assert "flows/asking" in names
    assert ("flows/asking", "/") == (flow["name"], flow["path"])
    assert (404, 5) == (deep.status_code, deep.json()["code"])


async def test_a_boot_is_told_line_by_line(typed: Typed) -> None:
    """As it happens; the last line says that it is complete."""
    answer = await typed.call("POST", "exposes/asking:refresh")
    kinds = [json.loads(line)["kind"] for line in answer.text.splitlines()]

    assert (200, "application/x-ndjson") == (answer.status_code, answer.headers["content-type"])
    assert "KIND_COMPLETE" == kinds[-1]


async def test_a_mask_is_a_part_of_the_query(typed: Typed) -> None:
    """The body is the resource (AIP-134); names are camel case in and out, and snake case is taken too."""
    user = {"login": "typed", "email": "typed@example.com", "password": "secret-secret"}
    made = await typed.ok("POST", "users", json=user)
    changed = await typed.ok("PATCH", f"{made['name']}?updateMask=email", json={"email": "a@b.example", "login": "x"})
    snake = await typed.ok("PATCH", f"{made['name']}?update_mask=email", json={"email": "c@d.example"})

    assert ("typed", "a@b.example") == (changed["login"], changed["email"])
    assert "c@d.example" == snake["email"]
    assert {} == await typed.ok("DELETE", made["name"])


async def test_who_signs_in_gets_a_token(typed: Typed) -> None:
    """Which counts as a bearer's."""
    tokens = await typed.ok("POST", "auth:login", json={"login": "admin", "password": "admin"})
    bearer = {"KODOSUMI_API_KEY": "", "authorization": f"Bearer {tokens['accessToken']}"}
    own = await typed.ok("GET", "self", headers=bearer)

    assert "admin" == own["login"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "jobs/none", 404, 5),
        ("GET", "jobs/none:watch", 404, 5),
        ("GET", "jobs?pageSize=-1", 400, 3),
        ("GET", "jobs?pageSize=x", 400, 3),
        ("GET", "nothing", 404, 5),
        ("GET", "jobs/a/b", 404, 5),
        ("GET", "jobs/a:cancel", 405, 12),
        ("PUT", "jobs", 405, 12),
        ("OPTIONS", "jobs", 405, 12),
    ],
)
async def test_errors_have_one_shape(typed: Typed, method: str, path: str, status: int, code: int | None) -> None:
    """`google.rpc.Status`, from a service, from Envoy and from the gateway."""
    answer = await typed.call(method, path)

    assert status == answer.status_code
    assert "application/json" == answer.headers["content-type"]
    if code is not None:
        assert {"code", "message", "details"} == answer.json().keys()
        assert code == answer.json()["code"]


async def test_a_wrong_method_names_the_right_ones(typed: Typed) -> None:
    """Also of a path with a custom verb."""
    jobs = await typed.call("PATCH", "jobs")
    cancel = await typed.call("GET", "jobs/a:cancel")
    one = await typed.call("POST", "jobs/a")

    assert "GET, HEAD, POST" == jobs.headers["allow"]
    assert "POST" == cancel.headers["allow"]
    assert "DELETE, GET, HEAD" == one.headers["allow"]


async def test_head_is_get_without_its_body(typed: Typed) -> None:
    """And leaves the connection fit for the next request."""
    head = await typed.call("HEAD", "jobs")
    missing = await typed.call("HEAD", "jobs/none")
    after = await typed.call("GET", "jobs")

    assert (200, b"") == (head.status_code, head.content)
    assert (404, b"") == (missing.status_code, missing.content)
    assert 200 == after.status_code


async def test_a_slash_at_the_end_does_not_matter(typed: Typed) -> None:
    """As everywhere."""
    assert await typed.ok("GET", "flows/") == await typed.ok("GET", "flows")


async def test_callers_are_checked_by_the_service(typed: Typed) -> None:
    """401 without a token, 403 for users where operators are asked for; nobody is a service."""
    user = await typed.edge.new_user("typist")
    nobody = await typed.call("GET", "jobs", headers={"KODOSUMI_API_KEY": ""})
    denied = await typed.call("GET", "users", headers=user)
    spoofed = await typed.call("GET", "users", headers={**user, "x-mesh-service": "service:gateway"})

    assert (401, 16) == (nobody.status_code, nobody.json()["code"])
    assert (403, 7) == (denied.status_code, denied.json()["code"])
    assert 403 == spoofed.status_code


async def test_a_cookie_counts_on_our_own_pages_only(typed: Typed) -> None:
    """A page of another site makes no calls in the name of who is signed in; programs send no origin."""
    cookie = {"KODOSUMI_API_KEY": "", "cookie": f"kodosumi_jwt={typed.edge.operator['KODOSUMI_API_KEY']}"}
    ours = f"http://{typed.edge.address}"
    answers = [
        await typed.call("POST", "jobs/none:cancel", headers={**cookie, **origin})
        for origin in ({}, {"origin": ours}, {"origin": "http://127.0.0.1:1"}, {"origin": "null"})
    ]

    assert [404, 404, 403, 403] == [answer.status_code for answer in answers]


async def test_a_service_that_is_away_is_said_so(typed: Typed, tmp_path: pathlib.Path) -> None:
    """503, in the same shape."""
    config = typed.edge.config.model_copy(
        update={"port": free_port(), "runner_address": f"127.0.0.1:{free_port()}"},
    )
    async with enveloped(config, typed.edge.jwks_json, tmp_path) as http:
        away = await http.get("/mesh/v1/jobs", headers=typed.edge.operator)

    assert (503, 14) == (away.status_code, away.json()["code"])
    assert [] == away.json()["details"]


async def test_a_replica_that_breaks_takes_no_reading_with_it(typed: Typed, tmp_path: pathlib.Path) -> None:
    """Neither one that nobody can connect to, nor one that ends every connection when it is asked something."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.close()

    folder = pathlib.Path(typed.edge.config.runner_address.removeprefix("unix:")).parent
    broken = await asyncio.start_unix_server(hang_up, folder / "broken.sock")
    addresses = f"{typed.edge.config.runner_address},unix:{folder}/nobody.sock,unix:{folder}/broken.sock"
    config = typed.edge.config.model_copy(update={"port": free_port(), "runner_address": addresses})
    async with broken, enveloped(config, typed.edge.jwks_json, tmp_path) as http:
        answers = [await http.get("/mesh/v1/jobs", headers=typed.edge.operator) for _ in range(20)]

    assert [200] * 20 == [answer.status_code for answer in answers]


async def test_a_reading_waits_until_a_service_is_restarted(typed: Typed, tmp_path: pathlib.Path) -> None:
    """However often it has hung up by then: longer than a restart takes on a busy machine."""
    path = typed.edge.config.runner_address.removeprefix("unix:")
    tries = 0

    async def come_back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal tries
        tries += 1
        if tries > 10:
            theirs, ours = await asyncio.open_unix_connection(path)
            await asyncio.gather(carry(reader, ours), carry(theirs, writer))
        writer.close()

    socket = pathlib.Path(path).with_name("back.sock")
    restarted = await asyncio.start_unix_server(come_back, socket)
    config = typed.edge.config.model_copy(update={"port": free_port(), "runner_address": f"unix:{socket}"})
    async with restarted, enveloped(config, typed.edge.jwks_json, tmp_path) as http:
        answer = await http.get("/mesh/v1/jobs", headers=typed.edge.operator)

    assert 200 == answer.status_code
    assert tries > 10


async def test_what_an_ending_service_has_not_taken_up_is_sent_again(typed: Typed, tmp_path: pathlib.Path) -> None:
    """Nobody has cancelled it: who creates something is not told so."""
    tries = 0

    async def create(request: job_pb2.CreateJobRequest, context: Any) -> job_pb2.Job:
        nonlocal tries
        tries += 1
        if tries == 1:
            await context.abort(grpc.StatusCode.CANCELLED, "CANCELLED")
        return job_pb2.Job(name="jobs/1")

    handler = grpc.unary_unary_rpc_method_handler(
        create, job_pb2.CreateJobRequest.FromString, job_pb2.Job.SerializeToString
    )
    handlers = grpc.method_handlers_generic_handler("mesh.runner.v1.JobService", {"CreateJob": handler})
    server = grpc.aio.server(handlers=(handlers,))
    address = f"{typed.edge.config.runner_address.removesuffix('.sock')}-ending.sock"
    server.add_insecure_port(address)
    await server.start()
    config = typed.edge.config.model_copy(update={"port": free_port(), "runner_address": address})
    async with enveloped(config, typed.edge.jwks_json, tmp_path) as http:
        created = await http.post("/mesh/v1/jobs", json={"target": "flows/any"}, headers=typed.edge.operator)
    await server.stop(None)

    assert (200, "jobs/1", 2) == (created.status_code, created.json()["name"], tries)


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry what is read to where it is written, until either is closed."""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def test_who_hangs_up_ends_the_stream(typed: Typed) -> None:
    """The job goes on, and can be watched again from behind what was seen."""
    name = (await typed.create(how="greet"))["name"]
    seen = await typed.events(name, kind="lock")
    async with asyncio.timeout(DEADLINE_S):
        url = f"/mesh/v1/{name}:watch?afterSeq={seen[-1]['seq']}"
        async with typed.edge.http.stream("GET", url, headers=typed.edge.operator) as answer:
            await typed.ok("POST", f"{name}:cancel")
            rest = [event async for line in answer.aiter_lines() for event in json.loads(line)["events"]]

    assert int(seen[-1]["seq"]) + 1 == int(rest[0]["seq"])
    assert "cancelled" == rest[-1]["payload"]
