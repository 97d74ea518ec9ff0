"""The tasks of a crew, in an order in which they can be done, and what each is asked."""

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from agentmesh_protos.registry.v1 import crew_pb2, definition_pb2

from agentmesh.errors import KodosumiError

_TITLE_CHARS = 80
_PLACE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One task of a run."""

    name: str
    """`task.{number}`, from 1: the id of its span, and of the step that it is."""
    task_def: str = ""
    """`taskDefs/{id}`; empty for the one that is made of a crew without any."""
    title: str
    description: str
    expected_output: str = ""
    agent: str = ""
    """`agents/{id}`; empty if the manager chooses, or the first does it."""
    depends_on: tuple[str, ...] = ()
    """Names of tasks."""
    context: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """The tasks of a run, in their order."""

    tasks: tuple[Task, ...]

    @classmethod
    def of(cls, definition: definition_pb2.Definition) -> "Plan":
        """Return the plan of a crew.  Raises `KodosumiError` if its tasks wait for each other in a circle."""
        names = {task_def.name: f"task.{number}" for number, task_def in enumerate(definition.task_defs, start=1)}
        tasks = tuple(_task(task_def, names) for task_def in definition.task_defs)
        if not tasks:
            crew = definition.crew
            title = crew.display_name or "Task"
            tasks = (Task(name="task.1", title=title, description=crew.description or title),)
        _check_circles(tasks)
        return cls(tasks)


def _task(task_def: crew_pb2.TaskDef, names: Mapping[str, str]) -> Task:
    return Task(
        name=names[task_def.name],
        task_def=task_def.name,
        title=task_def.display_name or task_def.description[:_TITLE_CHARS],
        description=task_def.description,
        expected_output=task_def.expected_output,
        agent=task_def.agent,
        depends_on=tuple(names[name] for name in task_def.depends_on if name in names),
        context=tuple(task_def.context),
        tools=tuple(task_def.tools),
    )


def _check_circles(tasks: Sequence[Task]) -> None:
    left = {task.name: set(task.depends_on) for task in tasks}
    while left:
        free = {name for name, waits in left.items() if not waits & left.keys()}
        if not free:
            raise KodosumiError(f"these tasks wait for each other: {', '.join(sorted(left))}")
        left = {name: waits for name, waits in left.items() if name not in free}


def prompt_of(task: Task, inputs: Mapping[str, Any], results: Sequence[str]) -> str:
    """Return what an agent is asked: the task with the inputs in their places, and what it needs to know."""
    parts = [filled(task.description, inputs)]
    if task.expected_output:
        parts.append(f"Expected output: {filled(task.expected_output, inputs)}")
    if not task.task_def and inputs:
        parts.append(f"Inputs: {json.dumps(inputs, ensure_ascii=False)}")
    if task.context:
        parts.append("Context:\n" + "\n".join(f"- {text}" for text in task.context))
    if results:
        parts.append("Results of earlier tasks:\n\n" + "\n\n".join(results))
    return "\n\n".join(parts)


def filled(text: str, inputs: Mapping[str, Any]) -> str:
    """Return a text with inputs in place of their names in braces; a name that there is not stays."""

    def replaced(match: re.Match[str]) -> str:
        value = inputs.get(match[1], match[0])
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

    return _PLACE.sub(replaced, text)
