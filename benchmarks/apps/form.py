"""An echo behind a form handler, as every kodosumi app has one."""

from typing import Any

import fastapi

from agentmesh import Launch, ServeAPI
from agentmesh import forms as F

app = ServeAPI()


def run(inputs: dict[str, Any]) -> dict[str, Any]:
    """Return the text."""
    return {"text": inputs["text"]}


@app.enter(path="/", model=F.Model(F.InputText(label="Text", name="text"), F.Submit("Submit")), summary="Echo")
async def enter(request: fastapi.Request, inputs: dict[str, Any]) -> Launch:
    """Start the job."""
    return Launch(request, "benchmarks.apps.form:run", inputs=inputs)
