"""Crews as people write them: one YAML file of ours, or the two that CrewAI has.

    name: Marketing
    process: hierarchical
    manager: openai/gpt-4o
    agents:
      researcher:
        role: Researcher
        goal: Find out about {topic}
        model: offline
        tools: [web_search]
      atlas:
        use: atlas                  # an agent that there is already, by slug or id
    tasks:
      research:
        description: Research {topic}
        agent: researcher
      write:
        description: Write it up
        agent: atlas
        depends_on: [research]

CrewAI's own `agents.yaml` and `tasks.yaml` have the same entries, with `llm` for the model and with the names of tasks
under `context`; what only its Python knows (`output_file`, callbacks …) is left out, and told in `left_out`.
"""

import dataclasses
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any, cast

import yaml

from agentmesh._client.definitions import AgentFields, CrewFields, Model, TaskDefFields
from agentmesh._client.errors import InvalidInputs

_AGENT_KEYS = frozenset(AgentFields.__annotations__) - {"slug"}
_TASK_KEYS = frozenset(TaskDefFields.__annotations__) - {"crew"}
_CREW_KEYS = frozenset(CrewFields.__annotations__) - {"agents", "display_name"}
_MODEL_KEYS = frozenset(field.name for field in dataclasses.fields(Model))
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_ .-]{0,62}")
_CREWAI_AGENT = {"role": "role", "goal": "goal", "backstory": "backstory", "memory": "memory"}
_CREWAI_TASK = {"description": "description", "expected_output": "expected_output", "agent": "agent"}
_PROVIDERS = (("claude", "anthropic"), ("gemini", "google"), ("gpt", "openai"), ("o1", "openai"), ("o3", "openai"))
_BYTES_MAX = 1024 * 1024


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CrewPlan:
    """What a crew shall be."""

    name: str
    """What people call it; of several applied plans with this name, the last one holds."""
    crew: CrewFields
    agents: Mapping[str, AgentFields]
    """By their keys, in order; one with a `slug` alone is there already."""
    tasks: Mapping[str, TaskDefFields]
    """By their keys, in order; `agent` and `depends_on` are keys."""
    left_out: tuple[str, ...] = ()
    """What was written but cannot be kept."""

    @classmethod
    def parse(cls, text: str, environ: Mapping[str, str] | None = None) -> "CrewPlan":
        """Read our own format; `${NAME}` in a key comes from the environment.

        Raises `InvalidInputs`, naming the entry, for what cannot be read.
        """
        variables = os.environ if environ is None else environ
        document = _mapping(_load(text, "crew"), "crew")
        name = document.pop("name", document.pop("display_name", None))
        if not isinstance(name, str) or not name.strip():
            raise _wrong("name", "say what the crew is called")
        agents = {key: _agent(key, entry, variables) for key, entry in _entries(document.pop("agents", None), "agents")}
        tasks = {key: _task(key, entry) for key, entry in _entries(document.pop("tasks", None), "tasks")}
        crew = _known(document, _CREW_KEYS, "")
        if "manager" in crew:
            crew["manager"] = _model(crew["manager"], "manager")
        if "manager_api_key" in crew:
            crew["manager_api_key"] = _expanded(crew["manager_api_key"], "manager_api_key", variables)
        plan = cls(name=name.strip(), crew=cast(CrewFields, crew), agents=agents, tasks=tasks)
        _check_keys(plan)
        return plan

    @classmethod
    def parse_crewai(
        cls, name: str, agents: str, tasks: str, *, model: Model | str = "offline", process: str = "sequential"
    ) -> "CrewPlan":
        """Read CrewAI's `agents.yaml` and `tasks.yaml`; `model` is that of agents that name none.

        Raises `InvalidInputs`, naming the entry, for what cannot be read.
        """
        left_out: list[str] = []
        default = Model.parse(model) if isinstance(model, str) else model
        planned_agents = {
            key: _crewai_agent(key, entry, default, left_out)
            for key, entry in _entries(_load(agents, "agents"), "agents")
        }
        planned_tasks = {
            key: _crewai_task(key, entry, left_out) for key, entry in _entries(_load(tasks, "tasks"), "tasks")
        }
        plan = cls(
            name=name,
            crew={"process": process},
            agents=planned_agents,
            tasks=planned_tasks,
            left_out=tuple(left_out),
        )
        _check_keys(plan)
        return plan


def _agent(key: str, entry: Mapping[str, Any], variables: Mapping[str, str]) -> AgentFields:
    where = f"agents.{key}"
    if "use" in entry:
        if len(entry) > 1:
            raise _wrong(where, "an agent that is used as it is has nothing else written of it")
        return {"slug": str(entry["use"])}
    fields = _known({"display_name": key, **_renamed(entry, {"name": "display_name"})}, _AGENT_KEYS, where)
    if "model" in fields:
        fields["model"] = _model(fields["model"], f"{where}.model")
    if "api_key" in fields:
        fields["api_key"] = _expanded(fields["api_key"], f"{where}.api_key", variables)
    return cast(AgentFields, {**fields, **_texts(fields, ("role", "goal", "backstory", "system_prompt"))})


def _task(key: str, entry: Mapping[str, Any]) -> TaskDefFields:
    fields = _known(_renamed(entry, {"name": "display_name"}), _TASK_KEYS, f"tasks.{key}")
    return cast(TaskDefFields, {"display_name": key, **fields, **_texts(fields, ("description", "expected_output"))})


def _crewai_agent(key: str, entry: Mapping[str, Any], default: Model, left_out: list[str]) -> AgentFields:
    fields: dict[str, Any] = {ours: entry[theirs] for theirs, ours in _CREWAI_AGENT.items() if theirs in entry}
    fields = {"display_name": key, **fields, **_texts(fields, ("role", "goal", "backstory"))}
    llm = entry.get("llm")
    fields["model"] = default if llm is None else _llm(llm, f"agents.{key}.llm")
    if entry.get("tools"):
        fields["tools"] = _list(entry["tools"], f"agents.{key}.tools")
    left_out += [f"agents.{key}.{name}" for name in entry if name not in (*_CREWAI_AGENT, "llm", "tools")]
    return cast(AgentFields, fields)


def _crewai_task(key: str, entry: Mapping[str, Any], left_out: list[str]) -> TaskDefFields:
    fields: dict[str, Any] = {ours: entry[theirs] for theirs, ours in _CREWAI_TASK.items() if theirs in entry}
    fields = {"display_name": key, **fields, **_texts(fields, ("description", "expected_output"))}
    for theirs, ours in (("context", "depends_on"), ("tools", "tools")):
        if entry.get(theirs):
            fields[ours] = _list(entry[theirs], f"tasks.{key}.{theirs}")
    left_out += [f"tasks.{key}.{name}" for name in entry if name not in (*_CREWAI_TASK, "context", "tools", "name")]
    return cast(TaskDefFields, fields)


def _llm(value: Any, where: str) -> Model:
    """Return the model that CrewAI means: `provider/model`, or a model whose name says whose it is."""
    if not isinstance(value, str):
        return _model(value, where)
    if "/" in value:
        return Model.parse(value)
    provider = next((provider for start, provider in _PROVIDERS if value.startswith(start)), "openai")
    return Model(provider=provider, model=value)


def _model(value: Any, where: str) -> Model:
    if isinstance(value, str) and value:
        return Model.parse(value)
    fields = _known(_mapping(value, where), _MODEL_KEYS, where)
    if not isinstance(fields.get("provider"), str):
        raise _wrong(where, "say provider/model, or a mapping with a provider")
    return Model(**fields)


def _check_keys(plan: CrewPlan) -> None:
    for key, task in plan.tasks.items():
        if (agent := task.get("agent")) and agent not in plan.agents:
            raise _wrong(f"tasks.{key}.agent", f"{agent!r} is none of the agents: {', '.join(plan.agents)}")
        for other in task.get("depends_on", ()):
            if other not in plan.tasks:
                raise _wrong(f"tasks.{key}.depends_on", f"{other!r} is none of the tasks: {', '.join(plan.tasks)}")
    titles = [task.get("display_name", key) for key, task in plan.tasks.items()]
    if len(set(titles)) < len(titles):
        raise _wrong("tasks", "two have the same name")


def _load(text: str, what: str) -> Any:
    if len(text.encode(errors="replace")) > _BYTES_MAX:
        raise _wrong(what, f"at most {_BYTES_MAX:,} bytes")
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _wrong(what, f"is not valid YAML: {error}") from error


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise _wrong(where, "must be a mapping")
    return dict(value)


def _entries(value: Any, where: str) -> Iterable[tuple[str, Mapping[str, Any]]]:
    for key, entry in ({} if value is None else _mapping(value, where)).items():
        if not _KEY.fullmatch(key):
            raise _wrong(where, f"{key[:80]!r} must be letters, digits, _ and -")
        yield key, _mapping(entry, f"{where}.{key}")


def _known(entry: Mapping[str, Any], known: frozenset[str], where: str) -> dict[str, Any]:
    for name in entry:
        if name not in known:
            place = f"{where}.{name}" if where else name
            raise _wrong(place, f"is not known: there are {', '.join(sorted(known))}")
    return dict(entry)


def _renamed(entry: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in entry.items()}


def _texts(fields: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return texts without the line break that YAML's `>` leaves at their end."""
    return {name: value.strip() for name in names if isinstance(value := fields.get(name), str)}


def _list(value: Any, where: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _wrong(where, "must be a list of names")
    return list(value)


def _expanded(value: Any, where: str, variables: Mapping[str, str]) -> str:
    if not isinstance(value, str):
        raise _wrong(where, "must be a text, such as ${OPENAI_API_KEY}")

    def variable(match: "re.Match[str]") -> str:
        if match[1] not in variables:
            raise _wrong(where, f"the environment has no {match[1]}")
        return variables[match[1]]

    return _VARIABLE.sub(variable, value)


def _wrong(where: str, problem: str) -> InvalidInputs:
    return InvalidInputs(f"{where}: {problem}", code="INVALID_ARGUMENT", fields={where: [problem]})
