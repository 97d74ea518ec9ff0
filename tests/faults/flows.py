"""What runs while things go wrong: flows that count, ask a person, and come by a form handler."""

import asyncio
from typing import Any

import fastapi
import pydantic

from agentmesh import Launch, ServeAPI, Tracer, forms

LOCK = "word"
PATIENCE_S = 20.0
"""How long a job waits for an answer."""
app = ServeAPI()


class Count(pydantic.BaseModel):
    """How far to count."""

    tag: str
    """Names the submission."""
    steps: int
    pause_s: float


@app.flow("/", summary="Count")
@app.flow("/shared", summary="Count, with others", isolation="shared")
async def count(inputs: Count, tracer: Tracer) -> dict[str, str]:
    """Say each number once."""
    for step in range(inputs.steps):
        await tracer.result({"step": step})
        if inputs.pause_s:
            await asyncio.sleep(inputs.pause_s)
    return {"tag": inputs.tag}


@app.flow("/ask", summary="Count and ask")
@app.flow("/ask-shared", summary="Count and ask, with others", isolation="shared")
async def ask(inputs: Count, tracer: Tracer) -> dict[str, Any]:
    """Say each number once, then ask a person, who may not answer in time."""
    await count(inputs, tracer)
    try:
        answer = await tracer.lock(LOCK, data={}, timeout=PATIENCE_S)
    except TimeoutError:
        answer = {}
    return {"tag": inputs.tag, "word": answer.get("word", "")}


@app.lock(LOCK)
async def form(data: dict[str, Any]) -> forms.Model:
    """Return what the person fills in."""
    return forms.Model(forms.InputText(label="Word", name="word"), forms.Submit("Submit"))


@app.enter(
    "/handled",
    model=forms.Model(
        forms.InputText(label="Tag", name="tag"), forms.InputNumber(label="Steps", name="steps"), forms.Submit("Go")
    ),
    summary="Count, by a handler",
)
async def enter(request: fastapi.Request, inputs: dict[str, Any]) -> Launch:
    """Start to count."""
    return Launch(request, handled, inputs=inputs)


async def handled(inputs: dict[str, Any], tracer: Tracer) -> dict[str, str]:
    """Say each number once."""
    return await count(Count(tag=inputs["tag"], steps=int(inputs["steps"]), pause_s=0.0), tracer)
