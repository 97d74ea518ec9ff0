"""The kodosumi panel API, "Execution Control": status, streams and results of executions.

An execution is a job of the runner.  Each status is one `GetJob`; each stream follows a `WatchJob`, whose batches
become chunks of the answer.  Source: panel API document (status, outputs), notebook (streams).
"""

import contextlib
import functools
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Any

import pydantic
from agentmesh_protos.dialects.kodosumi.v1 import outputs_pb2 as pb
from agentmesh_protos.dialects.kodosumi.v1 import outputs_pb2_grpc as pb_grpc
from agentmesh_protos.runner.v1 import job_pb2
from google.api import httpbody_pb2
from google.protobuf import empty_pb2

from gateway.core import joblog, jobs, locks, render, times
from gateway.core.peers import Peers
from gateway.core.prices import Prices
from gateway.core.states import RUNNING, TERMINAL
from gateway.dialects.kodosumi import flow_urls, stream
from gateway.dialects.kodosumi.html import COLOURED_CSP, html_answer, page
from gateway.dialects.kodosumi.log import Payloads, app_url
from gateway.dialects.kodosumi.words import WORDS
from gateway.http import bodies, sse
from gateway.http.accept import prefers_html
from gateway.http.answers import json_answer, json_text
from gateway.http.dialect import Service
from gateway.http.exchange import exchange
from meshkit.errors import NotFound, from_rpc

_PATIENCE = '{"Markdown":{"body":"no result, yet. please be patient."}}'
_DELETE_MAX = 1000


class Fids(pydantic.BaseModel):
    """The body of `DELETE /outputs`."""

    fid: list[str] = pydantic.Field(max_length=_DELETE_MAX)


class OutputsServicer(pb_grpc.OutputsServiceServicer):
    """Unpack, call the runner, show what it says in kodosumi's shape."""

    def __init__(self, peers: Peers) -> None:
        self._jobs = peers.jobs
        self._watches = peers.watches
        self._prices = Prices(peers)
        self._renderer = peers.renderer

    async def GetStatus(self, request: pb.GetStatusRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Return where an execution stands."""
        job = await self._get(request.fid)
        return json_answer(status_of(job, exchange().base_url))

    def StreamEvents(self, request: pb.StreamEventsRequest, context: Any) -> AsyncIterator[httpbody_pb2.HttpBody]:
        """Stream every event as it is."""
        return self._stream(request, None)

    def StreamMain(self, request: pb.StreamEventsRequest, context: Any) -> AsyncIterator[httpbody_pb2.HttpBody]:
        """Stream what an execution does and says."""
        return self._stream(request, stream.MAIN)

    def StreamStdio(self, request: pb.StreamEventsRequest, context: Any) -> AsyncIterator[httpbody_pb2.HttpBody]:
        """Stream what an execution prints."""
        return self._stream(request, stream.STDIO)

    async def GetRaw(self, request: pb.GetRawRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Return the result as JSON."""
        return json_text(jobs.result_text(await self._get(request.fid)) or _PATIENCE)

    async def GetHtml(self, request: pb.GetHtmlRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Return the result as a page."""
        try:
            job = await self._get(request.fid)
        except NotFound as error:
            if not prefers_html(exchange().headers.get("accept", "")):
                raise
            exchange().status = 404
            return html_answer(page("message.html", title="There is no such execution", message=str(error)))
        title = jobs.json_object(job.meta_json).get("summary") or f"Execution {request.fid}"
        result = render.safe(await self._renderer.one("typed", jobs.result_text(job) or _PATIENCE))
        return html_answer(
            page(
                "result.html",
                title=str(title),
                status=WORDS.word(job.state),
                result=result,
                refresh=job.state not in TERMINAL,
                price=await self._prices.asked(job),
                questions=[f"/inputs/lock/{request.fid}/{lid}" for lid in locks.ids(job)],
            ),
            COLOURED_CSP,
        )

    async def DeleteOutput(self, request: pb.DeleteOutputRequest, context: Any) -> empty_pb2.Empty:
        """End an execution if it runs, and forget it."""
        await self._delete(request.fid)
        return empty_pb2.Empty()

    async def DeleteOutputs(self, request: pb.DeleteOutputsRequest, context: Any) -> empty_pb2.Empty:
        """Do the same with many, in order."""
        for fid in bodies.parse_model(request.json_body, Fids).fid:
            await self._delete(fid)
        return empty_pb2.Empty()

    async def _get(self, fid: str) -> job_pb2.Job:
        with _execution(fid) as name:
            job: job_pb2.Job = await self._jobs.GetJob(job_pb2.GetJobRequest(name=name))
        return job

    async def _delete(self, fid: str) -> None:
        with _execution(fid) as name:
            await self._jobs.DeleteJob(job_pb2.DeleteJobRequest(name=name))

    async def _stream(
        self, request: pb.StreamEventsRequest, kinds: frozenset[str] | None
    ) -> AsyncGenerator[httpbody_pb2.HttpBody, None]:
        """Yield an execution's log; `kinds` chooses events, and has them formatted unless `raw` is given."""
        after_seq = joblog.seq(exchange().headers.get("last-event-id") or request.last_event_id, "last_event_id")
        call = exchange()
        job = await self._get(request.fid)
        resumes = stream.resumes(call.headers.get("accept", ""))
        if (
            resumes and job.state in TERMINAL and after_seq >= job.last_seq
        ):  # it has seen the end and would come for ever
            call.status = 204
            return
        for header in sse.HEADERS:
            call.add_header(*header)

        translate = Payloads(job).payload
        encode = functools.partial(stream.encode, kinds=kinds, marks=resumes)
        with _execution(request.fid):
            followed = self._watches.follow(job, after_seq)
            if kinds is not None and not _raw(request):
                log = stream.shown(followed, kinds, self._renderer, translate)
            else:
                log = stream.raw(followed)
                encode = functools.partial(encode, translate=translate)
            alive = functools.partial(stream.alive, resumes=resumes)
            warm = sse.stream(log, encode, alive=alive, end=stream.eof(resumes=resumes))
            async with contextlib.aclosing(warm) as chunks:
                async for chunk in chunks:
                    yield httpbody_pb2.HttpBody(content_type=sse.CONTENT_TYPE, data=chunk)


def status_of(job: job_pb2.Job, base_url: str) -> dict[str, Any]:
    """Return the body of a status, in the document's order of keys.

    `timestamp` is when it last changed its status.  `base_url` is the flow's url on this server, `app_url` (of later
    releases) the app's whole address; clients of either release find what they know.
    """
    meta = jobs.json_object(job.meta_json)
    changed = job.create_time
    if job.state in TERMINAL and job.HasField("finish_time"):
        changed = job.finish_time
    elif job.state == RUNNING and job.HasField("start_time"):
        changed = job.start_time
    return {
        "status": WORDS.word(job.state),
        "timestamp": times.epoch(changed),
        "final": jobs.result_text(job),
        "fid": jobs.id_of(job),
        "summary": meta.get("summary"),
        "description": meta.get("description"),
        "tags": meta.get("tags") or [],
        "deprecated": meta.get("deprecated"),
        "author": meta.get("author"),
        "organization": meta.get("organization"),
        "version": meta.get("version"),
        "kodosumi_version": None,
        "base_url": flow_urls.flow_url(job.flow),
        "app_url": app_url(job) if job.base_url else f"{base_url}/-/{job.flow.split('/')[1]}",
        "entry_point": job.entry_point,
        "username": job.owner.removeprefix("users/"),
        "locks": locks.ids(job),
    }


@contextlib.contextmanager
def _execution(fid: str) -> Iterator[str]:
    """Around calls about an execution: yield the job's name; what is unknown is so in kodosumi's words.

    The original waits a second for an execution to appear; here it is there before its id is known.
    """
    missing = NotFound(f"Execution {fid[:100]} not found after 1s.", resource="jobs")
    if not jobs.is_id(fid):
        raise missing
    try:
        with from_rpc():
            yield f"jobs/{fid}"
    except NotFound:
        raise missing from None


def _raw(request: pb.StreamEventsRequest) -> bool:
    """Return whether `raw` is in the query; the transcoder does not see it without a value."""
    return request.HasField("raw") or "raw" in bodies.parse_query(exchange().query)


SERVICE = Service(
    name="mesh.dialects.kodosumi.v1.OutputsService",
    add=pb_grpc.add_OutputsServiceServicer_to_server,
    servicer=OutputsServicer,
)
