"""Tasks: jobs whose target is an agent."""

import re
from collections.abc import Iterable
from typing import Any

from agentmesh_protos.dialects.koda.v1 import task_pb2 as pb
from agentmesh_protos.dialects.koda.v1 import task_pb2_grpc as pb_grpc
from agentmesh_protos.registry.v1 import agent_pb2
from agentmesh_protos.runner.v1 import job_pb2, trace_pb2
from google.api import httpbody_pb2

from gateway.core import jobs, lists, states, values
from gateway.core.peers import Peers
from gateway.dialects.koda import trace, views
from gateway.dialects.koda.agents import agent_of, no_agent
from gateway.dialects.koda.bodies import Context, TaskBody
from gateway.dialects.koda.errors import CODE
from gateway.dialects.koda.words import WORDS
from gateway.http import bodies
from gateway.http.answers import dumps, json_answer
from gateway.http.dialect import Service
from gateway.http.exchange import exchange
from meshkit import paging
from meshkit.errors import Denied, FailedPrecondition, Invalid, NotFound, from_rpc

_PAGE, _PAGE_MAX = 50, 100
_STEPS_MAX = 1000
_SEQ_MAX = 2**62
_NOT_ACTIVE = "TARGET_NOT_ACTIVE"
_FIELDS = {
    "inputs.prompt": "query",
    "conversation": "context.session_id",
    "budget.seconds": "context.timeout_seconds",
    "budget.cost_micros": "context.max_cost_usd",
    "overrides.model": "context.model",
    "overrides.tools": "context.skills",
}
"""What the runner names, and what it is called here."""


class TaskServicer(pb_grpc.TaskServiceServicer):
    """Unpack, ask the runner, show."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._jobs = peers.jobs

    async def SubmitTask(self, request: pb.SubmitTaskRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Submit a task; it is on disk when this answers."""
        body = bodies.parse_model(request.json_body, TaskBody)
        agent = await agent_of(self._peers, body.agent_id)
        agent_id, overrides = views.agent_id_of(agent), body.overrides
        noted = {"agent_id": agent_id, "metadata": body.metadata or {}, "context": overrides.as_json()}
        asked = job_pb2.CreateJobRequest(
            target=agent.name,
            inputs_json=dumps({"prompt": body.query}),
            conversation=overrides.session_id or "",
        )
        return await self._created(asked, noted, overrides)

    async def RetryTask(self, request: pb.RetryTaskRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Submit a task that has failed anew."""
        job = await self._task(request.task_id)
        if job.state not in (states.FAILED, states.CANCELLED):
            raise FailedPrecondition(f"only what has failed is tried again: the task is {WORDS.word(job.state)}")
        kept = views.noted(job)
        ids = await self._agent_ids([job])
        noted = {**kept, "agent_id": ids[job.target], "retry_of": request.task_id}
        asked = job_pb2.CreateJobRequest(target=job.target, inputs_json=job.inputs_json, conversation=job.conversation)
        return await self._created(asked, noted, Context.model_validate(kept.get("context") or {}))

    async def _created(
        self, asked: job_pb2.CreateJobRequest, noted: dict[str, Any], overrides: Context
    ) -> httpbody_pb2.HttpBody:
        """Have a task made, and answer with it."""
        agent_id = str(noted["agent_id"])
        asked.extra_json = dumps({views.NOTED: noted})
        asked.base_url = exchange().base_url
        asked.budget.CopyFrom(_budget(overrides))
        _override(asked, overrides)
        try:
            with values.fields(**_FIELDS), from_rpc():
                job = await self._jobs.CreateJob(asked)
        except FailedPrecondition as error:
            if error.metadata.get("reason") != _NOT_ACTIVE:
                raise
            raise Denied(f"agent {agent_id!r} takes no tasks: {error}", **{CODE: "agent.not_active"}) from None
        except NotFound:
            if asked.conversation:  # the agent has just been there
                raise NotFound("no such session", **{CODE: "session.not_found"}) from None
            raise no_agent(agent_id) from None
        shown = views.task(job, agent_id)
        exchange().add_header("location", shown["links"]["self"])
        return json_answer(shown)

    async def ListTasks(self, request: pb.ListTasksRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Return a page of the caller's tasks, newest first."""
        target = (await agent_of(self._peers, request.agent_id)).name if request.agent_id else "agents/-"
        wanted = sorted(WORDS.states(request.status)) if request.status else ()
        page_size = _number("limit", request.limit, _PAGE_MAX, least=1) or _PAGE
        asked = job_pb2.ListJobsRequest(
            page_size=page_size,
            text_bytes_max=lists.text_bytes_max(page_size),
            page_token=request.cursor,
            targets=[target],
            states=wanted,  # type: ignore[arg-type]
        )
        with values.fields(page_token="cursor"), from_rpc():
            page = await self._jobs.ListJobs(asked)
        ids = await self._agent_ids(page.jobs)
        items = [views.task(job, ids[job.target]) for job in page.jobs]
        return json_answer({"items": items, "next_cursor": page.next_page_token or None})

    async def GetTask(self, request: pb.GetTaskRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Return a task."""
        return await self._shown(await self._task(request.task_id))

    async def GetTaskTrace(self, request: pb.GetTaskTraceRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Return what a task did."""
        job = await self._task(request.task_id)
        limit = _number("limit", request.limit, _STEPS_MAX, least=1)
        asked = trace_pb2.ListSpansRequest(
            parent=job.name,
            after_seq=_number("after_seq", request.after_seq, _SEQ_MAX),
            kinds=list(trace.KINDS),  # type: ignore[arg-type]
            page_size=limit or _STEPS_MAX,
        )
        spans: list[trace_pb2.Span] = []
        left = paging.PAGE_BYTES_MAX
        while True:
            with from_rpc():
                page = await self._peers.traces.ListSpans(asked)
            spans.extend(page.spans)
            left -= page.ByteSize()
            if limit or not page.next_page_token or left < 0:
                break
            asked.page_token = page.next_page_token
        more = spans[-1].seq if page.next_page_token and spans else None
        return json_answer(trace.trace(job, spans, page.completeness, more))

    async def CancelTask(self, request: pb.CancelTaskRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Stop a task."""
        job = await self._task(request.task_id)
        if job.state not in states.TERMINAL:
            with from_rpc():
                job = await self._jobs.CancelJob(job_pb2.CancelJobRequest(name=job.name))
            if job.state == states.CANCELLED:
                return await self._shown(job)
        raise FailedPrecondition(f"the task has ended before: it is {WORDS.word(job.state)}")

    async def PauseTask(self, request: pb.PauseTaskRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Halt a task."""
        job = await self._task(request.task_id)
        with from_rpc():
            return await self._shown(await self._jobs.PauseJob(job_pb2.PauseJobRequest(name=job.name)))

    async def ResumeTask(self, request: pb.ResumeTaskRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Let a task go on."""
        job = await self._task(request.task_id)
        with from_rpc():
            return await self._shown(await self._jobs.ResumeJob(job_pb2.ResumeJobRequest(name=job.name)))

    async def _task(self, task_id: str) -> job_pb2.Job:
        """Return the job of a task.  Raises `NotFound`."""
        job_id = task_id.removeprefix(views.PREFIX)
        missing = NotFound(f"task {task_id[:80]!r} not found", **{CODE: "task.not_found"})
        if job_id == task_id or not jobs.is_id(job_id):
            raise missing
        try:
            with from_rpc():
                job: job_pb2.Job = await self._jobs.GetJob(job_pb2.GetJobRequest(name=f"jobs/{job_id}"))
        except NotFound:
            raise missing from None
        if not job.target.startswith("agents/"):
            raise missing
        return job

    async def _shown(self, job: job_pb2.Job) -> httpbody_pb2.HttpBody:
        ids = await self._agent_ids([job])
        return json_answer(views.task(job, ids[job.target]))

    async def _agent_ids(self, found: Iterable[job_pb2.Job]) -> dict[str, str]:
        """Return what the agents of jobs are called, by target; the registry is asked for those not noted."""
        ids = {job.target: str(views.noted(job).get("agent_id", "")) for job in found}
        if all(ids.values()):
            return ids
        asked = agent_pb2.ListAgentsRequest(page_size=paging.MAX, show_deleted=True)
        known = paging.walk(self._peers.agents.ListAgents, asked)
        slugs = {agent.name: views.agent_id_of(agent) async for agent in known}
        return {name: noted or slugs.get(name, name.removeprefix("agents/")) for name, noted in ids.items()}


def _budget(overrides: Context) -> job_pb2.Budget:
    """Return what a task may consume.  0 would be no limit, so the smallest cost is a millionth."""
    budget = job_pb2.Budget(seconds=overrides.timeout_seconds or 0)
    if overrides.max_cost_usd is not None:
        budget.cost_micros = max(1, round(overrides.max_cost_usd * views.MICROS))
    return budget


def _override(asked: job_pb2.CreateJobRequest, overrides: Context) -> None:
    """Let a task's agent be what the context says."""
    if overrides.model is not None:
        asked.overrides.model = overrides.model
    if overrides.memory_scope is not None:
        asked.overrides.memory = overrides.memory_scope == "agent"
    if overrides.skills is not None:
        asked.overrides.tools.names.extend(f"tools/{skill}" for skill in overrides.skills)
        asked.overrides.tools.SetInParent()


def _number(field: str, text: str, most: int, *, least: int = 0) -> int:
    """Return a whole number of a query, 0 for none.  Raises `Invalid`."""
    if not text:
        return 0
    if not re.fullmatch(r"[0-9]{1,19}", text) or not least <= int(text) <= most:
        raise Invalid(f"{field} is no number that it may be", {field: [f"send a number from {least} to {most}"]})
    return int(text)


SERVICE = Service(
    name="mesh.dialects.koda.v1.TaskService",
    add=pb_grpc.add_TaskServiceServicer_to_server,
    servicer=TaskServicer,
)
