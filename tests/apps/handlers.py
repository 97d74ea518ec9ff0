"""Handlers that do what handlers should not do."""

from typing import Any

import fastapi

from agentmesh import Launch, ServeAPI
from agentmesh import forms as F

app = ServeAPI()
model = F.Model(F.InputText(label="Say", name="say"), F.Submit("Submit"), F.Cancel("Cancel"))


@app.enter(path="/raises", model=model, summary="Raises", description="Its handler raises.")
async def raises(request: fastapi.Request, inputs: dict[str, Any]) -> Launch:
    """Raise by accident."""
    raise ValueError("the handler fell over")


@app.enter(path="/returns", model=model, summary="Returns", description="Its handler returns no Launch.")
async def returns(request: fastapi.Request, inputs: dict[str, Any]) -> dict[str, str]:
    """Return something else."""
    return {"not": "a launch"}


@app.enter(path="/missing", model=model, summary="Missing", description="Its entry point does not exist.")
async def missing(request: fastapi.Request, inputs: dict[str, Any]) -> Launch:
    """Launch what is not there."""
    return Launch(request, "tests.apps.handlers:no_such_function", inputs=inputs)


@app.enter(path="/echo", model=model, summary="Echo", description="Returns its headers and inputs.")
async def echo(request: fastapi.Request, inputs: dict[str, Any]) -> Launch:
    """Launch with what the handler was told about the caller."""
    told = {name: value for name, value in request.headers.items() if name.startswith(("x-", "cookie", "kodosumi"))}
    return Launch(request, "tests.apps.handlers:give_back", inputs={**inputs, "headers": told})


def give_back(inputs: dict[str, Any]) -> dict[str, Any]:
    """Return the inputs."""
    return inputs
