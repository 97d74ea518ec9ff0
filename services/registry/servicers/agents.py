"""Agents over gRPC."""

from collections.abc import Sequence

from agentmesh_protos.registry.v1 import agent_pb2 as pb
from agentmesh_protos.registry.v1 import agent_pb2_grpc as pb_grpc

from meshkit import masks
from meshkit.idempotency import ask
from meshkit.interceptors import Context
from meshkit.secrets import Secret
from services.registry import definition_wire as wire
from services.registry.catalogue import keeping
from services.registry.catalogue.agents import Agents
from services.registry.domain.agents import API_KEY, Agent, AgentState

_LIVING = tuple(state.name for state in AgentState if state is not AgentState.ARCHIVED)


class AgentServicer(pb_grpc.AgentServiceServicer):
    """Serves `mesh.registry.v1.AgentService`."""

    def __init__(self, agents: Agents, key: bytes) -> None:
        """`key` hides from readers of the table of requests what was in them."""
        self._agents = agents
        self._key = key

    async def CreateAgent(self, request: pb.CreateAgentRequest, context: Context) -> pb.Agent:
        """Add one."""
        asked = ask(request, self._key)
        draft = wire.agent_draft(request.agent)
        return wire.agent_pb(await self._agents.create(draft, Secret(request.agent.api_key), asked))

    async def GetAgent(self, request: pb.GetAgentRequest, context: Context) -> pb.Agent:
        """Return one."""
        return wire.agent_pb(await self._agents.get(wire.handle(request.name, "agents", "name")))

    async def ListAgents(self, request: pb.ListAgentsRequest, context: Context) -> pb.ListAgentsResponse:
        """Return a page."""
        owner = keeping.listed_scope(all_owners=request.all_owners, what="agents")
        states = wire.agent_states(request.states)
        standings = states or keeping.standings(show_deleted=request.show_deleted, alive=_LIVING)

        async def select(before: str, limit: int) -> tuple[Sequence[Agent], bool]:
            return await self._agents.select(owner, standings, before, limit)

        found = await keeping.page(request, select, "agents", owner or "*", *sorted(standings))
        return pb.ListAgentsResponse(
            agents=[wire.agent_pb(agent) for agent in found.items],
            next_page_token=found.next_token,
            total_size=await self._agents.count(owner, standings),
        )

    async def UpdateAgent(self, request: pb.UpdateAgentRequest, context: Context) -> pb.Agent:
        """Change one."""
        sent = request.agent
        paths = masks.paths(sent, request.update_mask, wire.AGENT_WRITABLE)
        agent = await self._agents.update(
            wire.handle(sent.name, "agents", "agent.name"),
            lambda stored: wire.agent_update(sent, paths, stored),
            etag=sent.etag,
            state_named="state" in paths,
            key=wire.secret_given(API_KEY, sent.api_key, paths),
        )
        return wire.agent_pb(agent)

    async def DeleteAgent(self, request: pb.DeleteAgentRequest, context: Context) -> pb.Agent:
        """Archive one."""
        return wire.agent_pb(await self._agents.delete(wire.handle(request.name, "agents", "name")))

    async def UndeleteAgent(self, request: pb.UndeleteAgentRequest, context: Context) -> pb.Agent:
        """Bring one back."""
        return wire.agent_pb(await self._agents.restore(wire.handle(request.name, "agents", "name")))
