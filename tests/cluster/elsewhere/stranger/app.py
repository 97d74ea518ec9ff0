"""Its form and its entry points."""

from typing import Any

import fastapi
import kodosumi.core as core
from kodosumi.core import ServeAPI
from kodosumi.core import forms as F
from ray import serve

app = ServeAPI()
model = F.Model(
    F.InputText(label="End", name="end", value="1000"), F.InputText(label="Tasks", name="tasks"), F.Submit()
)


def run(inputs: dict[str, Any], tracer: core.Tracer) -> dict[int, int]:
    """Count the gaps between primes in tasks of Ray."""
    import stranger.calculator as calculator

    found: dict[int, int] = calculator.gaps(int(inputs["end"]), int(inputs["tasks"]), tracer)
    return found


@app.enter(path="/", model=model, summary="Gaps", description="Gaps between primes.")
async def enter(request: fastapi.Request, inputs: dict[str, Any]) -> core.Launch:
    """Start it."""
    return core.Launch(request, "stranger.app:run", inputs=inputs)


@serve.deployment
@serve.ingress(app)
class Gaps:
    """What Ray Serve deploys."""


fast_app = Gaps.bind()  # type: ignore[attr-defined]  # what the decorators add
