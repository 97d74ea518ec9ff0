"""Requests to apps, and the jobs their handlers launch."""

import dataclasses
import hashlib
import json
import re
import time
from collections.abc import Callable

from mesh.runner.v1 import app_pb2, host_pb2

from meshkit.errors import AlreadyExists, Internal, Invalid, NotFound
from services.runner.domain import Job, Request, State, Terms
from services.runner.hosts import Hosts
from services.runner.jobs import Jobs
from services.runner.locks import APP_PATH
from services.runner.store import JobStore

_JOB_ID = re.compile(r"[0-9a-f]{24}")
REQUEST_ID_CHARS_MAX = 256
BODY_BYTES_MAX = 4 * 1024 * 1024


class Calls:
    """Sends requests to apps; what a handler launches is on disk before the answer goes back."""

    def __init__(
        self,
        store: JobStore,
        jobs: Jobs,
        hosts: Hosts,
        *,
        timeout_s: float,
        hashes: str = "",
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._jobs = jobs
        self._hosts = hosts
        self._timeout_s = timeout_s
        self._hashes = hashes
        self._now = now

    async def call(self, request: app_pb2.CallAppRequest, expose: str, owner: str) -> app_pb2.CallAppResponse:
        """Send a request on behalf of `owner`.

        Raises `Unavailable` while no app serves the expose, `DeadlineExceeded` and `Internal` if it does not answer,
        `Invalid` for a body that is too large or a request id that was used with another body.
        """
        if request.path.startswith(APP_PATH):
            raise NotFound("there is nothing here", resource=request.path)
        if len(request.body) > BODY_BYTES_MAX:
            raise Invalid("the body is larger than 4 MiB", {"body": ["must be at most 4 MiB"]})
        body_hash = ""
        if request.request_id:
            body_hash = _digest(request)
            if (known := await self._known(owner, request.request_id, body_hash)) is not None:
                return known
        link = self._hosts.serving_link(expose)
        result = await link.call(
            host_pb2.Call(
                method=request.method,
                path=request.path,
                query=request.query,
                headers=request.headers,
                body=request.body,
                user=owner,
                base_url=request.base_url,
                extra_json=request.extra_json,
                timeout_s=self._timeout_s,
            )
        )
        jobs = [self._job(launch, request, expose, owner) for launch in result.launches]
        response = app_pb2.CallAppResponse(
            status=result.status,
            headers=result.headers,
            body=result.body,
            jobs=[f"jobs/{job.job_id}" for job in jobs],
        )
        once = None
        if request.request_id and jobs:
            once = Request(
                owner=owner, request_id=request.request_id, body_hash=body_hash, answer=response.SerializeToString()
            )
        try:
            for index, job in enumerate(jobs):
                await self._jobs.create(job, once if index == 0 else None)
        except AlreadyExists:  # the same request, a moment earlier: its answer is ours
            if (known := await self._known(owner, request.request_id, body_hash)) is None:
                raise Internal("the app used a job id twice") from None
            return known
        return response

    async def _known(self, owner: str, request_id: str, body_hash: str) -> app_pb2.CallAppResponse | None:
        if len(request_id) > REQUEST_ID_CHARS_MAX:
            raise Invalid("request_id is too long", {"request_id": [f"at most {REQUEST_ID_CHARS_MAX} characters"]})
        known = await self._store.request(owner, request_id)
        if known is None:
            return None
        if known.body_hash != body_hash:
            raise Invalid(
                "this request id (Idempotency-Key) was used for another request: take a new one",
                {"request_id": ["was used with another body"]},
            )
        return app_pb2.CallAppResponse.FromString(known.answer)

    def _job(self, launch: host_pb2.Launch, request: app_pb2.CallAppRequest, expose: str, owner: str) -> Job:
        """Make the job that a handler asks for.  Raises `Internal` if the host does not keep to the protocol."""
        if not _JOB_ID.fullmatch(launch.job_id):
            raise Internal("the app chose a job id that is not 24 hex digits")
        now = self._now()
        path = launch.path.strip("/")
        extra = {**_object(launch.extra_json), **_object(request.extra_json)}
        meta = {
            "fid": launch.job_id,
            "username": owner.removeprefix("users/"),
            "app_url": f"{request.base_url}/-/{expose}",
            "panel_url": request.base_url,
            "entry_point": launch.entry_point,
            "kodosumi": None,
            **_object(launch.meta_json),
        }
        if extra:
            meta["extra"] = extra
        return Job(
            job_id=launch.job_id,
            flow=f"flows/{expose}/{path}" if path else f"flows/{expose}",
            owner=owner,
            state=State.AWAITING_PAYMENT if request.HasField("payment") else State.QUEUED,
            inputs_json=json.dumps(_object(launch.inputs_json), ensure_ascii=False, separators=(",", ":")),
            inputs_blob=launch.inputs_blob,
            meta_json=json.dumps(meta, ensure_ascii=False, separators=(",", ":")),
            extra_json=json.dumps(extra, ensure_ascii=False, separators=(",", ":")) if extra else "",
            entry_point=launch.entry_point,
            base_url=request.base_url,
            payment_json=_terms(request, self._hashes),
            created_at=now,
            updated_at=now,
        )


def _terms(request: app_pb2.CallAppRequest, hashes: str) -> str:
    if not request.HasField("payment"):
        return ""
    terms = Terms(
        agent_identifier=request.payment.agent_identifier,
        network=request.payment.network,
        purchaser_identifier=request.payment.purchaser_identifier,
        input_hash=request.payment.input_hash,
        hashes=hashes,
    )
    return json.dumps(dataclasses.asdict(terms))


def _object(text: str) -> dict[str, object]:
    try:
        value = json.loads(text or "{}")
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise Internal("the app sent something that is not a JSON object")
    return value


def _digest(request: app_pb2.CallAppRequest) -> str:
    digest = hashlib.sha256()
    for part in (request.name, request.method, request.path, request.query):
        digest.update(part.encode() + b"\0")
    for blob in (request.extra_json.encode(), request.payment.SerializeToString(deterministic=True), request.body):
        digest.update(hashlib.sha256(blob).digest())
    return digest.hexdigest()
