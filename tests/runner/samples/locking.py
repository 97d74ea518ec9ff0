"""An app for the tests of locks."""

import asyncio
import os
from typing import Any

from fastapi import Request

from agentmesh import InputsError, Launch, ServeAPI, Tracer
from agentmesh import forms as F  # noqa: N812

app = ServeAPI()


@app.enter("/", model=F.Model(F.InputText(label="How", name="how", value="greet"), F.InputNumber(name="timeout")))
async def start(inputs: dict[str, Any], request: Request) -> Launch:
    """Launch the flow."""
    return Launch(request, sync_run if inputs["how"] == "sync" else run, inputs=inputs)


@app.lock("greeting")
async def form(data: dict[str, Any]) -> F.Model:
    """Ask for a greeting."""
    return F.Model(
        F.Markdown(f"Dear {data.get('who', 'you')}"), F.InputText(label="Greeting", name="greeting", pattern="[a-z]+")
    )


@app.lease("greeting")
def lease(inputs: dict[str, Any], data: dict[str, Any]) -> Any:
    """Refuse what is not polite."""
    if inputs["greeting"] == "damn":
        raise InputsError(greeting="Be polite.")
    if inputs["greeting"] == "nothing":
        return None
    return {"said": inputs["greeting"], "to": data.get("who")}


@app.lock("plain")
def plain() -> F.Model:
    """Ask without a lease handler."""
    return F.Model(F.InputText(label="A", name="a"))


async def run(inputs: dict[str, Any], tracer: Tracer) -> Any:
    """Ask as told, return the answers."""
    timeout = inputs["timeout"]
    match inputs["how"]:
        case "plain":
            return await tracer.lock("plain")
        case "unknown":
            return await tracer.lock("no such lock")
        case "two":
            return await asyncio.gather(tracer.lock("greeting"), tracer.lock("plain"))
        case "leave" | "die":
            left = asyncio.ensure_future(tracer.lock("greeting"))
            await tracer.lock("plain")
            assert not left.done()
            if inputs["how"] == "die":
                os._exit(1)
            return "left"
    await tracer.debug("before")
    answer = await tracer.lock("greeting", {"who": "Ada"}, timeout=timeout)
    await tracer.debug("after")
    return answer


def sync_run(tracer: Tracer) -> Any:
    """Ask from a thread."""
    return tracer.lock_sync("greeting", {"who": "Bob"})
