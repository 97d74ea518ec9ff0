"""A crew in the shape crew frameworks have: agents, tasks in order, `kickoff`, and callbacks for steps and tasks.

The mesh runs any object that has a `kickoff`: it reads `agents` and `tasks`, sets `step_callback` and
`task_callback`, and turns what they are given into events.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import pydantic


class AgentFinish(pydantic.BaseModel):
    """What an agent says when it is done with a task."""

    thought: str
    output: str


class TaskOutput(pydantic.BaseModel):
    """What came of a task."""

    name: str
    description: str
    agent: str
    raw: str


class CrewOutput(pydantic.BaseModel):
    """What came of the crew: the last task's text, and every task's."""

    raw: str
    tasks_output: list[TaskOutput]
    token_usage: dict[str, int]


@dataclasses.dataclass(eq=False, kw_only=True)
class Agent:
    """Somebody with a role."""

    role: str
    goal: str
    backstory: str
    tools: list[Any] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(eq=False, kw_only=True)
class Task:
    """Something an agent does: `work` takes the filled-in description, the inputs and what the task before returned."""

    name: str
    description: str
    expected_output: str
    agent: Agent
    work: Callable[[str, dict[str, Any], str], str]
    tools: list[Any] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(eq=False, kw_only=True)
class Crew:
    """Agents that do their tasks one after the other."""

    agents: list[Agent]
    tasks: list[Task]
    step_callback: Callable[[Any], object] | None = None
    task_callback: Callable[[Any], object] | None = None

    def kickoff(self, inputs: dict[str, Any] | None = None) -> CrewOutput:
        """Do every task; the text of one is the context of the next."""
        inputs = dict(inputs or {})
        outputs: list[TaskOutput] = []
        context = ""
        for task in self.tasks:
            description = task.description.format_map(inputs)
            print(f"{task.agent.role}: {task.name}")
            context = task.work(description, inputs, context)
            if self.step_callback is not None:
                self.step_callback(AgentFinish(thought="I now know the answer.", output=context))
            outputs.append(TaskOutput(name=task.name, description=description, agent=task.agent.role, raw=context))
            if self.task_callback is not None:
                self.task_callback(outputs[-1])
        words = [len(f"{output.description} {output.raw}".split()) for output in outputs]
        return CrewOutput(raw=context, tasks_output=outputs, token_usage={"total_tokens": sum(words)})
