"""Codex's queries: one thing, asked for with a POST."""

from typing import Any

from agentmesh_protos.dialects.codex.v1 import codex_pb2 as pb
from agentmesh_protos.dialects.codex.v1 import codex_pb2_grpc as pb_grpc
from google.api import httpbody_pb2

from gateway.core.peers import Peers
from gateway.dialects.codex import shapes, views
from gateway.dialects.codex.reading import read
from gateway.dialects.codex.stock import Page, Stock
from gateway.http.answers import json_answer
from gateway.http.dialect import Service


class QueryServicer(pb_grpc.QueryServiceServicer):
    """Reads which, and shows it."""

    def __init__(self, peers: Peers) -> None:
        self._stock = Stock(peers)

    async def GetHealth(self, request: pb.GetHealthRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Say that the service is there."""
        if request.json_body.data:
            read(request.json_body, shapes.Nothing)
        return json_answer(True)

    async def GetAgent(self, request: pb.GetAgentRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Return an agent."""
        agent = await self._stock.agent(read(request.json_body, shapes.OneId).id)
        (executions,) = await self._stock.counts([agent])
        return json_answer(views.agent(agent, executions))

    async def GetAgentExecution(self, request: pb.GetAgentExecutionRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Return an execution."""
        job = await self._stock.execution(read(request.json_body, shapes.OneId).id)
        return json_answer(views.execution(job, await self._stock.names([job])))

    async def GetConversation(self, request: pb.GetConversationRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Return a conversation with its messages and its newest executions."""
        guid = read(request.json_body, shapes.OneId).id
        conversation = await self._stock.conversation(guid)
        messages = await self._stock.messages(conversation.name)
        jobs, _ = await self._stock.executions(Page(), conversation=conversation.name)
        names = await self._stock.names(jobs)
        return json_answer(
            {
                **views.conversation_item(conversation),
                "messages": [views.message(guid, message) for message in messages],
                "executions": [views.execution_item(job, names) for job in jobs],
            }
        )


SERVICE = Service(
    name="mesh.dialects.codex.v1.QueryService",
    add=pb_grpc.add_QueryServiceServicer_to_server,
    servicer=QueryServicer,
)
