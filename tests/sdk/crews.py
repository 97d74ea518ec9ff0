"""Crews as CrewAI makes them, as far as the SDK looks at them."""

from typing import Any

from pydantic import BaseModel


class Tool(BaseModel):
    """A tool."""

    name: str
    description: str


class Agent(BaseModel):
    """An agent."""

    role: str
    goal: str
    backstory: str
    tools: list[Tool] = []


class Task(BaseModel):
    """A task definition."""

    name: str
    description: str
    expected_output: str
    agent: Agent


class Step(BaseModel):
    """What a step callback gets."""

    thought: str


class CrewOutput(BaseModel):
    """What a crew returns."""

    raw: str


class Crew:
    """Works through its tasks."""

    def __init__(self, agents: list[Agent] | None = None, tasks: list[Task] | None = None) -> None:
        self.agents = agents or []
        self.tasks = tasks or []
        self.step_callback: Any = None
        self.task_callback: Any = None

    def kickoff(self, inputs: dict[str, Any]) -> CrewOutput:
        """Do every task."""
        for task in self.tasks:
            self.step_callback(Step(thought=f"about {task.name}"))
            self.task_callback(CrewOutput(raw=task.expected_output))
        return CrewOutput(raw=f"about {inputs['topic']}")


agent = Agent(role="Writer", goal="write", backstory="wrote", tools=[Tool(name="pen", description="writes")])
crew = Crew([agent], [Task(name="hymn", description="Write.", expected_output="A hymn.", agent=agent)])

heard: list[Any] = []


class Team:
    """A crew class."""

    is_crew_class = True

    def crew(self) -> Crew:
        """Make the crew, with a callback of the author's own."""
        made = Crew([agent], [Task(name="hymn", description="Write.", expected_output="A hymn.", agent=agent)])
        made.step_callback = heard.append
        return made


class AsyncCrew(Crew):
    """A crew whose kickoff is a coroutine."""

    async def kickoff(self, inputs: dict[str, Any]) -> CrewOutput:  # type: ignore[override]
        """Do nothing."""
        return CrewOutput(raw="async")


async_crew = AsyncCrew()
