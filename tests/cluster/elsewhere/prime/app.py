"""Its form and its entry points, one of them asynchronous."""

from typing import Any

import fastapi
import kodosumi.core as core
from kodosumi.core import ServeAPI
from kodosumi.core import forms as F
from ray import serve

app = ServeAPI()
model = core.forms.Model(
    F.Markdown("# Gaps\nHow often each gap between primes occurs."),
    F.Break(),
    F.InputText(label="Start", name="start", value="0"),
    F.InputText(label="End", name="end", value="1000"),
    F.InputText(label="Tasks", name="tasks", value="4"),
    F.Submit("Submit"),
    F.Cancel("Cancel"),
)


def run(inputs: dict[str, Any], tracer: core.Tracer) -> dict[int, int]:
    """Count the gaps in tasks of Ray; what computes is imported here, as strangers do."""
    import prime.calculator as calculator

    start, end, tasks = (int(inputs.get(name, "").strip()) for name in ("start", "end", "tasks"))
    found: dict[int, int] = calculator.gaps(start, end, tasks, tracer)
    return found


async def run_async(inputs: dict[str, Any], tracer: core.Tracer) -> dict[int, int]:
    """The same on an event loop, which it holds up meanwhile."""
    return run(inputs, tracer)


@app.enter(path="/", model=model, summary="Gaps", description="Gaps between primes.", tags=["Test"])
async def enter(request: fastapi.Request, inputs: dict[str, Any]) -> core.Launch:
    """Start it."""
    return core.Launch(request, "prime.app:run", inputs=inputs)


@app.enter(path="/async", model=model, summary="Gaps (async)", description="Gaps between primes.", tags=["Test"])
async def enter_async(request: fastapi.Request, inputs: dict[str, Any]) -> core.Launch:
    """Start it the other way."""
    return core.Launch(request, "prime.app:run_async", inputs=inputs)


@serve.deployment
@serve.ingress(app)
class Gaps:
    """What Ray Serve deploys."""


fast_app = Gaps.bind()  # type: ignore[attr-defined]  # what the decorators add
