"""The Sumi API: flows as Masumi services.

A service is a flow of the registry; a job of it is a job of the runner that keeps, as `extra`, who asked for it and
the hash of what they sent.  Source: the "Expose and Sumi API Demonstration" notebook.
"""

import re
from typing import Any

import pydantic
from agentmesh_protos.dialects.sumi.v1 import sumi_pb2 as pb
from agentmesh_protos.dialects.sumi.v1 import sumi_pb2_grpc as pb_grpc
from agentmesh_protos.registry.v1 import registry_pb2
from agentmesh_protos.runner.v1 import job_pb2
from google.api import httpbody_pb2

from gateway.core import jobs, launch, locks, service_names, times
from gateway.core.catalogue import Catalogue
from gateway.core.launch import Place
from gateway.core.mip003 import purchases
from gateway.core.mip003.schema import awaited, by_name, input_schema
from gateway.core.peers import Peers
from gateway.dialects.sumi import views
from gateway.dialects.sumi.answers import answer, availability, failed, wants_later
from gateway.http import bodies
from gateway.http.dialect import Service
from gateway.http.exchange import exchange
from meshkit.errors import DeadlineExceeded, Denied, Internal, Invalid, NotFound, Unavailable, from_rpc

_PAGE = 10
_PAGE_MAX = 100
_PATIENCE_S = 2.0
"""How long the start of a paid job waits for what its purchaser must know."""
_STATES = registry_pb2.ExposeState


class StartJob(pydantic.BaseModel):
    """The body of `start_job`."""

    identifier_from_purchaser: str = pydantic.Field(max_length=1000)
    input_data: dict[str, Any] | None = None


class StartJobLater(StartJob):
    """In the MIP-003 shape, where buyers of a free service send no identifier."""

    identifier_from_purchaser: str | None = pydantic.Field(default=None, max_length=1000)  # type: ignore[assignment]


class SumiServicer(pb_grpc.SumiServiceServicer):
    """Unpack, find the flow, ask its app or the runner, show the answer as Sumi does."""

    def __init__(self, peers: Peers) -> None:
        self._catalogue = Catalogue(peers)
        self._exposes = peers.exposes
        self._jobs = peers.jobs
        self._launcher = launch.Launcher(peers)
        self._locks = locks.Locks(peers)
        self._purchases = purchases.Purchases(peers)

    async def ListServices(self, request: pb.ListServicesRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Return a page of the services that answer, by id."""
        page_size = _page_size(request.pp)
        expose = _name("expose", request.expose) if request.expose else ""
        flows = {
            service: flow
            for service, flow in service_names.by_id(await self._catalogue.all()).items()
            if flow.alive and expose in ("", service_names.expose_of(flow))
        }
        if expose and not flows:
            await self._check_running(expose)
        ids = sorted(service for service in flows if service > request.offset)
        base_url = exchange().base_url
        items = [views.item_of(flows[service], service, base_url) for service in ids[:page_size]]
        offset = items[-1]["id"] if len(ids) > page_size else None
        return answer({"items": items, "offset": offset})

    async def GetService(self, request: pb.GetServiceRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Return one service's metadata."""
        service, flow = await self._service(request.expose, request.name)
        return answer(views.item_of(flow, service, exchange().base_url))

    async def GetAvailability(self, request: pb.GetAvailabilityRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Say whether a service takes jobs."""
        return await self._availability(request.expose, request.name)

    async def GetInputSchema(self, request: pb.GetInputSchemaRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Return a service's form; an app that answers with something else has none."""
        return await self._input_schema(request.expose, request.name)

    async def StartJob(self, request: pb.StartJobRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Start a job; what the app says against it is an answer, not an error."""
        later = wants_later()
        body = bodies.parse_model(request.json_body, StartJobLater if later else StartJob)
        name = f"flows/{request.expose}/{request.name}".rstrip("/")
        service = name.removeprefix("flows/")
        flow = self._catalogue.known(name)
        if flow is None:
            service, flow = await self._service(request.expose, request.name)
        identifier, data = body.identifier_from_purchaser, body.input_data or {}
        order = purchases.order(flow, service, identifier, data)
        try:
            if later:
                data = await self._by_name(flow, data)
            job = await self._launcher.start(
                flow.name, exchange().base_url, data, extra=order.extra, payment=order.terms
            )
        except launch.Refused as error:
            return failed(views.refusal(error.fields))
        except launch.NotLaunched as error:
            return failed(_not_launched(error))
        except (Unavailable, DeadlineExceeded, Internal) as error:
            return failed(f"Failed to submit job: {type(error).__name__}: {error}")
        if later and job.payment:
            await self._purchases.asked(job, _PATIENCE_S)
            return await self._status(await self.job(jobs.id_of(job)))
        return await self._job_json(views.started(job), job)

    async def _by_name(self, flow: registry_pb2.Flow, data: dict[str, Any]) -> dict[str, Any]:
        """Return the data with options by name; the form is asked for only if there may be indexes."""
        if not any(isinstance(value, list) for value in data.values()):
            return data
        form = await self._launcher.form(Place.of(flow), exchange().base_url)
        return by_name(form.elements or (), data)

    async def GetJobStatus(self, request: pb.GetJobStatusRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Return where a job stands.

        An expose may be called `status`: what is no job id is a service of that expose, if there is one.
        """
        name = request.job_id
        if jobs.is_id(name):
            return await self._status(await self.job(name))
        try:
            if name == "availability":
                await self._flow("status", "")
                return await self._availability("status", "")
            if name == "input_schema":
                return await self._input_schema("status", "")
            service, flow = await self._service("status", name)
            return answer(views.item_of(flow, service, exchange().base_url))
        except (NotFound, Invalid):
            raise no_job(name) from None

    async def GetServiceJobStatus(self, request: pb.GetServiceJobStatusRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Return where a job of this service stands."""
        if not request.job_id and not request.name:  # a flow may be called `status`
            return await self.GetService(pb.GetServiceRequest(expose=request.expose, name="status"), context)
        if not jobs.is_id(request.job_id):
            raise no_job(request.job_id)
        flow = await self._flow(request.expose, request.name)
        job = await self.job(request.job_id)
        if flow.name not in (job.target, job.flow):
            raise no_job(request.job_id)
        return await self._status(job)

    async def _status(self, job: job_pb2.Job) -> httpbody_pb2.HttpBody:
        waiting = await self._locks.pending(job)
        if job.locks and not waiting:  # answered between the two looks
            job = await self.job(jobs.id_of(job))
            waiting = await self._locks.pending(job)
        asked = [
            (locks.id_of(lock), lock.title, times.epoch(lock.expire_time), locks.elements_of(lock)) for lock in waiting
        ]
        return await self._job_json(views.status_of(job, awaited(asked, later=wants_later())), job)

    async def _job_json(self, body: dict[str, Any], job: job_pb2.Job) -> httpbody_pb2.HttpBody:
        if not wants_later():
            return answer(body)
        return answer(views.later(body, job, await self._purchases.of(job)), later=True)

    async def _availability(self, expose: str, name: str) -> httpbody_pb2.HttpBody:
        service = f"{expose}/{name}".rstrip("/")
        try:
            flow = await self._flow(expose, name)
        except (NotFound, Invalid):
            return availability("unavailable", f"Service '{service[:200]}' not found or not available")
        if problem := await self._launcher.problem(Place.of(flow), exchange().base_url):
            return availability("unavailable", problem)
        return availability("available", f"{flow.summary or service} is ready to accept jobs")

    async def _input_schema(self, expose: str, name: str) -> httpbody_pb2.HttpBody:
        flow = await self._flow(expose, name)
        form = await self._launcher.form(Place.of(flow), exchange().base_url)
        later = wants_later()
        return answer(input_schema(form.elements if form.ok else None, later=later), later=later)

    async def _flow(self, expose: str, name: str) -> registry_pb2.Flow:
        """Return the flow behind a service id.  Raises as `_service` does."""
        return (await self._service(expose, name))[1]

    async def _service(self, expose: str, name: str) -> tuple[str, registry_pb2.Flow]:
        """Return a service's id and flow.  Raises `NotFound`, or `Invalid` for what can be no id."""
        expose = _name("expose", expose)
        name = _name("name", name) if name else ""
        service = service_names.service_id(expose, name)
        try:
            return service, await self._catalogue.get(f"flows/{service}")
        except NotFound:
            pass
        if name:  # not the flow's whole path
            flows = [flow for flow in await self._catalogue.all() if service_names.expose_of(flow) == expose]
            known = service_names.by_id(flows)
            if service in known:
                return service, known[service]
            for listed, flow in known.items():
                if service_names.lasting(flow.path) == name:
                    return listed, flow
        raise NotFound(f"Service '{service}' not found", resource="flows")

    async def _check_running(self, expose: str) -> None:
        """Say why an expose has no services.  Raises `NotFound`, unless it runs and simply has none."""
        try:
            with from_rpc():
                found = await self._exposes.GetExpose(registry_pb2.GetExposeRequest(name=f"exposes/{expose}"))
        except (NotFound, Denied):  # who may not see exposes does not learn of them here
            raise NotFound(f"Expose '{expose}' not found", resource="exposes") from None
        if not found.enabled:
            raise NotFound(f"Expose '{expose}' is not enabled", resource="exposes")
        if found.state not in (_STATES.EXPOSE_STATE_RUNNING, _STATES.EXPOSE_STATE_OUTDATED):
            raise NotFound(f"Expose '{expose}' is not running", resource="exposes")

    async def job(self, job_id: str) -> job_pb2.Job:
        """Return a job.  Raises `NotFound` in Sumi's words."""
        try:
            with from_rpc():
                job: job_pb2.Job = await self._jobs.GetJob(job_pb2.GetJobRequest(name=f"jobs/{job_id}"))
        except NotFound:
            raise no_job(job_id) from None
        return job


def _not_launched(error: launch.NotLaunched) -> str:
    """Return why there is no job, in Sumi's words."""
    if error.status < 300:
        return "Service did not return a job ID (fid)"
    return f"Service returned HTTP {error.status}: {error}"


def no_job(job_id: str) -> NotFound:
    """Return the error of a job that there is not, or that the caller may not see."""
    return NotFound(f"Job '{job_id[:100]}' not found", resource="jobs")


def _name(field: str, text: str) -> str:
    lower = text.lower()
    if not service_names.NAME.match(lower):
        raise Invalid(
            f"{field} is not a name",
            {field: [f"{text[:80]!r} must contain only a-z, 0-9, - and _, and begin with a letter or digit"]},
        )
    return lower


def _page_size(text: str) -> int:
    if not text:
        return _PAGE
    if not re.fullmatch(r"-?[0-9]{1,9}", text):
        raise Invalid("pp is no page size", {"pp": [f"send a number from 1 to {_PAGE_MAX}"]})
    return max(1, min(int(text), _PAGE_MAX))


SERVICE = Service(
    name="mesh.dialects.sumi.v1.SumiService",
    add=pb_grpc.add_SumiServiceServicer_to_server,
    servicer=SumiServicer,
)
