"""Kasal: agents."""

import asyncio
from typing import Any

from agentmesh_protos.dialects.kasal.v1 import agent_pb2 as pb
from agentmesh_protos.dialects.kasal.v1 import agent_pb2_grpc as pb_grpc
from agentmesh_protos.registry.v1 import agent_pb2, agent_pb2_grpc
from google.protobuf import empty_pb2, field_mask_pb2

from gateway.core.peers import Peers
from gateway.dialects.kasal import asking, ids, views
from gateway.dialects.kasal.crews import Crews
from gateway.dialects.kasal.definitions import AgentChange, NewAgent
from gateway.http.dialect import Service
from gateway.http.exchange import exchange
from meshkit.errors import Conflict, MeshError, from_rpc

_TRIES = 5
"""To add an agent to a crew that others change at the same time."""


async def get_agent(stub: agent_pb2_grpc.AgentServiceStub, agent_id: str) -> agent_pb2.Agent:
    """Return an agent of the caller's.  Raises `NotFound`, also for one that was deleted."""
    with asking.of(ids.AGENT, agent_id):
        agent: agent_pb2.Agent = await stub.GetAgent(agent_pb2.GetAgentRequest(name=ids.AGENT.name(agent_id)))
    if agent.state == agent_pb2.AGENT_STATE_ARCHIVED:
        raise ids.AGENT.missing(agent_id)
    return agent


class AgentServicer(pb_grpc.AgentServiceServicer):
    """Unpack, ask the registry, show what it says as Kasal does."""

    def __init__(self, peers: Peers) -> None:
        self._agents = peers.agents
        self._crews = Crews(peers)

    async def ListAgents(self, request: pb.ListAgentsRequest, context: Any) -> pb.Agents:
        """Return a page of the caller's agents, each with the first crew that it is of."""
        page = asking.Page.of(request.page, request.limit)
        (agents, total), crews = await asyncio.gather(
            page.read(self._agents.ListAgents, agent_pb2.ListAgentsRequest()),
            self._crews.all(),
        )
        first = {agent: crew.name for crew in crews for agent in crew.agents}  # crews come newest first
        items = [views.agent_item(agent, first.get(agent.name, "")) for agent in agents]
        return pb.Agents(agents=items, total=total, page=page.number)

    async def CreateAgent(self, request: pb.CreateAgentRequest, context: Any) -> pb.CreatedAgent:
        """Add an agent to a crew; if it cannot join there is none."""
        sent = asking.parsed(request.json_body, NewAgent, "agent")
        await self._crews.get(sent.crew_id)
        with asking.defining("agent"):
            agent = await self._agents.CreateAgent(agent_pb2.CreateAgentRequest(agent=sent.to_registry()))
        try:
            await self._join(agent.name, sent.crew_id)
        except MeshError:
            with from_rpc():
                await self._agents.DeleteAgent(agent_pb2.DeleteAgentRequest(name=agent.name))
            raise
        return pb.CreatedAgent(id=ids.AGENT.of(agent.name), status="created")

    async def GetAgent(self, request: pb.GetAgentRequest, context: Any) -> pb.AgentItem:
        """Return an agent with the first crew that it is of."""
        agent, crews = await asyncio.gather(get_agent(self._agents, request.agent_id), self._crews.all())
        first = {name: crew.name for crew in crews for name in crew.agents}
        return views.agent_item(agent, first.get(agent.name, ""))

    async def UpdateAgent(self, request: pb.UpdateAgentRequest, context: Any) -> pb.UpdatedAgent:
        """Change what was sent; the rest stays."""
        values = asking.parsed(request.json_body, AgentChange, "agent").values()
        agent = await get_agent(self._agents, request.agent_id)
        if values:
            change = agent_pb2.Agent(name=agent.name, **values)
            mask = field_mask_pb2.FieldMask(paths=list(values))
            with asking.defining("agent"):
                await self._agents.UpdateAgent(agent_pb2.UpdateAgentRequest(agent=change, update_mask=mask))
        return pb.UpdatedAgent(id=request.agent_id, updated=True)

    async def DeleteAgent(self, request: pb.DeleteAgentRequest, context: Any) -> empty_pb2.Empty:
        """Archive an agent."""
        agent = await get_agent(self._agents, request.agent_id)
        with asking.of(ids.AGENT, request.agent_id):
            await self._agents.DeleteAgent(agent_pb2.DeleteAgentRequest(name=agent.name))
        exchange().body = ""
        return empty_pb2.Empty()

    async def _join(self, agent: str, crew_id: str) -> None:
        for attempt in range(1, _TRIES + 1):
            crew = await self._crews.get(crew_id)
            if agent in crew.agents:  # the same request again
                return
            try:
                await self._crews.set_agents(crew, [*crew.agents, agent])
            except Conflict:
                if attempt == _TRIES:
                    raise
            else:
                return


SERVICE = Service(
    name="mesh.dialects.kasal.v1.AgentService",
    add=pb_grpc.add_AgentServiceServicer_to_server,
    servicer=AgentServicer,
)
