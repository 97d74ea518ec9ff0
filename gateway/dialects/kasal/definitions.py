"""What Kasal's clients send of agents, crews and tasks, and what the registry gets."""

from collections.abc import Iterator
from typing import Any, Literal

import pydantic
from agentmesh_protos.registry.v1 import agent_pb2, crew_pb2

from gateway.dialects.kasal import models
from gateway.dialects.kasal.views import PROCESSES
from meshkit.errors import Invalid

_TEXTS_MAX = 64
Process = Literal["sequential", "hierarchical"]


class CrewAgent(pydantic.BaseModel):
    """An agent that comes with its crew."""

    role: str = pydantic.Field(min_length=1)
    goal: str = pydantic.Field(min_length=1)
    model: str = ""
    name: str = ""
    """What people call it; empty: its role."""
    backstory: str = ""
    tools: list[str] = pydantic.Field(default_factory=list, max_length=_TEXTS_MAX)
    api_key: str = pydantic.Field(default="", repr=False)
    """For its model's provider; it is kept encrypted and never shown."""

    def to_registry(self) -> agent_pb2.Agent:
        """Return it as the registry takes it."""
        agent = agent_pb2.Agent(
            display_name=self.name or self.role,
            role=self.role,
            goal=self.goal,
            backstory=self.backstory,
            tools=[f"tools/{name}" for name in self.tools],
            api_key=self.api_key,
        )
        if (model := models.model_of(self.model)) is not None:
            agent.model.CopyFrom(model)
        return agent


class NewAgent(CrewAgent):
    """An agent that joins a crew."""

    crew_id: str = pydantic.Field(min_length=1)


class AgentChange(pydantic.BaseModel):
    """What changes of an agent; what is absent stays."""

    name: str | None = pydantic.Field(default=None, min_length=1)
    role: str | None = pydantic.Field(default=None, min_length=1)
    goal: str | None = pydantic.Field(default=None, min_length=1)
    backstory: str | None = None
    model: str | None = pydantic.Field(default=None, min_length=1)
    tools: list[str] | None = pydantic.Field(default=None, max_length=_TEXTS_MAX)
    api_key: str | None = pydantic.Field(default=None, repr=False)
    """Empty takes it away."""

    def values(self) -> dict[str, Any]:
        """Return what changes by the registry's fields."""
        sent = {
            "display_name": self.name,
            "role": self.role,
            "goal": self.goal,
            "backstory": self.backstory,
            "model": None if self.model is None else models.model_of(self.model),
            "tools": None if self.tools is None else [f"tools/{name}" for name in self.tools],
            "api_key": self.api_key,
        }
        return {field: value for field, value in sent.items() if value is not None}


class CrewTask(pydantic.BaseModel):
    """A task that comes with its crew."""

    description: str = pydantic.Field(min_length=1)
    expected_output: str = ""
    agent: str = ""
    """Role or name of an agent of the same request; empty: the first, or whom the manager chooses."""
    context: list[str] = pydantic.Field(default_factory=list, max_length=_TEXTS_MAX)


class NewCrew(pydantic.BaseModel):
    """A crew with its agents, and its tasks if wanted."""

    name: str = pydantic.Field(min_length=1)
    description: str = ""
    process: Process = "sequential"
    memory: bool = True
    """Whether it reads and writes its memory."""
    agents: list[CrewAgent] = pydantic.Field(max_length=_TEXTS_MAX, min_length=1)
    tasks: list[CrewTask] = pydantic.Field(default_factory=list, max_length=200)

    @pydantic.field_validator("agents", mode="before")
    @classmethod
    def _some(cls, sent: object) -> object:
        if sent == []:
            raise ValueError("At least one agent required")
        return sent

    def task_defs(self) -> Iterator[crew_pb2.TaskDef]:
        """Yield its tasks as the registry takes them.  Raises `Invalid` for an agent that it does not have."""
        for number, task in enumerate(self.tasks):
            who = [n for n, agent in enumerate(self.agents) if task.agent and task.agent in (agent.role, agent.name)]
            if task.agent and not who:
                field = f"tasks.{number}.agent"
                raise Invalid(f"{field} is no agent of the crew", {field: ["name the role of one of its agents"]})
            if not who and self.process == "sequential":
                who = [0]
            yield crew_pb2.TaskDef(
                description=task.description,
                expected_output=task.expected_output,
                agent=f"agents/+{who[0]}" if who else "",
                context=task.context,
            )


class CrewChange(pydantic.BaseModel):
    """What changes of a crew; what is absent stays."""

    name: str | None = pydantic.Field(default=None, min_length=1)
    description: str | None = None
    process: Process | None = None
    memory: bool | None = None
    agents: list[str] | None = pydantic.Field(default=None, max_length=_TEXTS_MAX)
    """Ids, in order."""

    def values(self) -> dict[str, Any]:
        """Return what changes by the registry's fields, but for the agents."""
        sent = {
            "display_name": self.name,
            "description": self.description,
            "process": None if self.process is None else PROCESSES[self.process],
            "memory": self.memory,
        }
        return {field: value for field, value in sent.items() if value is not None}


class NewTask(pydantic.BaseModel):
    """A task of an agent."""

    agent_id: str = pydantic.Field(min_length=1)
    description: str = pydantic.Field(min_length=1)
    expected_output: str = ""
    context: list[str] = pydantic.Field(default_factory=list, max_length=_TEXTS_MAX)
    """Texts, and ids of tasks of the same crew whose results it is given."""
    crew_id: str = ""
    """Empty: the first crew of its agent."""


class TaskChange(pydantic.BaseModel):
    """What changes of a task; what is absent stays."""

    agent_id: str | None = pydantic.Field(default=None, min_length=1)
    description: str | None = pydantic.Field(default=None, min_length=1)
    expected_output: str | None = None
    context: list[str] | None = pydantic.Field(default=None, max_length=_TEXTS_MAX)
    """Texts, and ids of tasks of the same crew whose results it is given."""


class MemoryKind(pydantic.BaseModel):
    """What is cleared."""

    type: Literal["short_term", "long_term", "all"]
