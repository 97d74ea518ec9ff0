"""Codex's lists: the 100 newest, as bare arrays."""

from collections.abc import Sequence
from typing import Any

from google.api import httpbody_pb2
from mesh.dialects.codex.v1 import codex_pb2 as pb
from mesh.dialects.codex.v1 import codex_pb2_grpc as pb_grpc
from mesh.runner.v1 import job_pb2

from gateway.core.peers import Peers
from gateway.dialects.codex import views, words
from gateway.dialects.codex.stock import Stock
from gateway.http.answers import json_answer
from gateway.http.dialect import Service


class ListServicer(pb_grpc.ListServiceServicer):
    """Lists what the caller has."""

    def __init__(self, peers: Peers) -> None:
        self._stock = Stock(peers)

    async def ListAgents(self, request: pb.ListAgentsRequest, context: Any) -> httpbody_pb2.HttpBody:
        """List agents."""
        agents = await self._stock.agents()
        counts = await self._stock.counts(agents)
        return json_answer([views.agent_item(*each) for each in zip(agents, counts, strict=True)])

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
        found = await self._stock.conversations(agent.name)
        return json_answer([views.conversation_item(conversation) for conversation in found])

    async def ListAgentExecutions(self, request: pb.ListAgentExecutionsRequest, context: Any) -> httpbody_pb2.HttpBody:
        """List the executions of an agent; it may be archived."""
        agent = await self._stock.agent(request.agent_id.lower(), archived=True)
        return await self._listed(await self._stock.executions(agent.name))

    async def ListConversations(self, request: pb.ListConversationsRequest, context: Any) -> httpbody_pb2.HttpBody:
        """List conversations."""
        found = await self._stock.conversations()
        return json_answer([views.conversation_item(conversation) for conversation in found])

    async def ListExecutions(self, request: pb.ListExecutionsRequest, context: Any) -> httpbody_pb2.HttpBody:
        """List executions."""
        return await self._listed(await self._stock.executions())

    async def ListExecutionsByStatus(
        self, request: pb.ListExecutionsByStatusRequest, context: Any
    ) -> httpbody_pb2.HttpBody:
        """List the executions with a status."""
        return await self._listed(await self._stock.executions(states=words.states(request.status)))

    async def _listed(self, jobs: Sequence[job_pb2.Job]) -> httpbody_pb2.HttpBody:
        names = await self._stock.names(jobs)
        return json_answer([views.execution_item(job, names) for job in jobs])


SERVICE = Service(
    name="mesh.dialects.codex.v1.ListService",
    add=pb_grpc.add_ListServiceServicer_to_server,
    servicer=ListServicer,
)
