"""The kodosumi panel's timeline: the caller's executions, newest first, and what changed since.

Source: the timeline routes of the kodosumi panel (`/timeline/list`, `/timeline/changes`).
"""

import math
from typing import Any

from agentmesh_protos.dialects.kodosumi.v1 import outputs_pb2 as pb
from agentmesh_protos.dialects.kodosumi.v1 import outputs_pb2_grpc as pb_grpc
from agentmesh_protos.runner.v1 import job_pb2
from google.api import httpbody_pb2

from gateway.core import jobs, lists, locks, times
from gateway.core.peers import Peers
from gateway.core.states import TERMINAL
from gateway.dialects.kodosumi.words import WORDS
from gateway.http.answers import json_answer
from gateway.http.dialect import Service
from meshkit import clock
from meshkit.clock import moment_of, stamp
from meshkit.errors import Invalid, from_rpc

_PAGE_MAX = 1000
_PAGE = 10
_MOMENT_MAX = 4e9
"""In the year 2096: nothing has changed since."""


class TimelineServicer(pb_grpc.TimelineServiceServicer):
    """Unpack, list the caller's jobs, show them as the panel does."""

    def __init__(self, peers: Peers) -> None:
        self._jobs = peers.jobs

    async def ListTimeline(self, request: pb.ListTimelineRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Return a page of the caller's executions."""
        page_size = _page_size(request.pp)
        if request.offset and not jobs.is_id(request.offset):
            raise Invalid("offset is no fid", {"offset": ["send the offset of the last page, or nothing"]})
        before = f"jobs/{request.offset}" if request.offset else ""
        now = clock.now()
        with from_rpc():
            page = await self._jobs.ListJobs(
                job_pb2.ListJobsRequest(
                    page_size=page_size,
                    query=request.q,
                    before=before,
                    text_bytes_max=lists.text_bytes_max(page_size),
                )
            )
        items = [item_of(job, now) for job in page.jobs]
        offset = items[-1]["fid"] if items and page.next_page_token else None
        return json_answer({"items": items, "query": request.q or None, "offset": offset})

    async def ListChanges(self, request: pb.ListChangesRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Return which of the newest executions changed, and which are gone."""
        now = clock.now()
        update: list[dict[str, Any]] = []
        delete: list[str] = []
        if request.since:
            since = _moment(request.since)
            asked = job_pb2.ListJobsRequest(
                page_size=_PAGE_MAX,
                query=request.q,
                deleted_since=stamp(since),
                text_bytes_max=lists.text_bytes_max(_PAGE_MAX),
            )
            with from_rpc():
                page = await self._jobs.ListJobs(asked)
            update = [item_of(job, now) for job in page.jobs if times.epoch(job.update_time) >= since]
            delete = [name.removeprefix("jobs/") for name in page.deleted]
        answer = {"update": update, "delete": delete, "timestamp": now, "query": request.q or None}
        return json_answer(answer)


def item_of(job: job_pb2.Job, now: float) -> dict[str, Any]:
    """Return an execution as the timeline shows it; `runtime` of one that runs is until `now`."""
    meta = jobs.json_object(job.meta_json)
    ended = job.state in TERMINAL and job.HasField("finish_time")
    until = times.epoch(job.finish_time) if ended else now
    return {
        "fid": jobs.id_of(job),
        "tags": meta.get("tags") or [],
        "summary": meta.get("summary"),
        "inputs": {"dict": jobs.json_object(job.inputs_json)},
        "status": WORDS.word(job.state),
        "startup": moment_of(job.create_time).isoformat(),
        "finish": moment_of(job.finish_time).isoformat() if ended else None,
        "runtime": max(0.0, round(until - times.epoch(job.create_time), 6)),
        "locks": locks.ids(job),
    }


def _page_size(text: str) -> int:
    if not text:
        return _PAGE
    if text.isascii() and text.isdecimal() and len(text) < 6 and int(text) > 0:
        return min(int(text), _PAGE_MAX)
    raise Invalid("pp is no page size", {"pp": [f"send a number from 1 to {_PAGE_MAX}"]})


def _moment(text: str) -> float:
    try:
        moment = float(text)
    except ValueError:
        moment = math.nan
    if not math.isfinite(moment):
        raise Invalid("since is no moment", {"since": ["send the timestamp of the last answer"]})
    return min(max(0.0, moment), _MOMENT_MAX)


SERVICE = Service(
    name="mesh.dialects.kodosumi.v1.TimelineService",
    add=pb_grpc.add_TimelineServiceServicer_to_server,
    servicer=TimelineServicer,
)
