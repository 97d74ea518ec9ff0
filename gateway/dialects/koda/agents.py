"""Agents of the caller: the registry's, by their slugs."""

import asyncio
import re
from typing import Any

from agentmesh_protos.dialects.koda.v1 import runtime_pb2 as pb
from agentmesh_protos.dialects.koda.v1 import runtime_pb2_grpc as pb_grpc
from agentmesh_protos.registry.v1 import agent_pb2, tool_pb2
from agentmesh_protos.runner.v1 import job_pb2
from google.api import httpbody_pb2

from gateway.core.peers import Peers
from gateway.dialects.koda import views
from gateway.dialects.koda.errors import CODE
from gateway.dialects.koda.words import AGENT_WORDS
from gateway.http.answers import json_answer
from gateway.http.dialect import Service
from meshkit import paging
from meshkit.errors import NotFound, from_rpc

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\Z")
_LISTED = tuple(AGENT_WORDS.states(word) for word in AGENT_WORDS.words)


def no_agent(agent_id: str) -> NotFound:
    """Return the error of an agent that there is not, or that the caller may not see."""
    return NotFound(f"agent {agent_id[:80]!r} not found", **{CODE: "agent.not_found"})


async def agent_of(peers: Peers, agent_id: str) -> agent_pb2.Agent:
    """Return an agent by its slug or UUID.  Raises `NotFound`, also for one that is archived."""
    if not _ID.match(agent_id):
        raise no_agent(agent_id)
    try:
        with from_rpc():
            agent: agent_pb2.Agent = await peers.agents.GetAgent(agent_pb2.GetAgentRequest(name=f"agents/{agent_id}"))
    except NotFound:
        raise no_agent(agent_id) from None
    if agent.state == agent_pb2.AGENT_STATE_ARCHIVED:
        raise no_agent(agent_id)
    return agent


class AgentServicer(pb_grpc.AgentServiceServicer):
    """Unpack, ask the registry, show."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers

    async def ListAgents(self, request: pb.ListAgentsRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Return the caller's agents, newest first."""
        wanted = AGENT_WORDS.states(request.state) if request.state else frozenset().union(*_LISTED)
        asked = agent_pb2.ListAgentsRequest(page_size=paging.MAX, states=sorted(wanted))  # type: ignore[arg-type]
        found = [agent async for agent in paging.walk(self._peers.agents.ListAgents, asked)]
        return json_answer({"items": [views.agent_item(agent) for agent in found], "total": len(found)})

    async def GetAgent(self, request: pb.GetAgentRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Return an agent with its skills and what it does now."""
        agent = await agent_of(self._peers, request.agent_id)
        tools, count = await asyncio.gather(self._tools(), self._count(agent.name))
        return json_answer(views.agent_detail(agent, tools, count))

    async def _tools(self) -> list[tool_pb2.Tool]:
        asked = tool_pb2.ListToolsRequest(page_size=paging.MAX)
        return [tool async for tool in paging.walk(self._peers.tools.ListTools, asked)]

    async def _count(self, name: str) -> job_pb2.TargetCount:
        with from_rpc():
            answer = await self._peers.jobs.CountJobs(job_pb2.CountJobsRequest(targets=[name]))
        return next(iter(answer.counts), job_pb2.TargetCount())


SERVICE = Service(
    name="mesh.dialects.koda.v1.AgentService",
    add=pb_grpc.add_AgentServiceServicer_to_server,
    servicer=AgentServicer,
)
