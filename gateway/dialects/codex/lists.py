"""Codex's lists: the 100 newest, as bare arrays."""

import re
from collections.abc import Sequence
from typing import Any, Protocol

from agentmesh_protos.dialects.codex.v1 import codex_pb2 as pb
from agentmesh_protos.dialects.codex.v1 import codex_pb2_grpc as pb_grpc
from agentmesh_protos.runner.v1 import job_pb2
from google.api import httpbody_pb2

from gateway.core.peers import Peers
from gateway.dialects.codex import views, words
from gateway.dialects.codex.stock import NEWEST, Page, Stock
from gateway.http.answers import json_answer
from gateway.http.dialect import Service
from gateway.http.exchange import exchange
from meshkit.errors import Invalid


class ListServicer(pb_grpc.ListServiceServicer):
    """Lists what the caller has."""

    def __init__(self, peers: Peers) -> None:
        self._stock = Stock(peers)

    async def ListAgents(self, request: pb.ListAgentsRequest, context: Any) -> httpbody_pb2.HttpBody:
        """List agents."""
        agents, behind = await self._stock.agents(_page(request))
        counts = await self._stock.counts(agents)
        return _listed([views.agent_item(*each) for each in zip(agents, counts, strict=True)], behind)

    async def ReadAgent(self, request: pb.ReadAgentRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Return an agent."""
        agent = await self._stock.agent(request.agent_id.lower())
        (executions,) = await self._stock.counts([agent])
        return json_answer(views.agent(agent, executions))

    async def ListAgentConversations(
        self, request: pb.ListAgentConversationsRequest, context: Any
    ) -> httpbody_pb2.HttpBody:
        """List the conversations in which an agent was executed; it may be archived."""
        agent = await self._stock.agent(request.agent_id.lower(), archived=True)
        found, behind = await self._stock.conversations(_page(request), agent.name)
        return _listed([views.conversation_item(conversation) for conversation in found], behind)

    async def ListAgentExecutions(self, request: pb.ListAgentExecutionsRequest, context: Any) -> httpbody_pb2.HttpBody:
        """List the executions of an agent; it may be archived."""
        agent = await self._stock.agent(request.agent_id.lower(), archived=True)
        return await self._executions(*await self._stock.executions(_page(request), agent.name))

    async def ListConversations(self, request: pb.ListConversationsRequest, context: Any) -> httpbody_pb2.HttpBody:
        """List conversations."""
        found, behind = await self._stock.conversations(_page(request))
        return _listed([views.conversation_item(conversation) for conversation in found], behind)

    async def ListExecutions(self, request: pb.ListExecutionsRequest, context: Any) -> httpbody_pb2.HttpBody:
        """List executions."""
        return await self._executions(*await self._stock.executions(_page(request)))

    async def ListExecutionsByStatus(
        self, request: pb.ListExecutionsByStatusRequest, context: Any
    ) -> httpbody_pb2.HttpBody:
        """List the executions with a status."""
        wanted = words.states(request.status)
        return await self._executions(*await self._stock.executions(_page(request), states=wanted))

    async def _executions(self, jobs: Sequence[job_pb2.Job], behind: str) -> httpbody_pb2.HttpBody:
        names = await self._stock.names(jobs)
        return _listed([views.execution_item(job, names) for job in jobs], behind)


class _Paged(Protocol):
    limit: str
    cursor: str


def _page(request: _Paged) -> Page:
    """Return which part of a list is asked for.  Raises `Invalid`."""
    limit = request.limit or str(NEWEST)
    if not re.fullmatch(r"[0-9]{1,3}", limit) or not 1 <= int(limit) <= NEWEST:
        raise Invalid("limit is out of range", {"limit": [f"send a number from 1 to {NEWEST}"]})
    return Page(int(limit), request.cursor)


def _listed(items: list[Any], behind: str) -> httpbody_pb2.HttpBody:
    """Answer with a bare array; `behind` is the cursor of what follows it."""
    if behind:
        exchange().add_header("x-next-cursor", behind)
    return json_answer(items)


SERVICE = Service(
    name="mesh.dialects.codex.v1.ListService",
    add=pb_grpc.add_ListServiceServicer_to_server,
    servicer=ListServicer,
)
