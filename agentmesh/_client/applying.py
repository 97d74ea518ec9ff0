"""Makes a crew as it is planned, whatever there is of it already."""

import dataclasses
import hashlib
import re
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from agentmesh._client.collections import Agents, Crews, Tasks, Tools
from agentmesh._client.definitions import (
    Agent,
    AgentFields,
    Crew,
    CrewFields,
    Model,
    TaskDef,
    TaskDefFields,
)
from agentmesh._client.errors import InvalidInputs, NotFound
from agentmesh._client.plans import CrewPlan

F = TypeVar("F", AgentFields, TaskDefFields)
_CREW_PART_MAX, _KEY_PART_MAX = 30, 32
"""Characters of a slug, which has 63."""
_DIGEST_CHARS = 6


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Something that was done."""

    action: str
    """`created`, `updated`, `deleted` or `unchanged`."""
    name: str
    """`crews/{id}`, `agents/{id}` or `taskDefs/{id}`."""
    title: str
    """What people call it."""


class Applying:
    """Compares a plan with what there is, and writes the difference."""

    def __init__(self, agents: Agents, crews: Crews, tasks: Tasks, tools: Tools) -> None:
        self._agents = agents
        self._crews = crews
        self._tasks = tasks
        self._tools = tools

    async def apply(self, plan: CrewPlan) -> list[Step]:
        """Make the crew as it is planned; return what was done.

        Raises `InvalidInputs` if there are several crews of that name.
        """
        plan = await self._resolved(plan)
        crew = await self._find(plan.name)
        there = {key: await self._agent(plan.name, key, fields) for key, fields in plan.agents.items()}
        if crew is None and not any(there.values()):
            return await self._create(plan)
        steps: list[Step] = []
        names = {key: await self._settle(plan, key, there[key], steps) for key in plan.agents}
        if crew is None:
            fields: CrewFields = {**plan.crew, "display_name": plan.name, "agents": list(names.values())}
            crew = await self._crews.create(**fields)
            steps.insert(0, _step("created", crew, crew.display_name))
            await self._settle_tasks(plan, crew, names, steps)
            return steps
        # Agents that leave stay until their tasks have: no task may be without its agent meanwhile.
        both = list(dict.fromkeys([*names.values(), *crew.agents]))
        if both != list(crew.agents):
            await self._crews.update(crew.name, agents=both)
        hierarchical = plan.crew.get("process") == "hierarchical"
        if hierarchical and crew.process != "hierarchical":
            await self._crews.update(crew.name, process="hierarchical")
        await self._settle_tasks(plan, crew, names, steps)
        wanted: dict[str, Any] = {**_CREW_DEFAULTS, **plan.crew, "agents": list(names.values())}
        changes = _changes(await self._crews.get(crew.name), wanted)
        if changes:
            await self._crews.update(crew.name, **cast(CrewFields, changes))
        was_changed = changes or both != list(crew.agents) or (hierarchical and crew.process != "hierarchical")
        steps.insert(0, _step("updated" if was_changed else "unchanged", crew, crew.display_name))
        return steps

    async def _resolved(self, plan: CrewPlan) -> CrewPlan:
        """Return the plan with the ids of tools in the place of what models call them."""
        entries = [*plan.agents.values(), *plan.tasks.values()]
        named = dict.fromkeys(tool for entry in entries for tool in entry.get("tools", ()))
        ids = {tool: (await self._tools.get(tool)).name for tool in named}
        return dataclasses.replace(
            plan,
            agents={key: _with_ids(fields, ids) for key, fields in plan.agents.items()},
            tasks={key: _with_ids(fields, ids) for key, fields in plan.tasks.items()},
        )

    async def _find(self, name: str) -> Crew | None:
        found = [crew async for crew in self._crews.list() if crew.display_name == name]
        if len(found) > 1:
            problem = f"there are {len(found)} crews of this name: rename or delete {found[-1].name}"
            raise InvalidInputs(problem, code="INVALID_ARGUMENT", fields={"name": [problem]})
        return found[0] if found else None

    async def _agent(self, crew: str, key: str, fields: AgentFields) -> Agent | None:
        """Return the agent of a key, if there is one; raise `NotFound` for one that should be there."""
        if _is_used(fields):
            return await self._agents.get(fields["slug"])
        try:
            return await self._agents.get(_slug(crew, key))
        except NotFound:
            return None

    async def _create(self, plan: CrewPlan) -> list[Step]:
        """Add everything in one request."""
        agent_keys, task_keys = list(plan.agents), list(plan.tasks)
        new_agents: list[AgentFields] = [
            {**fields, "slug": _slug(plan.name, key)} for key, fields in plan.agents.items()
        ]
        new_tasks: list[TaskDefFields] = []
        for fields in plan.tasks.values():
            task: TaskDefFields = {
                **fields,
                "depends_on": [f"+{task_keys.index(k)}" for k in fields.get("depends_on", ())],
            }
            if agent := fields.get("agent"):
                task["agent"] = f"+{agent_keys.index(agent)}"
            new_tasks.append(task)
        crew_fields: CrewFields = {**plan.crew, "display_name": plan.name}
        crew = await self._crews.create(new_agents=new_agents, new_tasks=new_tasks, **crew_fields)
        tasks = [task async for task in self._tasks.list(crew.name)]
        agents = [await self._agents.get(name) for name in crew.agents]
        return [
            _step("created", crew, crew.display_name),
            *(_step("created", agent, agent.display_name) for agent in agents),
            *(_step("created", task, task.display_name) for task in tasks),
        ]

    async def _settle(self, plan: CrewPlan, key: str, agent: Agent | None, steps: list[Step]) -> str:
        """Make an agent as it is planned; return its name."""
        fields = plan.agents[key]
        if agent is None:
            new: AgentFields = {**fields, "slug": _slug(plan.name, key)}
            agent = await self._agents.create(**new)
            steps.append(_step("created", agent, agent.display_name))
        elif not _is_used(fields):
            changes = _changes(agent, {**_AGENT_DEFAULTS, **fields})
            if changes:
                agent = await self._agents.update(agent.name, **cast(AgentFields, changes))
            steps.append(_step("updated" if changes else "unchanged", agent, agent.display_name))
        return agent.name

    async def _settle_tasks(self, plan: CrewPlan, crew: Crew, agents: Mapping[str, str], steps: list[Step]) -> None:
        """Make the tasks of a crew as they are planned.

        Their order is that of their creation, so those behind the first one that is out of place are made anew.
        """
        there = [task async for task in self._tasks.list(crew.name)]
        wanted = {key: _title(key, fields) for key, fields in plan.tasks.items()}
        kept = 0
        for task, title in zip(there, wanted.values(), strict=False):
            if task.display_name != title:
                break
            kept += 1
        names = dict(zip(wanted, (task.name for task in there[:kept]), strict=False))
        await self._untie(plan, there, kept, names)
        for task in reversed(there[kept:]):
            await self._tasks.delete(task.name)
            steps.append(_step("deleted", task, task.display_name))
        for index, (key, fields) in enumerate(plan.tasks.items()):
            values: dict[str, Any] = {
                **_TASK_DEFAULTS,
                **fields,
                "agent": agents[fields["agent"]] if fields.get("agent") else "",
                "display_name": wanted[key],
            }
            values.pop("depends_on", None)
            if index >= kept:
                added = await self._tasks.create(**cast(TaskDefFields, {**values, "crew": crew.name}))
                names[key] = added.name
                steps.append(_step("created", added, added.display_name))
            else:
                changes = _changes(there[index], values)
                if changes:
                    await self._tasks.update(there[index].name, **cast(TaskDefFields, changes))
                depends = [names.get(other, "") for other in fields.get("depends_on", ())]
                is_changed = changes or list(there[index].depends_on) != depends
                steps.append(_step("updated" if is_changed else "unchanged", there[index], wanted[key]))
        for index, (key, fields) in enumerate(plan.tasks.items()):
            depends = [names[other] for other in fields.get("depends_on", ())]
            before = list(there[index].depends_on) if index < kept else []
            if depends != before:
                await self._tasks.update(names[key], depends_on=depends)

    async def _untie(self, plan: CrewPlan, there: list[TaskDef], kept: int, names: Mapping[str, str]) -> None:
        """Take away dependencies that will change, so that none is in the way of another or of a deletion."""
        wanted = [
            [names.get(other, "") for other in fields.get("depends_on", ())]
            for fields in list(plan.tasks.values())[:kept]
        ]
        for index, task in enumerate(there):
            if task.depends_on and (index >= kept or list(task.depends_on) != wanted[index]):
                await self._tasks.update(task.name, depends_on=[])


_AGENT_DEFAULTS: AgentFields = {
    "description": "",
    "type": "custom",
    "role": "",
    "goal": "",
    "backstory": "",
    "system_prompt": "",
    "model": None,
    "memory": False,
    "memory_window": 0,
    "tools": (),
    "concurrency_limit": 0,
    "labels": {},
}
"""What a plan means by what it does not say; the state is left to whoever halts an agent."""
_CREW_DEFAULTS: CrewFields = {
    "description": "",
    "process": "sequential",
    "manager": None,
    "memory": False,
    "concurrency_limit": 0,
    "labels": {},
}
_TASK_DEFAULTS: TaskDefFields = {"expected_output": "", "context": (), "tools": ()}


def _changes(record: Agent | Crew | TaskDef, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that are not as they are wanted; a key or token cannot be known, and is one always."""
    return {name: value for name, value in wanted.items() if not _is_same(name, getattr(record, name, None), value)}


def _is_same(name: str, stored: Any, wanted: Any) -> bool:
    if name in ("model", "manager") and isinstance(wanted, str):
        wanted = Model.parse(wanted)
    if isinstance(stored, tuple):
        return list(stored) == list(wanted)
    return bool(stored == wanted)


def _with_ids(fields: F, ids: Mapping[str, str]) -> F:
    values: dict[str, Any] = {**fields}
    if "tools" in values:
        values["tools"] = [ids[tool] for tool in values["tools"]]
    return cast(F, values)


def _is_used(fields: AgentFields) -> bool:
    """Return whether an agent is one that is there already."""
    return set(fields) == {"slug"}


def _slug(crew: str, key: str) -> str:
    """Return the slug of a crew's agent: no other crew's has it."""
    return f"{_part(crew, _CREW_PART_MAX)}-{_part(key, _KEY_PART_MAX)}"


def _part(text: str, chars_max: int) -> str:
    """Return a text as a part of a slug, with the start of its hash where letters are lost."""
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    if plain == re.sub(r"[ _]", "-", text.lower()) and len(plain) <= chars_max:
        return plain
    digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_CHARS]
    return f"{plain[: chars_max - _DIGEST_CHARS - 1]}-{digest}".strip("-")


def _title(key: str, fields: TaskDefFields) -> str:
    return fields.get("display_name") or key


def _step(action: str, record: Agent | Crew | TaskDef, title: str) -> Step:
    return Step(action=action, name=record.name, title=title)
