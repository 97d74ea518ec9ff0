"""Agents, crews, task definitions and tools as records, and the fields that can be written of each."""

import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from agentmesh_protos.registry.v1 import agent_pb2, crew_pb2, tool_pb2
from google.protobuf import timestamp_pb2
from google.protobuf.message import Message

from agentmesh._client.errors import InvalidInputs


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A language model.  `offline` is the deterministic one that needs no network."""

    provider: str
    model: str = ""
    """Empty: the provider's default."""
    kind: str = "cloud_api"
    """`cloud_api`, `local_endpoint` or `custom`."""
    endpoint: str = ""
    temperature: float | None = None
    max_tokens: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Model":
        """Return the model of `provider/model` or `provider`."""
        provider, _, model = text.partition("/")
        return cls(provider=provider, model=model)

    def __str__(self) -> str:
        return f"{self.provider}/{self.model}" if self.model else self.provider


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """What a model is told to be, which model it is, and what it may use."""

    name: str
    """`agents/{id}`."""
    slug: str
    display_name: str
    description: str
    type: str
    """`code_generator`, `code_reviewer`, `data_analyst`, `researcher` or `custom`."""
    role: str
    goal: str
    backstory: str
    system_prompt: str
    model: Model | None
    has_api_key: bool
    memory: bool
    memory_window: int
    """Messages; 0 is the default."""
    tools: tuple[str, ...]
    """`tools/{id}`."""
    state: str
    """`draft`, `active`, `paused` or `archived`."""
    concurrency_limit: int
    version: int
    owner: str
    labels: Mapping[str, str]
    create_time: datetime.datetime | None
    update_time: datetime.datetime | None
    delete_time: datetime.datetime | None
    etag: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """Agents that work on tasks together."""

    name: str
    """`crews/{id}`."""
    display_name: str
    description: str
    process: str
    """`sequential` or `hierarchical`."""
    agents: tuple[str, ...]
    """`agents/{id}`, in order."""
    manager: Model | None
    has_manager_api_key: bool
    memory: bool
    concurrency_limit: int
    state: str
    """`configuring`, `active` or `archived`."""
    owner: str
    labels: Mapping[str, str]
    create_time: datetime.datetime | None
    update_time: datetime.datetime | None
    delete_time: datetime.datetime | None
    etag: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TaskDef:
    """What an agent of a crew is asked to do."""

    name: str
    """`taskDefs/{id}`."""
    crew: str
    agent: str
    display_name: str
    description: str
    expected_output: str
    depends_on: tuple[str, ...]
    """`taskDefs/{id}` that come first."""
    context: tuple[str, ...]
    tools: tuple[str, ...]
    owner: str
    create_time: datetime.datetime | None
    update_time: datetime.datetime | None
    delete_time: datetime.datetime | None
    etag: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """What agents may use."""

    name: str
    """`tools/{id}`; a built-in's is its own name."""
    display_name: str
    description: str
    category: str
    kind: str
    """`builtin`, `http` or `mcp`."""
    endpoint: str
    auth: str
    """`bearer`, or empty."""
    has_auth_token: bool
    input_schema_json: str
    needs_approval: bool
    enabled: bool
    owner: str
    create_time: datetime.datetime | None
    update_time: datetime.datetime | None
    delete_time: datetime.datetime | None
    etag: str


class AgentFields(TypedDict, total=False):
    """What can be written of an agent.  A model may be `provider/model`; a tool its id or name."""

    slug: str
    display_name: str
    description: str
    type: str
    role: str
    goal: str
    backstory: str
    system_prompt: str
    model: Model | str | None
    api_key: str
    memory: bool
    memory_window: int
    tools: Sequence[str]
    state: str
    concurrency_limit: int
    labels: Mapping[str, str]


class CrewFields(TypedDict, total=False):
    """What can be written of a crew.  An agent may be its id or slug."""

    display_name: str
    description: str
    process: str
    agents: Sequence[str]
    manager: Model | str | None
    manager_api_key: str
    memory: bool
    concurrency_limit: int
    labels: Mapping[str, str]


class TaskDefFields(TypedDict, total=False):
    """What can be written of a task definition."""

    crew: str
    agent: str
    display_name: str
    description: str
    expected_output: str
    depends_on: Sequence[str]
    context: Sequence[str]
    tools: Sequence[str]


class ToolFields(TypedDict, total=False):
    """What can be written of a tool."""

    display_name: str
    description: str
    category: str
    kind: str
    endpoint: str
    auth: str
    auth_token: str
    input_schema_json: str
    needs_approval: bool
    enabled: bool


_ENUMS: Mapping[str, tuple[Any, str]] = {
    "mesh.registry.v1.Agent.type": (agent_pb2.AgentType, "AGENT_TYPE_"),
    "mesh.registry.v1.Agent.state": (agent_pb2.AgentState, "AGENT_STATE_"),
    "mesh.registry.v1.Model.kind": (agent_pb2.ProviderKind, "PROVIDER_KIND_"),
    "mesh.registry.v1.Crew.process": (crew_pb2.Process, "PROCESS_"),
    "mesh.registry.v1.Crew.state": (crew_pb2.CrewState, "CREW_STATE_"),
    "mesh.registry.v1.Tool.kind": (tool_pb2.ToolKind, "TOOL_KIND_"),
    "mesh.registry.v1.Tool.auth": (tool_pb2.ToolAuth, "TOOL_AUTH_"),
}
_COLLECTIONS = {"tools": "tools", "agents": "agents", "agent": "agents", "crew": "crews", "depends_on": "taskDefs"}
"""Where the names in a field are at home."""
_PATHS = {"memory": "memory.enabled", "memory_window": "memory.window"}
"""Of an agent: fields that stand elsewhere in the message."""


def full_name(name: str, collection: str) -> str:
    """Return a resource name, of one or of its last part."""
    name = name.strip("/")
    return name if not name or name.startswith(f"{collection}/") else f"{collection}/{name}"


def fill(message: Any, fields: Mapping[str, Any]) -> list[str]:
    """Write fields into a message; return their paths.  Raises `InvalidInputs`, naming the field, for a wrong value."""
    paths = []
    for name, value in fields.items():
        try:
            paths.append(_fill(message, name, value))
        except (TypeError, ValueError, AttributeError) as error:
            raise InvalidInputs(f"{name}: {error}", code="INVALID_ARGUMENT", fields={name: [str(error)]}) from error
    return paths


def _fill(message: Any, name: str, value: Any) -> str:
    descriptor = message.DESCRIPTOR
    if descriptor.name == "Agent" and name in _PATHS:
        setattr(message.memory, _PATHS[name].partition(".")[2], value)
        return _PATHS[name]
    field = descriptor.fields_by_name.get(name)
    if field is None:
        raise AttributeError("there is no such field")
    if name in ("model", "manager"):
        if value is not None:
            _fill_model(getattr(message, name), Model.parse(value) if isinstance(value, str) else value)
    elif field.full_name in _ENUMS:
        setattr(message, name, _number(field.full_name, value))
    elif name == "labels":
        message.labels.update(value)
    elif field.is_repeated:
        if isinstance(value, str):
            raise TypeError("must be a list")
        home = _COLLECTIONS.get(name)
        getattr(message, name).extend(full_name(item, home) if home else item for item in value)
    else:
        setattr(message, name, full_name(value, _COLLECTIONS[name]) if name in _COLLECTIONS else value)
    return name


def _fill_model(message: agent_pb2.Model, model: Model) -> None:
    message.provider, message.model, message.endpoint = model.provider, model.model, model.endpoint
    message.kind = _number("mesh.registry.v1.Model.kind", model.kind)
    if model.temperature is not None:
        message.temperature = model.temperature
    if model.max_tokens is not None:
        message.max_tokens = model.max_tokens


def _number(field: str, word: str) -> Any:
    enum, prefix = _ENUMS[field]
    words = {key.removeprefix(prefix).lower(): number for key, number in enum.items() if number}
    if not word:
        return 0
    if word.lower() not in words:
        raise ValueError(f"must be one of {', '.join(words)}")
    return words[word.lower()]


def _word(message: Any, name: str) -> str:
    enum, prefix = _ENUMS[message.DESCRIPTOR.fields_by_name[name].full_name]
    number = getattr(message, name)
    return str(enum.Name(number)).removeprefix(prefix).lower() if number in enum.values() and number else ""


def _time(message: Message, name: str) -> datetime.datetime | None:
    stamp: timestamp_pb2.Timestamp = getattr(message, name)
    return stamp.ToDatetime(datetime.UTC) if message.HasField(name) else None


def _model(message: agent_pb2.Model) -> Model:
    return Model(
        provider=message.provider,
        model=message.model,
        kind=_word(message, "kind"),
        endpoint=message.endpoint,
        temperature=message.temperature if message.HasField("temperature") else None,
        max_tokens=message.max_tokens if message.HasField("max_tokens") else None,
    )


def _values(kind: type[Any], message: Any) -> dict[str, Any]:
    """Return the values of a record's fields in a message."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        name = field.name
        described = message.DESCRIPTOR.fields_by_name.get(name)
        if described is None:
            continue
        if name.endswith("_time"):
            values[name] = _time(message, name)
        elif described.full_name in _ENUMS:
            values[name] = _word(message, name)
        elif name in ("model", "manager"):
            values[name] = _model(getattr(message, name)) if message.HasField(name) else None
        elif name == "labels":
            values[name] = dict(message.labels)
        elif described.is_repeated:
            values[name] = tuple(getattr(message, name))
        else:
            values[name] = getattr(message, name)
    return values


def to_agent(message: agent_pb2.Agent) -> Agent:
    """Return the record of an agent."""
    memory = {"memory": message.memory.enabled, "memory_window": message.memory.window}
    return Agent(**{**_values(Agent, message), **memory})


def to_crew(message: crew_pb2.Crew) -> Crew:
    """Return the record of a crew."""
    return Crew(**_values(Crew, message))


def to_task_def(message: crew_pb2.TaskDef) -> TaskDef:
    """Return the record of a task definition."""
    return TaskDef(**_values(TaskDef, message))


def to_tool(message: tool_pb2.Tool) -> Tool:
    """Return the record of a tool."""
    return Tool(**_values(Tool, message))
