"""A flow as an agentic service: it says what it takes, runs, and asks.

Who asks is decided for each call by the flow (`gateway.core.mip003.public`): what is started of a public one belongs to
guests, whoever calls.  A job is found by its id, and only below the base URL of its own flow.
"""

from typing import Any

import pydantic
from agentmesh_protos.dialects.mip003.v1 import mip003_pb2 as pb
from agentmesh_protos.dialects.mip003.v1 import mip003_pb2_grpc as pb_grpc
from agentmesh_protos.registry.v1 import registry_pb2
from agentmesh_protos.runner.v1 import job_pb2, lock_pb2
from google.api import httpbody_pb2

from gateway.core import jobs, launch, locks
from gateway.core.catalogue import Catalogue, meta_of
from gateway.core.hashes import input_hash
from gateway.core.launch import Place
from gateway.core.mip003 import public, purchases
from gateway.core.mip003.schema import by_name
from gateway.core.peers import Peers
from gateway.core.states import TERMINAL
from gateway.dialects.mip003 import views
from gateway.dialects.mip003.provided import ProvidedInput, answers, as_sent
from gateway.http import bodies
from gateway.http.answers import json_answer
from gateway.http.dialect import Service
from gateway.http.errors import HttpError
from gateway.http.exchange import exchange
from meshkit.errors import Invalid, NotFound, Unavailable, from_rpc
from meshkit.principal import GUEST, Principal, acting, caller

_PATIENCE_S = 20.0
"""How long the start of a paid job waits for what its purchaser must know: no other answer says it."""


class StartJob(pydantic.BaseModel):
    """The body of `start_job`; the identifier may be left out where nothing is paid."""

    identifier_from_purchaser: str | None = pydantic.Field(default=None, max_length=1000)
    input_data: dict[str, Any] | None = None


class AgentServicer(pb_grpc.AgentServiceServicer):
    """Unpack, find the flow and who runs it, ask the runner, show the answer as the text does."""

    def __init__(self, peers: Peers) -> None:
        self._catalogue = Catalogue(peers)
        self._jobs = peers.jobs
        self._launcher = launch.Launcher(peers)
        self._locks = locks.Locks(peers)
        self._purchases = purchases.Purchases(peers)

    async def GetAvailability(self, request: pb.GetAvailabilityRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Say whether a service takes jobs."""
        try:
            flow, runs = await self._flow(request)
        except NotFound as error:
            return _availability("unavailable", str(error))
        with acting(runs):
            problem = await self._launcher.problem(Place.of(flow), exchange().base_url)
        if problem:
            return _availability("unavailable", problem)
        return _availability("available", f"{flow.summary or _name(request)} is ready to accept jobs")

    async def GetInputSchema(self, request: pb.GetInputSchemaRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Return a service's form."""
        flow, runs = await self._flow(request)
        with acting(runs):
            return json_answer(views.form(await self._elements(flow)))

    async def StartJob(self, request: pb.StartJobRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Start a job; one that is paid for answers once its purchaser can pay."""
        body = bodies.parse_model(request.json_body, StartJob)
        flow, runs = await self._flow(request)
        data = body.input_data or {}
        order = purchases.order(flow, flow.name.removeprefix("flows/"), body.identifier_from_purchaser, data)
        with acting(runs):
            if any(isinstance(value, list) for value in data.values()):  # there may be indexes of options
                data = by_name(await self._elements(flow) or (), data)
            try:
                job = await self._launcher.start(
                    flow.name, exchange().base_url, data, extra=order.extra, payment=order.terms
                )
            except launch.NotLaunched as error:  # in the words of its author, which are not for everybody
                raise HttpError(500, f"the service could not start a job: its form answered {error.status}") from error
            return json_answer(views.started(job, await self._purchase(job)))

    async def _purchase(self, job: job_pb2.Job) -> dict[str, Any]:
        """Return what the purchaser must know; empty for a free job.

        Raises `HttpError` 500 if the job has ended meanwhile, `Unavailable` if it cannot be paid for yet.
        """
        if not job.payment:
            return {}
        await self._purchases.asked(job, _PATIENCE_S)
        told = await self._purchases.of(job)
        if all(value is not None for value in told.values()):
            return told
        with from_rpc():
            now = await self._jobs.GetJob(job_pb2.GetJobRequest(name=job.name))
        if now.state in TERMINAL:
            raise HttpError(500, f"the job cannot be paid for: {jobs.failure(now)}")
        raise Unavailable("the payment service is away: send the same request again with the same Idempotency-Key")

    async def GetStatus(self, request: pb.GetStatusRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Return where a job of the flow stands."""
        if not request.job_id:
            raise Invalid("request is not valid", {"job_id": ["send the job_id that start_job answered"]})
        job = await self._job(request, request.job_id)
        with acting(_reads(job)):
            waiting = await self._locks.pending(job)
            if job.locks and not waiting:  # answered between the two looks
                job = await self._job(request, request.job_id)
                waiting = await self._locks.pending(job)
        return json_answer(views.status(job, waiting))

    async def ProvideInput(self, request: pb.ProvideInputRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Answer what a job asks."""
        body = bodies.parse_model(request.json_body, ProvidedInput)
        job = await self._job(request, body.job_id)
        identifier = jobs.json_object(job.extra_json).get("identifier_from_purchaser") or ""
        digest = input_hash(str(identifier), body.sent)
        with acting(_reads(job)):
            waiting = await self._locks.pending(job)
            pairs = answers(job, waiting, await self._named(job, waiting, body), body)
            try:
                await self._locks.answer_each(pairs, exchange().idempotency_key)
            except Invalid as error:
                raise as_sent(error, body) from None
        # The mesh does not hold the seller's key, so the hash stands in for its signature.
        return json_answer({"status": "success", "input_hash": digest, "signature": digest})

    async def _named(
        self, job: job_pb2.Job, waiting: list[lock_pb2.Lock], body: ProvidedInput
    ) -> dict[str, lock_pb2.Lock]:
        """Return the locks of the job that the body names although the job does not wait on them any more, by id."""
        known = {locks.id_of(lock) for lock in waiting}
        found = {}
        for lid in {body.status_id, *(body.input_groups or {})} - known:
            try:
                found[lid] = await self._locks.get(jobs.id_of(job), lid)
            except NotFound:
                continue
        return found

    async def GetDemo(self, request: pb.GetDemoRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Return the operator's example."""
        flow, _ = await self._flow(request)
        if (demo := views.demo(meta_of(flow))) is None:
            raise NotFound("this service has no demo: its operator may add one to its meta", resource="flows")
        return json_answer(demo)

    async def _flow(self, request: Any) -> tuple[registry_pb2.Flow, Principal]:
        """Return the flow, and who runs it.  Raises `NotFound`, also for what is not for the caller."""
        name = _name(request)
        flow = self._catalogue.known(name)
        if flow is None:
            try:
                with acting(GUEST):
                    flow = await self._catalogue.get(name)
            except NotFound:
                raise public.missing(name) from None
        return flow, public.runs(flow)

    async def _elements(self, flow: registry_pb2.Flow) -> list[dict[str, Any]] | None:
        form = await self._launcher.form(Place.of(flow), exchange().base_url)
        return form.elements if form.ok else None

    async def _job(self, request: Any, job_id: str) -> job_pb2.Job:
        """Return a job of the flow: a guest's, or the caller's own.  Raises `NotFound`."""
        for who in (GUEST, caller()):
            if who.user and jobs.is_id(job_id):
                try:
                    with acting(who), from_rpc():
                        job: job_pb2.Job = await self._jobs.GetJob(job_pb2.GetJobRequest(name=f"jobs/{job_id}"))
                except NotFound:
                    continue
                if (job.target or job.flow) == _name(request):
                    return job
        raise NotFound(f"Job '{job_id[:100]}' not found", resource="jobs")


def _reads(job: job_pb2.Job) -> Principal:
    """Return who reads a job that has been found."""
    return GUEST if job.owner == GUEST.user else caller()


def _name(request: Any) -> str:
    return f"flows/{request.expose}/{request.flow}".rstrip("/")


def _availability(status: str, message: str) -> httpbody_pb2.HttpBody:
    return json_answer({"status": status, "type": "masumi-agent", "message": message})


SERVICE = Service(
    name="mesh.dialects.mip003.v1.AgentService",
    add=pb_grpc.add_AgentServiceServicer_to_server,
    servicer=AgentServicer,
)
