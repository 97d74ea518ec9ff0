"""The Sumi API, locks: what a job asks a human while it runs.

Source: the notebook ("Get Lock Schema", "Provide Input"); MIP-003 (`provide_input`).
"""

import re
from collections.abc import Mapping
from typing import Any

import pydantic
from agentmesh_protos.dialects.sumi.v1 import lock_pb2 as pb
from agentmesh_protos.dialects.sumi.v1 import lock_pb2_grpc as pb_grpc
from agentmesh_protos.dialects.sumi.v1 import sumi_pb2
from agentmesh_protos.runner.v1 import job_pb2, lock_pb2
from google.api import httpbody_pb2

from gateway.core import jobs, locks, service_names, times
from gateway.core.hashes import input_hash
from gateway.core.mip003.schema import by_name, input_schema
from gateway.core.peers import Peers
from gateway.dialects.sumi import views
from gateway.dialects.sumi.answers import answer, wants_later
from gateway.dialects.sumi.services import SumiServicer, no_job
from gateway.http import bodies
from gateway.http.dialect import Service
from gateway.http.exchange import exchange
from meshkit.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    Invalid,
    MeshError,
    NotFound,
    Unavailable,
)

_LOCK_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
_SHAPE = "'{lock}:{field}', or send the lock as status_id"
_STATES = {locks.PENDING: "pending", locks.ANSWERED: "released"}


class LockAnswer(pydantic.BaseModel):
    """The body of an answer to one lock."""

    input_data: dict[str, Any]


class ProvidedInput(pydantic.BaseModel):
    """The body of `provide_input`."""

    job_id: str = pydantic.Field(max_length=100)
    status_id: str | None = pydantic.Field(default=None, max_length=100)
    input_schema_hash: str | None = None
    input_data: dict[str, Any]


class LockServicer(pb_grpc.LockServiceServicer):
    """Unpack, ask the runner, show what it says as Sumi does."""

    def __init__(self, peers: Peers) -> None:
        self._locks = locks.Locks(peers)
        self._services = SumiServicer(peers)
        self._hashes = peers.hashes

    async def GetLock(self, request: pb.GetLockRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Return a lock and its form.

        An expose may be called `lock`: what is no job id is a flow of that expose.
        """
        if not jobs.is_id(request.fid) and request.lid in ("availability", "input_schema"):
            at = {"expose": "lock", "name": request.fid}
            if request.lid == "availability":
                return await self._services.GetAvailability(sumi_pb2.GetAvailabilityRequest(**at), context)
            return await self._services.GetInputSchema(sumi_pb2.GetInputSchemaRequest(**at), context)
        lock = await self._locks.get(request.fid, request.lid)
        later = wants_later()
        body = {
            "job_id": request.fid,
            "status_id": locks.id_of(lock),
            "status": _STATES.get(lock.state, "expired"),
            "input_schema": input_schema(locks.elements_of(lock), later=later),
            "expires_at": times.epoch(lock.expire_time),
            "prompt": lock.title or None,
        }
        return answer(body, later=later)

    async def AnswerLock(self, request: pb.AnswerLockRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Answer a lock; what goes wrong is an answer, not an error."""
        if not jobs.is_id(request.fid) and request.lid in ("start_job", "provide_input"):
            at = {"expose": "lock", "name": request.fid, "json_body": request.json_body}
            if request.lid == "start_job":
                return await self._services.StartJob(sumi_pb2.StartJobRequest(**at), context)
            return await self.ProvideInput(pb.ProvideInputRequest(**at), context)
        data = bodies.parse_model(request.json_body, LockAnswer).input_data
        later = wants_later()
        try:
            lock = await self._locks.get(request.fid, request.lid)
            job = await self._services.job(request.fid)
            digest = self._hash(job, f"{request.fid}:{request.lid}", data)
            await self._locks.answer(lock, by_name(locks.elements_of(lock), data))
        except (locks.Refused, NotFound, FailedPrecondition, Unavailable, DeadlineExceeded, Internal) as error:
            if later:
                raise
            return _error(error)
        if later:
            return answer({"input_hash": digest, "signature": digest}, later=True)
        return answer({"status": "success", "input_hash": digest})

    async def ProvideInput(self, request: pb.ProvideInputRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Answer the locks that the fields belong to."""
        body = bodies.parse_model(request.json_body, ProvidedInput)
        if not jobs.is_id(body.job_id):
            raise no_job(body.job_id)
        job = await self._services.job(body.job_id)
        expose, _, path = job.flow.removeprefix("flows/").partition("/")
        if request.expose.lower() != expose or request.name.lower() not in service_names.names(path):
            raise no_job(body.job_id)
        digest = self._hash(job, body.job_id, body.input_data)
        answers = await self._by_lock(job, body)
        by_names = [(lock, by_name(locks.elements_of(lock), data)) for lock, data in answers]
        await self._locks.answer_each(by_names, exchange().idempotency_key)
        return answer({"input_hash": digest, "signature": digest}, later=wants_later())

    def _hash(self, job: job_pb2.Job, legacy: str, data: Mapping[str, Any]) -> str:
        """Return the hash of an answer, as it was sent; `legacy` is the identifier in the notebook's hashes."""
        purchaser = jobs.json_object(job.extra_json).get("identifier_from_purchaser") or ""
        return input_hash(legacy if self._hashes == "kodosumi" else str(purchaser), data)

    async def _by_lock(self, job: job_pb2.Job, body: ProvidedInput) -> list[tuple[lock_pb2.Lock, dict[str, Any]]]:
        """Return which lock gets which values, in the order of the body.  Raises `Invalid`, naming the fields."""
        waiting = {locks.id_of(lock): lock for lock in await self._locks.pending(job)}
        found: dict[str, tuple[lock_pb2.Lock, dict[str, Any]]] = {}
        problems: dict[str, list[str]] = {}
        usual = body.status_id if body.status_id != body.job_id else None
        if usual is None and len(waiting) == 1:
            (usual,) = waiting
        for key, value in (body.input_data or {"": None}).items():
            lid, colon, field = key.partition(":")
            if not colon or (lid not in waiting and lid not in found and not _LOCK_ID.match(lid)):
                lid, field = usual or "", key
            if lid not in found:
                lock = waiting.get(lid) or await self._lock(body.job_id, lid)
                if lock is None:
                    problems[key or "input_data"] = [f"belongs to no lock of the job: name it {_SHAPE}"]
                    continue
                found[lid] = (lock, {})
            if key:
                found[lid][1][field] = value
        if problems:
            raise Invalid("request is not valid", problems)
        return list(found.values())

    async def _lock(self, job_id: str, lid: str) -> lock_pb2.Lock | None:
        if not lid:
            return None
        try:
            return await self._locks.get(job_id, lid)
        except NotFound:
            return None


def _error(error: MeshError) -> httpbody_pb2.HttpBody:
    fields = error.fields if isinstance(error, locks.Refused) else {locks.GLOBAL: [str(error)]}
    text = views.refusal(fields) if isinstance(error, locks.Refused) else str(error)
    return answer({"status": "error", "input_hash": None, "error": text, "errors": fields})


SERVICE = Service(
    name="mesh.dialects.sumi.v1.LockService",
    add=pb_grpc.add_LockServiceServicer_to_server,
    servicer=LockServicer,
)
