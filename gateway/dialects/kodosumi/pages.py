"""The page one lands on after signing in: flows to run, questions to answer, what ran last."""

import asyncio
from typing import Any

from agentmesh_protos.auth.v1 import auth_pb2
from agentmesh_protos.dialects.kodosumi.v1 import page_pb2 as pb
from agentmesh_protos.dialects.kodosumi.v1 import page_pb2_grpc as pb_grpc
from agentmesh_protos.runner.v1 import job_pb2, lock_pb2
from google.api import httpbody_pb2

from gateway.core.catalogue import Catalogue
from gateway.core.peers import Peers
from gateway.core.times import epoch
from gateway.dialects.kodosumi import flow_urls
from gateway.dialects.kodosumi.html import html_answer, page
from gateway.dialects.kodosumi.timeline import item_of
from gateway.http.dialect import Service
from meshkit.errors import from_rpc

_FLOWS_MAX = 200
_JOBS_MAX = 20
_TEXT_BYTES_MAX = 4096
_LOCKS_MAX = 20


class PageServicer(pb_grpc.PageServiceServicer):
    """Unpack, ask four services at once, render."""

    def __init__(self, peers: Peers) -> None:
        self._catalogue = Catalogue(peers)
        self._jobs = peers.jobs
        self._locks = peers.locks
        self._users = peers.users

    async def GetStart(self, request: pb.GetStartRequest, context: Any) -> httpbody_pb2.HttpBody:
        """GET /admin/flow."""
        with from_rpc():
            flows, locks, jobs, me = await asyncio.gather(
                self._catalogue.all(request.q, most=_FLOWS_MAX),
                self._locks.ListLocks(lock_pb2.ListLocksRequest(page_size=_LOCKS_MAX)),
                self._jobs.ListJobs(job_pb2.ListJobsRequest(page_size=_JOBS_MAX, text_bytes_max=_TEXT_BYTES_MAX)),
                self._users.GetSelf(auth_pb2.GetSelfRequest()),
            )
        start = page(
            "start.html",
            title="Flows",
            query=request.q,
            default_password=me.default_password,
            flows=[{"flow": flow, "url": f"/inputs{flow_urls.flow_url(flow.name)}"} for flow in flows],
            locks=[{"title": lock.title, "url": _lock_url(lock.name)} for lock in locks.locks],
            jobs=[{**item_of(job, epoch(job.update_time)), "flow": job.flow.partition("/")[2]} for job in jobs.jobs],
        )
        return html_answer(start)


def _lock_url(name: str) -> str:
    _, job_id, _, lock_id = name.split("/")
    return f"/inputs/lock/{job_id}/{lock_id}"


SERVICE = Service(
    name="mesh.dialects.kodosumi.v1.PageService",
    add=pb_grpc.add_PageServiceServicer_to_server,
    servicer=PageServicer,
)
