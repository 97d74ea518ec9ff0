"""A gateway behind a real Envoy, with the real auth service, in front of a runner and a registry that tests fill.

The runner and the registry here are gRPC servers as any; what they answer is what a test has put into them.
"""

import asyncio
import contextlib
import dataclasses
import itertools
import json
import pathlib
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
from agentmesh_protos.registry.v1 import registry_pb2, registry_pb2_grpc
from agentmesh_protos.runner.v1 import app_pb2, app_pb2_grpc, job_pb2, job_pb2_grpc
from google.protobuf import empty_pb2, timestamp_pb2

from gateway import app as gateway_app
from gateway.config import EdgeConfig
from gateway.edge import envoy
from meshkit.errors import Internal, Invalid, NotFound
from meshkit.principal import caller, check_owner
from meshkit.server import serve
from meshkit.service import authenticated
from services.auth import app as auth_app
from services.auth.config import Config as AuthConfig
from tests.conformance.reference import Checked
from tests.gateway.stack import DEADLINE_S, enveloped, sign_in
from tests.ports import free_port

App = Callable[[app_pb2.CallAppRequest], app_pb2.CallAppResponse]
META = {
    "summary": "Hymn Creator",
    "description": "This agent creates a short hymn.",
    "tags": ["CrewAi", "Test"],
    "deprecated": None,
    "author": "author@example.com",
    "organization": None,
    "version": "1.0.1",
}
UNKNOWN = "0123456789abcdef01234567"
_numbers = itertools.count(1)


class Runner(job_pb2_grpc.JobServiceServicer, app_pb2_grpc.AppServiceServicer):
    """Jobs and apps as a test wants them."""

    def __init__(self) -> None:
        self.jobs: dict[str, job_pb2.Job] = {}
        self.logs: dict[str, list[list[job_pb2.Event]]] = {}
        self.go_on: dict[str, asyncio.Event] = {}
        """A watch that has sent the log waits for this, if there is one, and then ends."""
        self.hung_up: dict[str, asyncio.Event] = {}
        """Set when a watch is cancelled."""
        self.apps: dict[str, App] = {}
        self.placed: list[app_pb2.App] = []
        self.called: list[app_pb2.CallAppRequest] = []
        self.listed: list[job_pb2.ListJobsRequest] = []
        self.counts: dict[str, int] = {}
        self.deleted: list[tuple[str, float, str]] = []
        self.requests: dict[str, tuple[str, str]] = {}

    def add(self, job: job_pb2.Job, *batches: list[job_pb2.Event]) -> str:
        """Keep a job and its log; return its id."""
        job_id = job.name.removeprefix("jobs/")
        self.jobs[job_id] = job
        self.logs[job_id] = list(batches)
        return job_id

    def _own(self, name: str) -> job_pb2.Job:
        job = self.jobs.get(name.removeprefix("jobs/"))
        if job is None:
            raise NotFound(f"{name} not found")
        check_owner(job.owner, name)
        return job

    async def GetJob(self, request: job_pb2.GetJobRequest, context: Any) -> job_pb2.Job:
        self.counts["GetJob"] = self.counts.get("GetJob", 0) + 1
        return self._own(request.name)

    async def DeleteJob(self, request: job_pb2.DeleteJobRequest, context: Any) -> empty_pb2.Empty:
        job = self._own(request.name)
        self.deleted.append((job.owner, time.time(), job.name))
        del self.jobs[request.name.removeprefix("jobs/")]
        return empty_pb2.Empty()

    async def ListJobs(self, request: job_pb2.ListJobsRequest, context: Any) -> job_pb2.ListJobsResponse:
        self.listed.append(request)
        before = request.before.removeprefix("jobs/")
        mine = [job for _, job in sorted(self.jobs.items(), reverse=True) if job.owner == caller().user]
        found = [
            job
            for job in mine
            if (not before or job.name.removeprefix("jobs/") < before) and request.query in job.meta_json
        ]
        size = request.page_size
        deleted = []
        if request.HasField("deleted_since"):
            since = request.deleted_since.ToMicroseconds() / 1e6
            deleted = [name for owner, when, name in self.deleted if owner == caller().user and when >= since]
        token = "more" if len(found) > size else ""
        return job_pb2.ListJobsResponse(jobs=found[:size], next_page_token=token, deleted=deleted)

    async def WatchJob(self, request: job_pb2.WatchJobRequest, context: Any) -> AsyncIterator[job_pb2.WatchJobResponse]:
        job_id = self._own(request.name).name.removeprefix("jobs/")
        try:
            for batch in self.logs[job_id]:
                rest = [event for event in batch if event.seq > request.after_seq]
                if rest:
                    yield job_pb2.WatchJobResponse(events=rest)
            if job_id in self.go_on:
                yield job_pb2.WatchJobResponse()
                await self.go_on[job_id].wait()
        except (asyncio.CancelledError, GeneratorExit):
            self.hung_up.setdefault(job_id, asyncio.Event()).set()
            raise

    async def CreateJob(self, request: job_pb2.CreateJobRequest, context: Any) -> job_pb2.Job:
        """Ask the app, as the runner has its host do; what it answers becomes the runner's errors."""
        expose, _, path = request.target.removeprefix("flows/").partition("/")
        asked = app_pb2.CallAppRequest(
            name=f"apps/{expose}",
            method="POST",
            path=f"/{path}",
            body=request.inputs_json.encode(),
            extra_json=request.extra_json,
            request_id=request.request_id,
            base_url=request.base_url,
        )
        if request.HasField("payment"):
            asked.payment.CopyFrom(request.payment)
        response = await self.CallApp(asked, context)
        if response.jobs:
            body = (request.inputs_json, request.extra_json)
            if request.request_id and self.requests.setdefault(request.request_id, body) != body:
                raise Invalid("this request id was used before", {"request_id": ["was used with another body"]})
            return self.jobs.get(response.jobs[0].removeprefix("jobs/")) or job_pb2.Job(name=response.jobs[0])
        try:
            said = json.loads(response.body)
        except ValueError:
            said = {}
        if errors := said.get("errors"):
            raise Invalid("the form refuses the inputs", errors, refused_by="form")
        detail = str(said.get("detail", ""))
        kind = Invalid if 400 <= response.status < 500 else Internal
        raise kind(detail, http_status=str(response.status))

    async def ListApps(self, request: app_pb2.ListAppsRequest, context: Any) -> app_pb2.ListAppsResponse:
        return app_pb2.ListAppsResponse(apps=self.placed)

    async def CallApp(self, request: app_pb2.CallAppRequest, context: Any) -> app_pb2.CallAppResponse:
        self.called.append(request)
        return self.apps[request.name.removeprefix("apps/")](request)

    async def StreamApp(
        self, request_iterator: AsyncIterator[app_pb2.StreamAppRequest], context: Any
    ) -> AsyncIterator[app_pb2.StreamAppResponse]:
        """Send the whole answer in one piece."""
        response = await self.CallApp((await anext(aiter(request_iterator))).call, context)
        head = app_pb2.AppHead(status=response.status, headers=response.headers)
        for part in ({"head": head}, {"data": response.body}, {"close": app_pb2.AppClose()}):
            yield app_pb2.StreamAppResponse(part=app_pb2.AppPart(**part))


class Registry(registry_pb2_grpc.FlowServiceServicer, registry_pb2_grpc.ExposeServiceServicer):
    """Flows and exposes as a test wants them."""

    def __init__(self) -> None:
        self.flows: list[registry_pb2.Flow] = []
        self.exposes: dict[str, registry_pb2.Expose] = {}

    def add(self, expose: str, path: str, **given: Any) -> None:
        """Offer a flow."""
        name = f"flows/{expose}/{path.strip('/')}".rstrip("/")
        given = {"alive": True, "method": "GET", "url": f"/{expose}{path}", **given}
        self.flows.append(registry_pb2.Flow(name=name, expose=f"exposes/{expose}", path=path, **given))

    async def GetFlow(self, request: registry_pb2.GetFlowRequest, context: Any) -> registry_pb2.Flow:
        for flow in self.flows:
            if flow.name == request.name:
                return flow
        raise NotFound("no such flow")

    async def ListFlows(self, request: registry_pb2.ListFlowsRequest, context: Any) -> registry_pb2.ListFlowsResponse:
        start = int(request.page_token or 0)
        end = start + 2  # small pages, so that callers must follow them
        token = str(end) if end < len(self.flows) else ""
        return registry_pb2.ListFlowsResponse(flows=self.flows[start:end], next_page_token=token)

    async def GetExpose(self, request: registry_pb2.GetExposeRequest, context: Any) -> registry_pb2.Expose:
        try:
            return self.exposes[request.name.removeprefix("exposes/")]
        except KeyError:
            raise NotFound("no such expose") from None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What a test acts on."""

    config: EdgeConfig
    url: str
    runner: Runner
    registry: Registry
    admin: httpx.AsyncClient
    alice: httpx.AsyncClient
    bob: httpx.AsyncClient
    nobody: httpx.AsyncClient
    alice_id: str

    @property
    def owner(self) -> str:
        """Whose jobs alice sees."""
        return f"users/{self.alice_id}"


def at(seconds: float) -> timestamp_pb2.Timestamp:
    """Return a moment, given in seconds since 1970."""
    moment = timestamp_pb2.Timestamp()
    moment.FromMicroseconds(round(seconds * 1_000_000))
    return moment


def job(owner: str, state: str = "RUNNING", **given: Any) -> job_pb2.Job:
    """Return a job with a new id; `given` stands over the defaults."""
    times = {"create_time": at(1747813970.5), "start_time": at(1747813976.091786), "update_time": at(1747813990)}
    if state in ("SUCCEEDED", "FAILED", "CANCELLED"):
        times["finish_time"] = at(1747813996.802532)
    values = {
        "name": f"jobs/{next(_numbers):024x}",
        "flow": "flows/hymn/deep",
        "owner": owner,
        "state": job_pb2.JobState.Value(f"JOB_STATE_{state}"),
        "meta_json": json.dumps(META),
        "inputs_json": '{"topic":"x"}',
        "entry_point": "hymn.app:crew",
        **times,
    }
    return job_pb2.Job(**{**values, **given})


def answer(body: Any, status: int = 200, job: str = "", kind: str = "application/json") -> app_pb2.CallAppResponse:
    """Return what an app answers."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = [app_pb2.Header(name="content-type", value=kind)]
    return app_pb2.CallAppResponse(status=status, headers=headers, body=data, jobs=[f"jobs/{job}"] if job else [])


@contextlib.asynccontextmanager
async def staged(folder: pathlib.Path) -> AsyncIterator[Stage]:
    """Run everything for the length of the block."""
    async with contextlib.AsyncExitStack() as stack:
        run = stack.enter_async_context
        sockets = stack.enter_context(tempfile.TemporaryDirectory(prefix="am-"))  # the folders of tests have long paths
        common: dict[str, Any] = {"data_dir": folder, "sockets_dir": sockets, "grace_s": 0.0}
        await run(auth_app.running(AuthConfig(**common)))
        config = EdgeConfig(port=free_port(), **common)
        runner = Runner()  # type: ignore[abstract] # what the gateway's read side does not call is not there
        registry = Registry()  # type: ignore[abstract]
        addresses = {"runner": config.runner_address, "registry": config.registry_address}
        for (service, address), (names, register) in zip(addresses.items(), _servers(runner, registry), strict=True):
            auth = await run(authenticated(config, service))
            await run(serve(address, names, register, auth, grace_s=0.0))
        await run(gateway_app.running(config))
        jwks = await envoy.fetch_jwks(config.peer("auth"), DEADLINE_S)
        nobody = await run(enveloped(config, jwks, folder))
        admin, alice, bob = [
            await run(httpx.AsyncClient(base_url=nobody.base_url, timeout=DEADLINE_S, transport=Checked()))
            for _ in range(3)
        ]
        admin.headers.update(await sign_in(nobody, "admin", "admin"))
        for client, name in ((alice, "alice"), (bob, "bob")):
            role = {"name": name, "email": f"{name}@example.com", "password": f"{name}'s own password"}
            made = await admin.post("/role", json=role)
            assert made.status_code == 201, made.text
            client.headers.update(await sign_in(nobody, name, role["password"]))
        yield Stage(
            config=config,
            url=f"http://127.0.0.1:{config.port}",
            runner=runner,
            registry=registry,
            admin=admin,
            alice=alice,
            bob=bob,
            nobody=nobody,
            alice_id=(await admin.get("/role/alice")).json()["id"],
        )


def _servers(runner: Runner, registry: Registry) -> Iterator[tuple[tuple[str, ...], Callable[[Any], None]]]:
    def register_runner(server: Any) -> None:
        job_pb2_grpc.add_JobServiceServicer_to_server(runner, server)
        app_pb2_grpc.add_AppServiceServicer_to_server(runner, server)

    def register_registry(server: Any) -> None:
        registry_pb2_grpc.add_FlowServiceServicer_to_server(registry, server)
        registry_pb2_grpc.add_ExposeServiceServicer_to_server(registry, server)

    yield ("mesh.runner.v1.JobService", "mesh.runner.v1.AppService"), register_runner
    yield ("mesh.registry.v1.FlowService", "mesh.registry.v1.ExposeService"), register_registry
