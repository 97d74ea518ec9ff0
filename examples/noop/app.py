"""Noop: starts, returns, ends.  The benchmark measures the mesh with it, with a form handler and without."""

from typing import Any

import fastapi
import pydantic

from agentmesh import Launch, ServeAPI
from agentmesh import forms as F

app = ServeAPI()


def run() -> dict[str, bool]:
    """Do nothing."""
    return {"ok": True}


@app.enter(
    path="/",
    model=F.Model(F.Markdown("# Noop\nDoes nothing, and says so."), F.Submit("Submit"), F.Cancel("Cancel")),
    summary="Noop",
    description="Does nothing and ends at once.",
    version="0.1.0",
    author="author@example.com",
    tags=["Benchmark"],
)
async def enter(request: fastapi.Request, inputs: dict[str, Any]) -> Launch:
    """Start the flow."""
    return Launch(request, "examples.noop.app:run", inputs=inputs)


class Echo(pydantic.BaseModel):
    """What comes back."""

    text: str = pydantic.Field(default="", max_length=10_000, json_schema_extra={"multiline": True})


@app.flow("/declared", summary="Echo", description="Returns its text.", tags=["Benchmark"], isolation="process")
@app.flow("/shared", summary="Echo (shared)", description="Returns its text.", tags=["Benchmark"], isolation="shared")
async def echo(inputs: Echo) -> str:
    """Return the text; in a process of its own, or as a task beside others."""
    return inputs.text or "nothing"


fast_app = app
