"""Throughput: emits N events, each with its number and the time it was emitted.

The benchmark reads them from the stream: `seq` shows whether one is missing, and the difference between `time` and
the time of arrival is how long the mesh took.
"""

import asyncio
import time
from typing import Any

import fastapi

from agentmesh import InputsError, Launch, ServeAPI, Tracer
from agentmesh import forms as F

EVENTS_MAX = 1_000_000
RATE_MAX = 100_000
SIZE_MAX = 100_000

app = ServeAPI()

throughput_model = F.Model(
    F.Markdown("# Throughput\nEmits numbered events."),
    F.Break(),
    F.InputNumber(label="Events", name="events", value=1000, min_value=0, max_value=EVENTS_MAX, step=1),
    F.InputNumber(label="Events per second (0: as fast as possible)", name="rate", value=0, min_value=0),
    F.InputNumber(label="Extra characters per event", name="size", value=0, min_value=0, max_value=SIZE_MAX, step=1),
    F.Submit("Submit"),
    F.Cancel("Cancel"),
)


async def run(inputs: dict[str, Any], tracer: Tracer) -> dict[str, float]:
    """Emit `events` results at `rate` per second, with `size` characters of padding each."""
    count, rate = int(inputs["events"]), float(inputs["rate"])
    padding = {"pad": "x" * int(inputs["size"])} if inputs["size"] else {}
    begin = time.perf_counter()
    for seq in range(1, count + 1):
        if rate:
            # Against the start, not the last event: what one is late, the next makes up for.
            ahead = begin + (seq - 1) / rate - time.perf_counter()
            if ahead > 0:
                await asyncio.sleep(ahead)
        await tracer.result({"seq": seq, "time": time.time(), **padding})
    return {"events": count, "seconds": time.perf_counter() - begin}


def number_of(inputs: dict[str, Any], name: str, default: float, high: float, errors: InputsError) -> float:
    """Return an input as a number, or tell `errors` what is wrong with it."""
    value = inputs.get(name)
    try:
        number = default if value is None or value == "" else float(value)
    except (TypeError, ValueError):
        errors.add(**{name: f"{name.capitalize()} must be a number"})
        return default
    if not 0 <= number <= high:
        errors.add(**{name: f"{name.capitalize()} must be from 0 to {high:g}"})
    return number


@app.enter(
    path="/",
    model=throughput_model,
    summary="Throughput Test",
    description="Emits numbered events at a rate of your choice.",
    version="0.1.0",
    author="author@example.com",
    tags=["Benchmark"],
)
async def enter(request: fastapi.Request, inputs: dict[str, Any]) -> Launch:
    """Check the numbers, then start the flow."""
    errors = InputsError()
    events = number_of(inputs, "events", 1000, EVENTS_MAX, errors)
    rate = number_of(inputs, "rate", 0, RATE_MAX, errors)
    size = number_of(inputs, "size", 0, SIZE_MAX, errors)
    if errors.has_errors():
        raise errors
    return Launch(
        request, "examples.throughput.app:run", inputs={"events": int(events), "rate": rate, "size": int(size)}
    )


fast_app = app
