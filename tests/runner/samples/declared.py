"""An app whose flow declares its inputs."""

import os
from typing import Any

import pydantic

from agentmesh import ServeAPI, Tracer

app = ServeAPI()


class Greeting(pydantic.BaseModel):
    """Whom to greet."""

    name: str = pydantic.Field(min_length=2, title="Name")
    times: int = pydantic.Field(default=1, ge=1, le=9)


@app.flow("/", summary="Greeter", tags=["Demo"])
async def greet(inputs: Greeting, tracer: Tracer) -> Any:
    """Greet."""
    await tracer.progress(1, 4, "clearing my throat")
    await tracer.usage(input_tokens=3, output_tokens=5, cost_micros=7)
    return {"said": [f"Hello, {inputs.name}!"] * inputs.times, "pid": os.getpid()}
