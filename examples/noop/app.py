"""Noop: starts, returns, ends.  The benchmark measures the mesh with it."""

from typing import Any

import fastapi

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


fast_app = app
