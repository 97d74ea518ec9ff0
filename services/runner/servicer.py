"""The runner's services for callers: jobs and apps.  Unpack, call, pack."""

import asyncio
import json
from collections.abc import AsyncIterator

from google.protobuf import empty_pb2
from mesh.runner.v1 import app_pb2, app_pb2_grpc, job_pb2, job_pb2_grpc

from meshkit import names, paging
from meshkit.errors import Denied, Internal, Invalid, NotFound
from meshkit.interceptors import Context
from meshkit.principal import caller, check_owner
from services.runner.apps import Apps
from services.runner.calls import Calls
from services.runner.domain import Job, PlacedApp, Reason
from services.runner.jobs import Jobs
from services.runner.messages import app_to_pb, events_to_pb, inputs_from_pb, job_to_pb
from services.runner.refusals import refused
from services.runner.store import JobStore

_HEARTBEAT_S = 10.0


class JobServicer(job_pb2_grpc.JobServiceServicer):
    """Jobs; what is not the caller's is not found."""

    def __init__(self, store: JobStore, jobs: Jobs, calls: Calls, stopping: asyncio.Event) -> None:
        self._store = store
        self._jobs = jobs
        self._calls = calls
        self._stopping = stopping

    async def CreateJob(self, request: job_pb2.CreateJobRequest, context: Context) -> job_pb2.Job:
        """See job.proto."""
        expose, _, path = names.parse(request.flow, "flows", "flow").partition("/")
        inputs = inputs_from_pb(request.inputs)
        call = app_pb2.CallAppRequest(
            name=f"apps/{expose}",
            method="POST",
            path=f"/{path}",
            headers=[app_pb2.Header(name="content-type", value="application/json")],
            body=json.dumps(inputs).encode(),
            request_id=request.request_id,
        )
        response = await self._calls.call(call, expose, _user())
        if response.jobs:
            return job_to_pb(self._store.get(response.jobs[0].removeprefix("jobs/")))
        raise _refusal(response, request.flow)

    async def GetJob(self, request: job_pb2.GetJobRequest, context: Context) -> job_pb2.Job:
        """See job.proto."""
        return job_to_pb(self._own(request.name))

    async def ListJobs(self, request: job_pb2.ListJobsRequest, context: Context) -> job_pb2.ListJobsResponse:
        """See job.proto."""
        if request.all_owners and not caller().sees_all:
            raise Denied("only operators may list the jobs of all owners")
        owner = None if request.all_owners else caller().user
        filters = (owner or "", request.query)
        before = paging.decode(request.page_token, *filters) or request.before.removeprefix("jobs/")
        size = paging.size(request.page_size)
        jobs = await self._store.find(owner, request.query, before, size + 1)
        response = job_pb2.ListJobsResponse(jobs=[job_to_pb(job) for job in jobs[:size]])
        if len(jobs) > size:
            response.next_page_token = paging.encode(jobs[size - 1].job_id, *filters)
        return response

    async def CancelJob(self, request: job_pb2.CancelJobRequest, context: Context) -> job_pb2.Job:
        """See job.proto."""
        job = self._own(request.name)
        return job_to_pb(await self._jobs.cancel(job.job_id, _stop_reason(job)))

    async def DeleteJob(self, request: job_pb2.DeleteJobRequest, context: Context) -> empty_pb2.Empty:
        """See job.proto."""
        job = self._own(request.name)
        await self._jobs.delete(job.job_id, _stop_reason(job))
        return empty_pb2.Empty()

    async def WatchJob(
        self, request: job_pb2.WatchJobRequest, context: Context
    ) -> AsyncIterator[job_pb2.WatchJobResponse]:
        """See job.proto."""
        job = self._own(request.name)
        if request.after_seq < 0:
            raise Invalid("after_seq is negative", {"after_seq": ["must be 0 or more"]})
        detail = caller().sees_all
        async for events in self._jobs.tails.watch(job, request.after_seq, _HEARTBEAT_S, self._stopping):
            yield job_pb2.WatchJobResponse(events=events_to_pb(events, detail=detail))

    async def ListEvents(self, request: job_pb2.ListEventsRequest, context: Context) -> job_pb2.ListEventsResponse:
        """See job.proto."""
        job = self._own(request.name)
        size = paging.size(request.page_size)
        events = await self._store.events(job.job_id, max(0, request.after_seq), size)
        more = bool(events) and events[-1].seq < job.last_seq
        return job_pb2.ListEventsResponse(
            events=events_to_pb(events, detail=caller().sees_all), next_after_seq=events[-1].seq if more else 0
        )

    def _own(self, name: str) -> Job:
        job = self._store.get(names.parse(name, "jobs"))
        check_owner(job.owner, f"jobs/{job.job_id}")
        return job


class AppServicer(app_pb2_grpc.AppServiceServicer):
    """Apps."""

    def __init__(self, apps: Apps, calls: Calls) -> None:
        self._apps = apps
        self._calls = calls

    async def DeployApp(self, request: app_pb2.DeployAppRequest, context: Context) -> app_pb2.App:
        """See app.proto."""
        if ":" not in request.import_path:
            raise Invalid("import_path must look like package.module:attribute", {"import_path": ["has no colon"]})
        placed = PlacedApp(
            expose=names.parse(request.name, "apps"),
            import_path=request.import_path,
            runtime_env_json=request.runtime_env_json,
            deployments_json=request.deployments_json,
            fork=request.fork if request.HasField("fork") else True,
            host_id="",
        )
        # A caller that hangs up does not stop a deploy half-way.
        return app_to_pb(await asyncio.shield(asyncio.ensure_future(self._apps.deploy(placed))))

    async def RemoveApp(self, request: app_pb2.RemoveAppRequest, context: Context) -> empty_pb2.Empty:
        """See app.proto."""
        await asyncio.shield(asyncio.ensure_future(self._apps.remove(names.parse(request.name, "apps"))))
        return empty_pb2.Empty()

    async def ListApps(self, request: app_pb2.ListAppsRequest, context: Context) -> app_pb2.ListAppsResponse:
        """See app.proto."""
        return app_pb2.ListAppsResponse(apps=[app_to_pb(app) for app in self._apps.list()])

    async def CallApp(self, request: app_pb2.CallAppRequest, context: Context) -> app_pb2.CallAppResponse:
        """See app.proto."""
        if (request.extra_json or request.HasField("payment")) and not caller().service:
            raise Denied("extra_json and payment are for services of this mesh")
        expose = names.parse(request.name, "apps")
        self._apps.check_placed(expose)
        # A caller that hangs up must not leave a launch between the handler and the disk.
        call = self._calls.call(request, expose, caller().user)
        return await asyncio.shield(asyncio.ensure_future(call))


def _user() -> str:
    user = caller().user
    if not user:
        raise Denied("jobs belong to users: call with a user's token")
    return user


def _stop_reason(job: Job) -> Reason:
    return Reason.USER_STOP if caller().user == job.owner else Reason.OPERATOR_CANCEL


def _refusal(response: app_pb2.CallAppResponse, flow: str) -> Exception:
    """Say why a form made no job."""
    try:
        body = json.loads(response.body)
    except ValueError:
        body = {}
    if not isinstance(body, dict):
        body = {}
    errors = body.get("errors")
    if isinstance(errors, dict):
        return refused("the form refuses the inputs", errors)
    if response.status in (404, 405):
        return NotFound(f"{flow} is not a flow", resource=flow)
    detail = str(body.get("detail", f"the app answered {response.status}"))
    return Invalid(detail, {"inputs": [detail]}) if 400 <= response.status < 500 else Internal(detail)
