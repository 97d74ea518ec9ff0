"""Between definitions and the messages of `mesh.registry.v1`: agents, crews, task definitions and tools."""

import enum
from collections.abc import Sequence
from typing import Any, TypeVar

from agentmesh_protos.registry.v1 import agent_pb2, crew_pb2, definition_pb2, tool_pb2

from meshkit import masks, names
from meshkit.clock import stamp_at
from meshkit.errors import FailedPrecondition, Invalid
from meshkit.secrets import Secret
from services.registry.catalogue.targets import Target
from services.registry.domain.agents import (
    API_KEY,
    Agent,
    AgentDraft,
    AgentState,
    AgentType,
    Memory,
    Model,
    ProviderKind,
)
from services.registry.domain.crews import MANAGER_API_KEY, Crew, CrewDraft, CrewState, Process
from services.registry.domain.taskdefs import TaskDef, TaskDefDraft
from services.registry.domain.tools import AUTH_TOKEN, Tool, ToolAuth, ToolDraft, ToolKind

E = TypeVar("E", bound=enum.Enum)

_OURS = frozenset(("name", "owner", "version", "etag", "has_api_key", "has_manager_api_key", "has_auth_token")).union(
    ("create_time", "update_time", "delete_time")
)
"""Fields that nobody else writes."""
AGENT_WRITABLE = frozenset(agent_pb2.Agent.DESCRIPTOR.fields_by_name) - _OURS
CREW_WRITABLE = frozenset(crew_pb2.Crew.DESCRIPTOR.fields_by_name) - _OURS - {"state"}
TASK_DEF_WRITABLE = frozenset(crew_pb2.TaskDef.DESCRIPTOR.fields_by_name) - _OURS
TOOL_WRITABLE = frozenset(tool_pb2.Tool.DESCRIPTOR.fields_by_name) - _OURS
_DEFINITION_BYTES_MAX = 12 * 1024 * 1024
"""Less than what a message may have, as others put it into theirs."""


class _Enums:
    """An enum of ours and one of the wire that has the same names behind a prefix."""

    def __init__(self, ours: type[E], theirs: Any, prefix: str, unspecified: Any = None) -> None:
        self._numbers: dict[enum.Enum, Any] = {member: theirs.Value(f"{prefix}{member.name}") for member in ours}
        self._members = {number: member for member, number in self._numbers.items()}
        self._members[0] = unspecified
        self._prefix = prefix

    def read(self, number: int, field: str) -> Any:
        """Return the member of a number; raise `Invalid`, naming `field`, for one that is none."""
        if number not in self._members:
            raise Invalid(f"{field} has no value {number}", {field: [f"no such value: {number}"]})
        return self._members[number]

    def write(self, member: enum.Enum) -> Any:
        """Return the number of a member."""
        return self._numbers[member]


# ToolAuth's zero says NONE itself.
_AGENT_STATES = _Enums(AgentState, agent_pb2.AgentState, "AGENT_STATE_")
_AGENT_TYPES = _Enums(AgentType, agent_pb2.AgentType, "AGENT_TYPE_", AgentType.CUSTOM)
_PROVIDERS = _Enums(ProviderKind, agent_pb2.ProviderKind, "PROVIDER_KIND_", ProviderKind.CLOUD_API)
_PROCESSES = _Enums(Process, crew_pb2.Process, "PROCESS_", Process.SEQUENTIAL)
_CREW_STATES = _Enums(CrewState, crew_pb2.CrewState, "CREW_STATE_")
_TOOL_KINDS = _Enums(ToolKind, tool_pb2.ToolKind, "TOOL_KIND_")
_TOOL_AUTHS = {
    tool_pb2.TOOL_AUTH_UNSPECIFIED: ToolAuth.NONE,
    tool_pb2.TOOL_AUTH_BEARER: ToolAuth.BEARER,
    tool_pb2.TOOL_AUTH_API_KEY: ToolAuth.API_KEY,
    tool_pb2.TOOL_AUTH_BASIC: ToolAuth.BASIC,
}
_TOOL_AUTH_NUMBERS = {auth: number for number, auth in _TOOL_AUTHS.items()}


def secret_given(field: str, text: str, paths: Sequence[str]) -> Secret | None:
    """Return the secret that an update sets, an empty one to forget it; None if it leaves it.

    `*` stands for every field, but nobody can send back a secret that is never returned: it leaves it, unless one is
    given.
    """
    return Secret(text) if text or (field in paths and len(paths) < _ALL[field]) else None


_ALL = {API_KEY: len(AGENT_WRITABLE), MANAGER_API_KEY: len(CREW_WRITABLE), AUTH_TOKEN: len(TOOL_WRITABLE)}


def handle(name: str, collection: str, field: str) -> str:
    """Return the last part of a name, an id or what else leads there; raise `Invalid`, naming `field`."""
    return names.parse(name, collection, field)


def _handles(given: Sequence[str], collection: str, field: str) -> tuple[str, ...]:
    return tuple(handle(name, collection, f"{field}[{index}]") for index, name in enumerate(given))


# -- agents ----------------------------------------------------------------------------------------------------------


def agent_draft(sent: agent_pb2.Agent, field: str = "agent") -> AgentDraft:
    """Return what somebody writes of an agent; raise `Invalid` for names that are none."""
    return AgentDraft(
        slug=sent.slug,
        display_name=sent.display_name,
        description=sent.description,
        type=_AGENT_TYPES.read(sent.type, f"{field}.type"),
        role=sent.role,
        goal=sent.goal,
        backstory=sent.backstory,
        system_prompt=sent.system_prompt,
        model=_model(sent.model, f"{field}.model") if sent.HasField("model") else None,
        memory=Memory(enabled=sent.memory.enabled, window=sent.memory.window) if sent.HasField("memory") else None,
        tools=_handles(sent.tools, "tools", f"{field}.tools"),
        state=_AGENT_STATES.read(sent.state, f"{field}.state"),
        concurrency_limit=sent.concurrency_limit,
        labels=dict(sent.labels),
    )


def agent_pb(agent: Agent) -> agent_pb2.Agent:
    """Return an agent as a message."""
    memory = agent.memory
    return agent_pb2.Agent(
        name=agent.name,
        slug=agent.slug,
        display_name=agent.display_name,
        description=agent.description,
        type=_AGENT_TYPES.write(agent.type),
        role=agent.role,
        goal=agent.goal,
        backstory=agent.backstory,
        system_prompt=agent.system_prompt,
        model=_model_pb(agent.model),
        has_api_key=agent.has_api_key,
        memory=agent_pb2.AgentMemory(enabled=memory.enabled, window=memory.window) if memory else None,
        tools=[f"tools/{tool}" for tool in agent.tools],
        state=_AGENT_STATES.write(agent.state),
        concurrency_limit=agent.concurrency_limit,
        version=agent.version,
        owner=agent.owner,
        labels=agent.labels,
        create_time=stamp_at(agent.created_at),
        update_time=stamp_at(agent.updated_at),
        delete_time=stamp_at(agent.deleted_at),
        etag=agent.etag,
    )


def agent_update(sent: agent_pb2.Agent, paths: Sequence[str], stored: Agent) -> AgentDraft:
    """Return what an update makes of an agent."""
    return agent_draft(masks.merged(agent_pb(stored), sent, paths))


def agent_states(numbers: Sequence[int]) -> tuple[str, ...]:
    """Return what a list of agents chooses by; raise `Invalid` for what is no state."""
    states = [_AGENT_STATES.read(number, f"states[{index}]") for index, number in enumerate(numbers)]
    if None in states:
        raise Invalid("states must be states", {"states": ["UNSPECIFIED is none"]})
    return tuple(dict.fromkeys(state.name for state in states))


def _model(sent: agent_pb2.Model, field: str) -> Model:
    return Model(
        provider=sent.provider,
        model=sent.model,
        kind=_PROVIDERS.read(sent.kind, f"{field}.kind"),
        endpoint=sent.endpoint,
        temperature=sent.temperature if sent.HasField("temperature") else None,
        max_tokens=sent.max_tokens if sent.HasField("max_tokens") else None,
    )


def _model_pb(model: Model | None) -> agent_pb2.Model | None:
    if model is None:
        return None
    return agent_pb2.Model(
        provider=model.provider,
        model=model.model,
        kind=_PROVIDERS.write(model.kind),
        endpoint=model.endpoint,
        temperature=model.temperature,
        max_tokens=model.max_tokens,
    )


# -- crews -----------------------------------------------------------------------------------------------------------


def crew_draft(sent: crew_pb2.Crew) -> CrewDraft:
    """Return what somebody writes of a crew; raise `Invalid` for names that are none."""
    return CrewDraft(
        display_name=sent.display_name,
        description=sent.description,
        process=_PROCESSES.read(sent.process, "crew.process"),
        agents=_handles(sent.agents, "agents", "crew.agents"),
        manager=_model(sent.manager, "crew.manager") if sent.HasField("manager") else None,
        memory=sent.memory,
        concurrency_limit=sent.concurrency_limit,
        labels=dict(sent.labels),
    )


def crew_pb(crew: Crew, state: CrewState) -> crew_pb2.Crew:
    """Return a crew and where it stands as a message."""
    return crew_pb2.Crew(
        name=crew.name,
        display_name=crew.display_name,
        description=crew.description,
        process=_PROCESSES.write(crew.process),
        agents=[f"agents/{agent}" for agent in crew.agents],
        manager=_model_pb(crew.manager),
        has_manager_api_key=crew.has_manager_api_key,
        memory=crew.memory,
        concurrency_limit=crew.concurrency_limit,
        state=_CREW_STATES.write(state),
        owner=crew.owner,
        labels=crew.labels,
        create_time=stamp_at(crew.created_at),
        update_time=stamp_at(crew.updated_at),
        delete_time=stamp_at(crew.deleted_at),
        etag=crew.etag,
    )


def crew_update(sent: crew_pb2.Crew, paths: Sequence[str], stored: Crew) -> CrewDraft:
    """Return what an update makes of a crew."""
    return crew_draft(masks.merged(crew_pb(stored, CrewState.ACTIVE), sent, paths))


# -- task definitions ------------------------------------------------------------------------------------------------


def task_def_draft(sent: crew_pb2.TaskDef, field: str = "task_def") -> TaskDefDraft:
    """Return what somebody writes of a task definition; raise `Invalid` for names that are none."""
    return TaskDefDraft(
        crew=handle(sent.crew, "crews", f"{field}.crew") if sent.crew else "",
        agent=handle(sent.agent, "agents", f"{field}.agent") if sent.agent else "",
        display_name=sent.display_name,
        description=sent.description,
        expected_output=sent.expected_output,
        depends_on=_handles(sent.depends_on, "taskDefs", f"{field}.depends_on"),
        context=tuple(sent.context),
        tools=_handles(sent.tools, "tools", f"{field}.tools"),
    )


def task_def_pb(task: TaskDef, *, titled: bool = True) -> crew_pb2.TaskDef:
    """Return a task definition as a message; one without a name has its title there, unless not `titled`."""
    return crew_pb2.TaskDef(
        name=task.name,
        crew=f"crews/{task.crew}" if task.crew else "",
        agent=f"agents/{task.agent}" if task.agent else "",
        display_name=task.title if titled else task.display_name,
        description=task.description,
        expected_output=task.expected_output,
        depends_on=[f"taskDefs/{other}" for other in task.depends_on],
        context=task.context,
        tools=[f"tools/{tool}" for tool in task.tools],
        owner=task.owner,
        create_time=stamp_at(task.created_at),
        update_time=stamp_at(task.updated_at),
        delete_time=stamp_at(task.deleted_at),
        etag=task.etag,
    )


def task_def_update(sent: crew_pb2.TaskDef, paths: Sequence[str], stored: TaskDef) -> TaskDefDraft:
    """Return what an update makes of a task definition."""
    return task_def_draft(masks.merged(task_def_pb(stored, titled=False), sent, paths))


# -- tools -----------------------------------------------------------------------------------------------------------


def tool_draft(sent: tool_pb2.Tool) -> ToolDraft:
    """Return what somebody writes of a tool."""
    if sent.auth not in _TOOL_AUTHS:
        raise Invalid(f"tool.auth has no value {sent.auth}", {"tool.auth": [f"no such value: {sent.auth}"]})
    return ToolDraft(
        display_name=sent.display_name,
        description=sent.description,
        category=sent.category,
        tool_kind=_TOOL_KINDS.read(sent.kind, "tool.kind"),
        endpoint=sent.endpoint,
        auth=_TOOL_AUTHS[sent.auth],
        input_schema_json=sent.input_schema_json,
        needs_approval=sent.needs_approval,
        enabled=sent.enabled if sent.HasField("enabled") else True,
    )


def tool_pb(tool: Tool) -> tool_pb2.Tool:
    """Return a tool as a message; one that comes with the mesh has no times."""
    return tool_pb2.Tool(
        name=tool.name,
        display_name=tool.display_name,
        description=tool.description,
        category=tool.category,
        kind=_TOOL_KINDS.write(tool.tool_kind),
        endpoint=tool.endpoint,
        auth=_TOOL_AUTH_NUMBERS[tool.auth],
        has_auth_token=tool.has_auth_token,
        input_schema_json=tool.input_schema_json,
        needs_approval=tool.needs_approval,
        enabled=tool.enabled,
        owner=tool.owner,
        create_time=None if tool.is_builtin else stamp_at(tool.created_at),
        update_time=None if tool.is_builtin else stamp_at(tool.updated_at),
        delete_time=stamp_at(tool.deleted_at),
        etag=tool.etag,
    )


def tool_update(sent: tool_pb2.Tool, paths: Sequence[str], stored: Tool) -> ToolDraft:
    """Return what an update makes of a tool."""
    return tool_draft(masks.merged(tool_pb(stored), sent, paths))


# -- targets ---------------------------------------------------------------------------------------------------------


def definition_pb(target: Target) -> definition_pb2.Definition:
    """Return a target as a message; raise `FailedPrecondition` for one that is too large to send."""
    name = target.crew.name if target.crew is not None else target.agents[0].name
    message = definition_pb2.Definition(
        target=name,
        crew=crew_pb(target.crew, CrewState.ACTIVE) if target.crew is not None else None,
        agents=[agent_pb(agent) for agent in target.agents],
        task_defs=[task_def_pb(task) for task in target.tasks],
        tools=[tool_pb(tool) for tool in target.tools],
    )
    if message.ByteSize() > _DEFINITION_BYTES_MAX:
        raise FailedPrecondition(
            f"{name} has {message.ByteSize():,} bytes with all that it names, of {_DEFINITION_BYTES_MAX:,}: shorten it",
            resource=name,
        )
    return message
