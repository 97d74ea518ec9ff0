"""A flow with a form of its own, whose values the author's code checks."""

APP = '''\
"""A flow with a form: what it asks for, who checks it, and what runs."""

from typing import Any

import fastapi

from agentmesh import InputsError, Launch, Markdown, ServeAPI, Tracer, forms

app = ServeAPI()

form = forms.Model(
    forms.Markdown("# Haiku\\nThree lines about what you like."),
    forms.InputText(label="Topic", name="topic", required=True, placeholder="the sea"),
    forms.Submit("Write"),
    forms.Cancel("Cancel"),
)


async def write(inputs: dict[str, Any], tracer: Tracer) -> Markdown:
    """Write the haiku: this is the job, in a process of its own."""
    await tracer.debug(f"thinking of {inputs['topic']}")
    print("what you print is among the job's events")
    return Markdown(f"{inputs['topic']} at dusk\\\\\\na light that nobody lit\\\\\\nthe mesh hums along")


@app.enter(path="/", model=form, summary="Haiku", description="Writes a haiku.", tags=["Demo"])
async def enter(request: fastapi.Request, inputs: dict[str, Any]) -> Launch:
    """Check what was sent, and start the job."""
    topic = str(inputs.get("topic") or "").strip()
    if not topic:
        raise InputsError(topic="Say what it shall be about.")
    return Launch(request, write, inputs={"topic": topic})
'''

TEST = '''\
"""The flow is a function: a test calls it."""

import asyncio

from agentmesh import TracerMock

from app import write


def test_the_haiku_is_about_the_topic() -> None:
    haiku = asyncio.run(write({"topic": "the sea"}, TracerMock()))

    assert haiku.body.startswith("the sea")
'''
