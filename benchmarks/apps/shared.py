"""Flows whose jobs are tasks in one process: an echo, one that waits for a human, a loud one, one that says where."""

import os
from typing import Any

import pydantic

from agentmesh import ServeAPI, Tracer
from agentmesh import forms as F
from benchmarks.apps import ASK, LOUD, WHO

LOCK = "ask"
ANSWER_WITHIN_S = 3600

app = ServeAPI()


class Echo(pydantic.BaseModel):
    """What the flows take."""

    text: str


@app.flow("/", summary="Echo", isolation="shared")
async def echo(inputs: Echo) -> dict[str, str]:
    """Return the text."""
    return {"text": inputs.text}


class Loud(pydantic.BaseModel):
    """How many results a job emits."""

    events: int


@app.flow(LOUD, summary="Loud", isolation="shared")
async def loud(inputs: Loud, tracer: Tracer) -> dict[str, int]:
    """Emit numbers as fast as they are taken."""
    for number in range(inputs.events):
        await tracer.result({"number": number})
    return {"events": inputs.events}


@app.flow(WHO, summary="Who", isolation="shared")
async def who(inputs: Echo) -> dict[str, int]:
    """Return the process it runs in."""
    return {"pid": os.getpid()}


@app.flow(ASK, summary="Ask", isolation="shared")
async def ask(inputs: Echo, tracer: Tracer) -> dict[str, Any]:
    """Return what a human answers."""
    return dict(await tracer.lock(LOCK, data={"text": inputs.text}, timeout=ANSWER_WITHIN_S))


@app.lock(LOCK)
async def form(data: dict[str, Any]) -> F.Model:
    """Return the form that the human fills."""
    return F.Model(F.InputText(label="Greeting", name="greeting"), F.Submit("Submit"))


@app.lease(LOCK)
async def take(inputs: dict[str, Any]) -> dict[str, Any]:
    """Hand the answer to the job."""
    return {"greeting": inputs["greeting"]}
