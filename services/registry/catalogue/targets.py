"""Targets: what a job of an agent or a crew runs, looked up as a whole at one moment."""

import dataclasses
from collections.abc import Iterable, Sequence

from meshkit.errors import Invalid
from services.registry.catalogue import keeping
from services.registry.catalogue.keeping import Keeper
from services.registry.domain.agents import API_KEY, Agent, AgentState
from services.registry.domain.crews import MANAGER_API_KEY, Crew, CrewState
from services.registry.domain.records import NotActive
from services.registry.domain.taskdefs import TaskDef
from services.registry.domain.tools import AUTH_TOKEN, BUILTINS, Tool
from services.registry.ports.definitions import DefinitionStore, Transaction

SECRETS_MAX = 1_000
_FIELDS = {"agents": API_KEY, "crews": MANAGER_API_KEY, "tools": AUTH_TOKEN}
_REMEDIES = {
    AgentState.DRAFT: "give it a model first",
    AgentState.PAUSED: "make it ACTIVE first",
    AgentState.ARCHIVED: "undelete it first",
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Everything that a job needs to know."""

    crew: Crew | None
    agents: Sequence[Agent]
    tasks: Sequence[TaskDef]
    tools: Sequence[Tool]


class Targets:
    """Looks up targets, and the secrets they need, for services."""

    def __init__(self, store: DefinitionStore, keeper: Keeper) -> None:
        self._store = store
        self._keeper = keeper

    async def agent(self, handle: str, owner: str, seen_by: str | None) -> Target:
        """Return an agent, by id or by a slug of `owner`'s, with its tools.

        Raises `NotFound` for what `seen_by` may not see, and `NotActive` for what cannot be run.
        """

        def work(tx: Transaction) -> Target:
            agent = keeping.look(tx, Agent, handle, seen_by, owner)
            _check_agent(agent, agent.name)
            tools = _tools(tx, agent.owner, agent.name, agent.tools)
            return Target(crew=None, agents=[agent], tasks=[], tools=tools)

        return await self._store.read(work)

    async def crew(self, handle: str, owner: str, seen_by: str | None) -> Target:
        """Return a crew with its agents, tasks and tools; raises as `agent` does."""

        def work(tx: Transaction) -> Target:
            crew = keeping.look(tx, Crew, handle, seen_by, owner)
            if crew.deleted_at is not None:
                raise NotActive(f"{crew.name} is archived", target=crew.name, state=CrewState.ARCHIVED.name)
            if not crew.agents:
                raise _configuring(crew, f"{crew.name} has no agents: add one first")
            agents = []
            for agent_id in crew.agents:
                agent = tx.find(Agent, agent_id, crew.owner)
                if agent is None:
                    raise _configuring(crew, f"agents/{agent_id} of {crew.name} does not exist")
                _check_agent(agent, crew.name, of_crew=True)
                agents.append(agent)
            tasks = tx.tasks(crew.id)
            named = [
                *(tool for agent in agents for tool in agent.tools),
                *(tool for task in tasks for tool in task.tools),
            ]
            return Target(crew=crew, agents=agents, tasks=tasks, tools=_tools(tx, crew.owner, crew.name, named))

        return await self._store.read(work)

    async def secrets(self, names: Sequence[str]) -> dict[str, str]:
        """Return the keys and tokens of agents, crews and tools by their names; what has none is left out.

        Raises `Invalid` for other names or too many, and `FailedPrecondition` for one that cannot be opened.
        """
        if len(names) > SECRETS_MAX:
            raise Invalid("too many names", {"names": [f"at most {SECRETS_MAX}"]})
        for index, name in enumerate(names):
            if name.partition("/")[0] not in _FIELDS:
                raise Invalid("names must be of agents, crews or tools", {f"names[{index}]": [f"got {name[:80]!r}"]})

        def work(tx: Transaction) -> dict[str, str]:
            found = {name: self._keeper.open(tx, name, _FIELDS[name.partition("/")[0]]) for name in names}
            return {name: secret.reveal() for name, secret in found.items() if secret is not None}

        return await self._store.read(work)


def _check_agent(agent: Agent, target: str, *, of_crew: bool = False) -> None:
    if agent.state is AgentState.ACTIVE:
        return
    state = CrewState.CONFIGURING.name if of_crew else agent.state.name
    raise NotActive(
        f"{agent.name}{f' of {target}' if of_crew else ''} is {agent.state.name}: {_REMEDIES[agent.state]}",
        target=target,
        state=state,
    )


def _configuring(crew: Crew, message: str) -> NotActive:
    return NotActive(message, target=crew.name, state=CrewState.CONFIGURING.name)


def _tools(tx: Transaction, owner: str, target: str, named: Iterable[str]) -> list[Tool]:
    """Return the tools that are named, each once; those that are switched off are left out."""
    found = []
    for tool_id in dict.fromkeys(named):
        tool = BUILTINS.get(tool_id) or tx.find(Tool, tool_id, owner)
        if tool is None or tool.deleted_at is not None:
            raise NotActive(
                f"tools/{tool_id}, which {target} uses, is archived: take it out first",
                target=target,
                state=CrewState.CONFIGURING.name if target.startswith("crews/") else AgentState.DRAFT.name,
            )
        if tool.enabled:
            found.append(tool)
    return found
