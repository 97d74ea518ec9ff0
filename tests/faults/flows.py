"""What runs while things go wrong: flows that count, ask a person, and come by a form handler."""

import asyncio
import secrets
from typing import Any

import fastapi
import pydantic

from agentmesh import Launch, Retries, ServeAPI, Tracer, forms

LOCK = "word"
PATIENCE_S = 20.0
"""How long a job waits for an answer."""
TAKEN = "takes "
"""What a step says while it is taken, before its number."""
_AGAIN = Retries(attempts=100, pause_s=0.1, pause_s_max=1.0, on=("WorkerLost",))
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


@app.flow("/steps", summary="Count by steps", retries=_AGAIN)
@app.flow("/steps-shared", summary="Count by steps, with others", isolation="shared", retries=_AGAIN)
async def steps(inputs: Count, tracer: Tracer) -> dict[str, str]:
    """Take each step once, and say what each attempt has of it: no two takings of a step have the same word."""

    async def take(step: int) -> str:
        word = secrets.token_hex(8)
        await tracer.debug(f"{TAKEN}{step}")
        if inputs.pause_s:
            await asyncio.sleep(inputs.pause_s)
        return word

    for step in range(inputs.steps):
        word = await tracer.step(f"step {step}", take, step)
        await tracer.result({"step": step, "word": word})
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
