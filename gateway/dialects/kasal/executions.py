"""Kasal: executions, which the mesh calls jobs."""

import math
import statistics
from typing import Any

import pydantic
from agentmesh_protos.dialects.kasal.v1 import execution_pb2 as pb
from agentmesh_protos.dialects.kasal.v1 import execution_pb2_grpc as pb_grpc
from agentmesh_protos.runner.v1 import job_pb2, trace_pb2

from gateway.core import lists, states
from gateway.core.peers import Peers
from gateway.core.values import value
from gateway.dialects.kasal import asking, ids, traces
from gateway.dialects.kasal.crews import Crews
from gateway.dialects.kasal.results import error_of, result_of
from gateway.dialects.kasal.words import WORDS
from gateway.http.answers import dumps
from gateway.http.dialect import Service
from gateway.http.exchange import exchange
from meshkit.clock import seconds_of

ESTIMATE_S = 300
"""What an execution is said to take while none of its crew has succeeded."""
_ESTIMATED_BY = 10


class NewExecution(pydantic.BaseModel):
    """Which crew shall work, and with what."""

    crew_id: str = pydantic.Field(min_length=1)
    inputs: dict[str, Any] = pydantic.Field(default_factory=dict)
    """By name; `{topic}` in a task stands for the input `topic`."""


class ExecutionServicer(pb_grpc.ExecutionServiceServicer):
    """Unpack, ask the runner, show what it says as Kasal does."""

    def __init__(self, peers: Peers) -> None:
        self._crews = Crews(peers)
        self._jobs = peers.jobs
        self._traces = peers.traces

    async def StartExecution(self, request: pb.StartExecutionRequest, context: Any) -> pb.Started:
        """Start an execution of a crew; it is on disk when this returns."""
        sent = asking.parsed(request.json_body, NewExecution, "execution")
        crew = await self._crews.get(sent.crew_id)
        wanted = job_pb2.CreateJobRequest(
            target=crew.name, inputs_json=dumps(sent.inputs), base_url=exchange().base_url
        )
        with asking.of(ids.CREW, sent.crew_id):
            job = await self._jobs.CreateJob(wanted)
        return pb.Started(job_id=ids.JOB.of(job.name), status="queued", estimated_duration=await self._estimate(job))

    async def GetExecution(self, request: pb.GetExecutionRequest, context: Any) -> pb.Execution:
        """Return where an execution stands."""
        with asking.of(ids.JOB, request.job_id):
            job = await self._jobs.GetJob(job_pb2.GetJobRequest(name=ids.JOB.name(request.job_id)))
        return _shown(job)

    async def ListExecutions(self, request: pb.ListExecutionsRequest, context: Any) -> pb.Executions:
        """Return a page of the caller's executions."""
        page = asking.Page.of(request.page, request.limit)
        standing: list[Any] = sorted(WORDS.states(request.status)) if request.status else []
        asked = job_pb2.ListJobsRequest(
            targets=["crews/-"], states=standing, text_bytes_max=lists.text_bytes_max(page.limit)
        )
        found = await asking.listed(self._jobs.ListJobs, asked, most=page.number * page.limit + 1)
        jobs = page.cut(found)
        more = len(found) > page.number * page.limit
        return pb.Executions(executions=map(_shown, jobs), page=page.number, more=more)

    async def ListTraces(self, request: pb.ListTracesRequest, context: Any) -> pb.Traces:
        """Return a page of what an execution did."""
        page = asking.Page.of(request.page, request.limit)
        asked = trace_pb2.ListSpansRequest(parent=ids.JOB.name(request.job_id))
        with asking.of(ids.JOB, request.job_id):
            spans = await asking.listed(self._traces.ListSpans, asked)
        found = traces.of_spans(spans)
        return pb.Traces(traces=page.cut(found), total=len(found), page=page.number)

    async def StopExecution(self, request: pb.StopExecutionRequest, context: Any) -> pb.Stopped:
        """Stop an execution, and answer when nothing of it runs any more."""
        with asking.of(ids.JOB, request.job_id):
            job = await self._jobs.CancelJob(job_pb2.CancelJobRequest(name=ids.JOB.name(request.job_id)))
        return pb.Stopped(job_id=request.job_id, status=WORDS.word(job.state))

    async def _estimate(self, job: job_pb2.Job) -> int:
        """Return how many seconds the crew's last executions took: their median."""
        asked = job_pb2.ListJobsRequest(
            targets=[job.target], states=[states.SUCCEEDED], before=job.name, text_bytes_max=1
        )
        before = await asking.listed(self._jobs.ListJobs, asked, most=_ESTIMATED_BY)
        took = [seconds_of(one.finish_time) - seconds_of(one.start_time) for one in before]
        return max(1, math.ceil(statistics.median(took))) if took else ESTIMATE_S


def _shown(job: job_pb2.Job) -> pb.Execution:
    ended = job.state in states.TERMINAL
    return pb.Execution(
        job_id=ids.JOB.of(job.name),
        status=WORDS.word(job.state),
        progress=100 if job.state == states.SUCCEEDED else math.floor(job.progress.percent),
        current_task="" if ended else job.progress.text,
        started_at=asking.time_of(job.create_time),
        completed_at=value(asking.time_of(job.finish_time) if ended and job.HasField("finish_time") else None),
        result=value(result_of(job)),
        error=value(error_of(job)),
    )


SERVICE = Service(
    name="mesh.dialects.kasal.v1.ExecutionService",
    add=pb_grpc.add_ExecutionServiceServicer_to_server,
    servicer=ExecutionServicer,
)
