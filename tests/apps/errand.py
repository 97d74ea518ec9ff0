"""A flow that can be stopped at every step of its way: it waits at a gate, then for a human, then gives a result."""

import asyncio
import os
import pathlib
from typing import Any

import fastapi

from agentmesh import Launch, ServeAPI, Tracer
from agentmesh import forms as F
from agentmesh.response import Markdown

app = ServeAPI()


@app.enter(
    "/",
    model=F.Model(
        F.InputText(label="Gate", name="gate", value=""),
        F.InputText(label="Question", name="question", value=""),
        F.Submit("Go"),
    ),
    summary="Errand",
    description="Waits as it is told.",
)
async def enter(request: fastapi.Request, inputs: dict[str, Any]) -> Launch:
    """Start the errand."""
    return Launch(request, run, inputs=inputs)


@app.lock("go")
def ask(data: dict[str, Any]) -> F.Model:
    """Ask what the flow was told to ask."""
    return F.Model(F.InputText(label=data["question"], name="word", required=True))


def parent_of(pid: int) -> int:
    """Return the parent of a process."""
    return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


async def run(inputs: dict[str, Any], tracer: Tracer) -> Markdown:
    """Say which host this is, wait at the gate (a named pipe), ask the question, say the answer."""
    await tracer.result({"host": parent_of(os.getppid())})
    if inputs["gate"]:
        await asyncio.to_thread(pathlib.Path(inputs["gate"]).read_bytes)
    word = "none"
    if inputs["question"]:
        word = (await tracer.lock("go", {"question": inputs["question"]}))["word"]
    return Markdown(f"The word is *{word}*.")
