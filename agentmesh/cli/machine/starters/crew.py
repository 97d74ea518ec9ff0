"""A crew: anything with `kickoff` is an entry point."""

APP = '''\
"""A crew of two: a planner hands its work to a writer.

Anything with a `kickoff(inputs)` can be started, a crew of CrewAI as it is.  This one needs no package and no model:
put yours in place of `plan` and `write`.
"""

from collections.abc import Callable
from typing import Any

import fastapi

from agentmesh import Launch, Markdown, ServeAPI, forms

app = ServeAPI()
form = forms.Model(forms.InputText(label="Topic", name="topic", required=True), forms.Submit("Start"))


class Agent:
    """Somebody with a role, who answers."""

    def __init__(self, role: str, goal: str, answer: Callable[[str], str]) -> None:
        self.role, self.goal, self.answer = role, goal, answer


class Crew:
    """Agents who work one after the other, each on what the one before has made."""

    def __init__(self, *agents: Agent) -> None:
        self.agents = list(agents)
        self.step_callback: Callable[[Any], None] | None = None  # the mesh sets it: each step becomes an event

    def kickoff(self, inputs: dict[str, Any]) -> Markdown:
        """Work; return what the last of them has made."""
        text = str(inputs["topic"])
        for agent in self.agents:
            text = agent.answer(text)
            if self.step_callback is not None:
                self.step_callback({"agent": agent.role, "said": text})
        return Markdown(text)


def plan(topic: str) -> str:
    """Return an outline."""
    return f"{topic}: where it begins, what it hides, how it ends"


def write(outline: str) -> str:
    """Return the text."""
    topic, _, parts = outline.partition(": ")
    return f"# {topic}\\n" + "\\n".join(f"- {part}" for part in parts.split(", "))


crew = Crew(Agent("Planner", "Outline it", plan), Agent("Writer", "Write it", write))


@app.enter(path="/", model=form, summary="Crew", description="Two agents write.", tags=["Demo"])
async def enter(request: fastapi.Request, inputs: dict[str, Any]) -> Launch:
    """Start the crew."""
    return Launch(request, crew, inputs=inputs)
'''

TEST = '''\
"""The crew works without a mesh."""

from app import crew


def test_the_writer_gets_the_outline() -> None:
    assert "# the sea\\n- where it begins" in crew.kickoff({"topic": "the sea"}).body
'''
