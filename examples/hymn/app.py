"""Hymn Creator: a planner outlines a hymn, a writer writes it.

The form and what it answers are those of the kodosumi panel API documentation, whose every request can be tried
with this app.  In place of a language model it uses a grammar, so it runs offline and always writes the same hymn about
the same topic.
"""

from typing import Any

import fastapi

from agentmesh import InputsError, Launch, ServeAPI
from agentmesh import forms as F
from examples.hymn.crew import Agent, Crew, Task
from examples.hymn.model import HYMNS

DESCRIPTION = "This agent creates a short hymn about a given topic of your choice using openai and crewai."
TOPIC_MAX = 200

app = ServeAPI()

hymn_model = F.Model(
    F.Markdown(f"# Hymn Creator\n{DESCRIPTION}"),
    F.HTML('<div class="space"></div>'),
    F.InputText(label="Topic", name="topic", value="A Du Du Du and A Da Da Da."),
    F.Submit("Submit"),
    F.Cancel("Cancel"),
)


def outline(description: str, inputs: dict[str, Any], context: str) -> str:
    """Return the outline of a hymn."""
    return HYMNS.complete(description, "outline", topic=_topic(inputs))


def write(description: str, inputs: dict[str, Any], context: str) -> str:
    """Return the hymn."""
    topic = _topic(inputs)
    title = HYMNS.complete(description, "title", topic=topic)
    return f'**Hymn Title: "{title}"**\n\n{HYMNS.complete(description + context, "hymn", topic=topic)}'


def _topic(inputs: dict[str, Any]) -> str:
    return str(inputs["topic"]).strip().rstrip(".!?")


planner = Agent(
    role="Hymn Planner",
    goal="Create a topic outline for a short hymn.",
    backstory="An experienced hymn author with a knack for engaging plots.",
)
writer = Agent(
    role="Hymn Writer",
    goal="Write a short hymn based on the outline.",
    backstory="A hymn writer who brings stories to life with vivid descriptions.",
)
crew = Crew(
    agents=[planner, writer],
    tasks=[
        Task(
            name="Hymn Outline",
            description='Outline a short hymn about "{topic}".',
            expected_output="An outline with an opening, a tension and an ending.",
            agent=planner,
            work=outline,
        ),
        Task(
            name="Hymn Writing",
            description='Write the hymn about "{topic}" that the outline describes.',
            expected_output="A short hymn with a title, two verses and a refrain.",
            agent=writer,
            work=write,
        ),
    ],
)


@app.enter(
    path="/",
    model=hymn_model,
    summary="Hymn Creator",
    description=DESCRIPTION,
    version="1.0.1",
    author="author@example.com",
    tags=["Test", "CrewAi"],
)
async def enter(request: fastapi.Request, inputs: dict[str, Any]) -> Launch:
    """Check the topic, then start the crew."""
    topic = str(inputs.get("topic") or "").strip()
    if not topic:
        raise InputsError(topic="Please give me a topic.")
    if len(topic) > TOPIC_MAX:
        raise InputsError(topic=f"Please give me a topic of at most {TOPIC_MAX} characters.")
    return Launch(request, "examples.hymn.app:crew", inputs={"topic": topic})


fast_app = app
