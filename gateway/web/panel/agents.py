"""Agents: what they are told to be, what they remember, what they did, and talks with them."""

import asyncio
from typing import Any

from agentmesh_protos.registry.v1 import agent_pb2, crew_pb2, tool_pb2
from agentmesh_protos.runner.v1 import conversation_pb2, job_pb2, memory_pb2
from google.protobuf import field_mask_pb2
from starlette.responses import Response

from gateway.core.peers import Peers
from gateway.web.panel import choices, models, shell
from gateway.web.panel.addresses import naming
from gateway.web.panel.definitions import AGENT_PATHS, REFUSALS, agent_of, check_numbers, faults_of, keeping
from gateway.web.panel.executions import listed
from gateway.web.panel.live import Live
from gateway.web.panel.talks import Talks
from gateway.web.panel.visitor import Visitor
from meshkit.errors import MeshError, NotFound, from_rpc

HOME = "/panel/agents"
TABS = {"chat": "Chat", "definition": "Definition", "memory": "Memory", "executions": "Executions"}
LIST_MAX = 200
RECENT = 25
TEXT_BYTES_MAX = 4096
ASK_S = 10.0
_STATES: dict[int, tuple[str, str]] = {
    agent_pb2.AGENT_STATE_DRAFT: ("Draft", ""),
    agent_pb2.AGENT_STATE_ACTIVE: ("Active", "good"),
    agent_pb2.AGENT_STATE_PAUSED: ("Paused", "warn"),
}
_CREW_STATES: dict[int, tuple[str, str]] = {
    crew_pb2.CREW_STATE_ACTIVE: ("Active", "good"),
    crew_pb2.CREW_STATE_CONFIGURING: ("Not ready", "warn"),
}
LAYERS: dict[int, str] = {
    memory_pb2.MEMORY_LAYER_SHORT: "Short-term",
    memory_pb2.MEMORY_LAYER_LONG: "Long-term",
    memory_pb2.MEMORY_LAYER_EPISODIC: "Episodes",
    memory_pb2.MEMORY_LAYER_PROCEDURAL: "Procedures",
}


class Agents:
    """The caller's agents."""

    def __init__(self, peers: Peers) -> None:
        self._agents = peers.agents
        self._crews = peers.crews
        self._tools = peers.tools
        self._past = Past(peers)
        self._talks = Talks(peers)

    async def show(self, visitor: Visitor) -> Response:
        """GET /panel/agents: agents, crews, and what they may use."""
        with from_rpc():
            agents, crews, tools = await asyncio.gather(
                self._agents.ListAgents(agent_pb2.ListAgentsRequest(page_size=LIST_MAX), timeout=ASK_S),
                self._crews.ListCrews(crew_pb2.ListCrewsRequest(page_size=LIST_MAX), timeout=ASK_S),
                self._tools.ListTools(tool_pb2.ListToolsRequest(page_size=LIST_MAX), timeout=ASK_S),
            )
        return visitor.page(
            "agents.html",
            agents=[_card(agent) for agent in agents.agents],
            crews=[{"crew": crew, "url": f"/panel/{crew.name}", "state": crew_state(crew)} for crew in crews.crews],
            tools=tools.tools,
        )

    async def show_one(self, visitor: Visitor) -> Response:
        """GET /panel/agents/{id}[/{tab}]: by default, to talk with."""
        agent, tab = await self._get(visitor), visitor.path("tab") or "chat"
        if tab not in TABS:
            raise NotFound("An agent has no such tab.")
        match tab:
            case "chat":
                return await self._chat(visitor, agent, None)
            case "definition":
                return await self._definition(visitor, agent)
            case "memory":
                return self._page(visitor, agent, tab, records=await self._past.remembered(agent.name))
        return self._page(visitor, agent, tab, rows=await self._past.executions(agent.name))

    async def chat(self, visitor: Visitor) -> Response:
        """GET /panel/agents/{id}/chat/{talk}."""
        agent, talk = await asyncio.gather(self._get(visitor), self._talks.get(visitor.path("talk")))
        return await self._chat(visitor, agent, talk)

    async def watch_chat(self, visitor: Visitor) -> Response:
        """GET /panel/live/agents/{id}/chat/{talk}: what is said, as it is said."""
        return Live(visitor, self._talks.parts(await self._talks.get(visitor.path("talk"))))

    async def say(self, visitor: Visitor) -> Response:
        """POST /panel/agents/{id}/chat[/{talk}]."""
        return await self._talks.say(visitor, await self._get(visitor), visitor.path("talk"))

    async def form(self, visitor: Visitor) -> Response:
        """GET /panel/new-agent."""
        return visitor.page("new_agent.html", **await self._form(visitor, agent_pb2.Agent()))

    async def create(self, visitor: Visitor) -> Response:
        """POST /panel/new-agent."""
        wanted = agent_of(visitor.form)
        try:
            check_numbers(visitor.form)
            with keeping():
                request = agent_pb2.CreateAgentRequest(agent=wanted)
                agent = await self._agents.CreateAgent(request, timeout=ASK_S)
        except REFUSALS as error:
            return visitor.page("new_agent.html", status=422, **await self._form(visitor, wanted, error))
        return shell.see_other(f"/panel/{agent.name}")

    async def save(self, visitor: Visitor) -> Response:
        """POST /panel/agents/{id}/definition."""
        agent = await self._get(visitor)
        wanted = agent_of(visitor.form)
        wanted.name, wanted.etag = agent.name, visitor.form.get("etag", "")
        paths = [*AGENT_PATHS, "api_key"] if wanted.api_key else AGENT_PATHS
        request = agent_pb2.UpdateAgentRequest(agent=wanted, update_mask=field_mask_pb2.FieldMask(paths=paths))
        try:
            check_numbers(visitor.form)
            with keeping():
                await self._agents.UpdateAgent(request, timeout=ASK_S)
        except REFUSALS as error:
            wanted.has_api_key = agent.has_api_key
            return await self._definition(visitor, agent, wanted, error)
        return shell.see_other(f"/panel/{agent.name}/definition")

    async def delete(self, visitor: Visitor) -> Response:
        """POST /panel/agents/{id}/delete."""
        request = agent_pb2.DeleteAgentRequest(name=(await self._get(visitor)).name)
        with from_rpc():
            await self._agents.DeleteAgent(request, timeout=ASK_S)
        return shell.see_other(HOME)

    # -- what it stands on ---------------------------------------------------------------------------------------

    async def _get(self, visitor: Visitor) -> agent_pb2.Agent:
        request = agent_pb2.GetAgentRequest(name=f"agents/{visitor.path('id')}")
        with naming("agent"):
            agent: agent_pb2.Agent = await self._agents.GetAgent(request, timeout=ASK_S)
        return agent

    async def _chat(
        self, visitor: Visitor, agent: agent_pb2.Agent, talk: conversation_pb2.Conversation | None
    ) -> Response:
        talks = await self._talks.listed(agent)
        values = await self._talks.values(talk) if talk is not None else {"messages": [], "failure": ""}
        return self._page(visitor, agent, "chat", talk=talk, talks=talks, **values)

    async def _definition(
        self,
        visitor: Visitor,
        agent: agent_pb2.Agent,
        wanted: agent_pb2.Agent | None = None,
        error: MeshError | None = None,
    ) -> Response:
        form = await self._form(visitor, wanted or agent, error, owner=agent.owner)
        return self._page(visitor, agent, "definition", status=422 if error else 200, **form)

    def _page(
        self, visitor: Visitor, agent: agent_pb2.Agent, tab: str, *, status: int = 200, **values: Any
    ) -> Response:
        values = {**_card(agent), "tab": tab, "tabs": TABS, "layers": LAYERS, **values}
        return visitor.page("agent.html", status=status, csp=shell.WRITTEN_CSP, **values)

    async def _form(
        self, visitor: Visitor, filled: agent_pb2.Agent, error: MeshError | None = None, *, owner: str = ""
    ) -> dict[str, Any]:
        tools = await choices.tools_of(self._tools, visitor, owner)
        return {"filled": filled, "all_tools": tools, **faults_of(error)}


class Past:
    """What an agent or a crew remembers and has done."""

    def __init__(self, peers: Peers) -> None:
        self._jobs = peers.jobs
        self._memory = peers.memory

    async def executions(self, target: str) -> list[dict[str, Any]]:
        """Return the caller's latest executions of a target."""
        request = job_pb2.ListJobsRequest(targets=[target], page_size=RECENT, text_bytes_max=TEXT_BYTES_MAX)
        with from_rpc():
            found = await self._jobs.ListJobs(request, timeout=ASK_S)
        return [listed(job) for job in found.jobs]

    async def remembered(self, scope: str) -> list[memory_pb2.MemoryRecord]:
        """Return what it remembers of the caller."""
        request = memory_pb2.ListMemoryRecordsRequest(scope=scope, page_size=LIST_MAX)
        with from_rpc():
            found = await self._memory.ListMemoryRecords(request, timeout=ASK_S)
        return list(found.records)

    async def forget(self, scope: str) -> None:
        """Have it forget all of that."""
        with from_rpc():
            await self._memory.ClearMemory(memory_pb2.ClearMemoryRequest(scope=scope), timeout=ASK_S)


def crew_state(crew: crew_pb2.Crew) -> tuple[str, str]:
    """Return the word and the badge of where a crew stands."""
    return _CREW_STATES.get(crew.state, ("Archived", ""))


def _card(agent: agent_pb2.Agent) -> dict[str, Any]:
    word, badge = _STATES.get(agent.state, ("Archived", ""))
    return {
        "agent": agent,
        "url": f"/panel/{agent.name}",
        "title": agent.display_name,
        "model": models.title_of(agent.model),
        "why_offline": models.why_offline(agent.model, agent.has_api_key),
        "state": word,
        "badge_class": badge,
    }
