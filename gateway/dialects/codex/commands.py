"""Codex's commands: what changes something."""

import json
from typing import Any

from agentmesh_protos.dialects.codex.v1 import codex_pb2 as pb
from agentmesh_protos.dialects.codex.v1 import codex_pb2_grpc as pb_grpc
from agentmesh_protos.registry.v1 import agent_pb2
from agentmesh_protos.runner.v1 import conversation_pb2, job_pb2
from google.api import httpbody_pb2

from gateway.core.peers import Peers
from gateway.core.states import CANCELLED, FAILED, SUCCEEDED, TERMINAL
from gateway.core.values import fields
from gateway.dialects.codex import agents, ids, shapes, words
from gateway.dialects.codex.reading import read
from gateway.dialects.codex.stock import Stock
from gateway.dialects.codex.views import AGENTS, CONVERSATIONS
from gateway.http.answers import json_answer
from gateway.http.dialect import Service
from gateway.http.exchange import exchange
from meshkit.errors import FailedPrecondition, Invalid, NotFound, from_rpc

_ENDS = {words.COMPLETED: SUCCEEDED, words.FAILED: FAILED, words.CANCELLED: CANCELLED}
_MICROS = 1_000_000


class CommandServicer(pb_grpc.CommandServiceServicer):
    """Reads a body, has it done, and answers with nothing or an id."""

    def __init__(self, peers: Peers) -> None:
        self._agents = peers.agents
        self._conversations = peers.conversations
        self._jobs = peers.jobs
        self._stock = Stock(peers)

    async def CreateAgent(self, request: pb.CreateAgentRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Add an agent; its id is in the headers."""
        agent = agents.created(read(request.json_body, shapes.NewAgent))
        with fields("agent", **agents.NAMES), from_rpc():
            made = await self._agents.CreateAgent(agent_pb2.CreateAgentRequest(agent=agent))
        guid = made.name.removeprefix(AGENTS)
        call = exchange()
        call.add_header("location", f"/api/agents/{guid}")
        call.add_header("x-agent-id", guid)
        if not _wants_representation(call.headers.get("prefer", "")):
            return _nothing()
        call.add_header("preference-applied", "return=representation")
        return json_answer({"id": guid})

    async def UpdateAgent(self, request: pb.UpdateAgentRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Change what is sent of an agent."""
        sent = read(request.json_body, shapes.AgentChange)
        agent, mask = agents.changed(sent)
        await self._stock.agent(sent.id)
        if mask.paths:
            with fields("agent", **agents.NAMES), from_rpc():
                await self._agents.UpdateAgent(agent_pb2.UpdateAgentRequest(agent=agent, update_mask=mask))
        return _nothing()

    async def DeleteAgent(self, request: pb.DeleteAgentRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Archive an agent."""
        agent = await self._stock.agent(read(request.json_body, shapes.OneId).id)
        with from_rpc():
            await self._agents.DeleteAgent(agent_pb2.DeleteAgentRequest(name=agent.name))
        return _nothing()

    async def CreateConversation(self, request: pb.CreateConversationRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Begin a conversation."""
        sent = read(request.json_body, shapes.NewConversation)
        asked = conversation_pb2.CreateConversationRequest(
            conversation=conversation_pb2.Conversation(title=sent.title, summary=sent.summary or "", active=True)
        )
        with fields("conversation"), from_rpc():
            made = await self._conversations.CreateConversation(asked)
        return json_answer({"id": made.name.removeprefix(CONVERSATIONS)})

    async def StartAgentExecution(self, request: pb.StartAgentExecutionRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Start an execution; it is on disk when this is answered."""
        sent = read(request.json_body, shapes.NewExecution)
        asked = job_pb2.CreateJobRequest(
            target=f"{AGENTS}{sent.agent_id}",
            inputs_json=json.dumps({"prompt": sent.user_prompt}, ensure_ascii=False),
            conversation=f"{CONVERSATIONS}{sent.conversation_id}" if sent.conversation_id else "",
            external=bool(sent.external),
            base_url=exchange().base_url,
        )
        try:
            with fields(prompt="userPrompt", inputs="userPrompt", conversation="conversationId"), from_rpc():
                job = await self._jobs.CreateJob(asked)
        except NotFound:
            await self._stock.agent(sent.agent_id)
            raise NotFound(f"conversation {sent.conversation_id} not found") from None
        except FailedPrecondition as error:
            await self._stock.agent(sent.agent_id)
            raise Invalid(str(error), {"agentId": [str(error)]}) from None
        return json_answer({"id": ids.of_job(job.name)})

    async def CompleteAgentExecution(
        self, request: pb.CompleteAgentExecutionRequest, context: Any
    ) -> httpbody_pb2.HttpBody:
        """End an execution with what somebody outside made of it: the first end counts."""
        sent = read(request.json_body, shapes.Completion)
        job = await self._stock.execution(sent.execution_id)
        usage = job_pb2.Usage(
            input_tokens=sent.input_tokens or 0,
            output_tokens=sent.output_tokens or 0,
            cost_micros=round((sent.estimated_cost or 0) * _MICROS),
        )
        asked = job_pb2.CompleteJobRequest(
            name=job.name,
            state=_ENDS[sent.status],
            output=sent.response or "",
            error=sent.error_message or "" if sent.status != words.COMPLETED else "",
            usage=usage,
            usage_is_total=True,
            take_over=True,
        )
        try:
            with fields(output="response", error="errorMessage"), from_rpc():
                await self._jobs.CompleteJob(asked)
        except FailedPrecondition as error:
            remedy = "the first end counts: start with external: true what only you shall end"
            raise Invalid(str(error), {"executionId": [f"{error}; {remedy}"]}) from None
        return _nothing()

    async def CancelAgentExecution(
        self, request: pb.CancelAgentExecutionRequest, context: Any
    ) -> httpbody_pb2.HttpBody:
        """Cancel an execution; it runs no more when this is answered."""
        sent = read(request.json_body, shapes.Cancellation)
        job = await self._stock.execution(sent.execution_id)
        if job.state not in TERMINAL:
            with from_rpc():
                job = await self._jobs.CancelJob(job_pb2.CancelJobRequest(name=job.name))
        if job.state != CANCELLED:
            why = "it has ended before: the first end counts"
            raise Invalid(f"execution {sent.execution_id} cannot be cancelled", {"executionId": [why]})
        return _nothing()


def _nothing() -> httpbody_pb2.HttpBody:
    """Answer with an empty body."""
    exchange().body = ""
    return httpbody_pb2.HttpBody()


def _wants_representation(prefer: str) -> bool:
    """Return whether a client prefers to be told what was made (RFC 7240)."""
    wishes = [wish.partition(";")[0].replace(" ", "").replace('"', "").lower() for wish in prefer.split(",")]
    return "return=representation" in wishes


SERVICE = Service(
    name="mesh.dialects.codex.v1.CommandService",
    add=pb_grpc.add_CommandServiceServicer_to_server,
    servicer=CommandServicer,
)
