"""Prime gap distribution: how often each distance between neighbouring primes occurs in a range.

Written against `kodosumi.core` and `ray.serve`, as existing apps are: it runs here as it is.
"""

import asyncio
from typing import Any

import fastapi
import kodosumi.core as core
from kodosumi.core import ServeAPI
from kodosumi.core import forms as F
from ray import serve

from examples.prime.gaps import GapCounter, segments

NUMBER_MAX = 10**12
SPAN_MAX = 10**9
REPORTS = 10
"""A run says this often how far it is, however many tasks there are."""

app = ServeAPI()

prime_model = F.Model(
    F.Markdown(
        "# Prime Gap Distribution\n"
        "This agent creates a prime gap distribution for a given range of numbers. "
        "Say where the range starts and ends, and in how many tasks to cut the work."
    ),
    F.Break(),
    F.InputText(label="Start", name="start", value="0"),
    F.InputText(label="End", name="end", value="10000000"),
    F.InputText(label="Tasks", name="tasks", value="200"),
    F.Submit("Submit"),
    F.Cancel("Cancel"),
)


def parse(inputs: dict[str, Any]) -> tuple[int, int, int]:
    """Return start, end and tasks, or raise `KodosumiError`, which names what is wrong."""
    values = []
    for name in ("start", "end", "tasks"):
        text = str(inputs.get(name, "")).strip()
        try:
            values.append(int(text))
        except ValueError:
            raise core.KodosumiError(f"{name} must be a whole number, but is {text[:40]!r}") from None
    start, end, tasks = values
    if not 0 <= start <= end <= NUMBER_MAX:
        raise core.KodosumiError(f"start and end must satisfy 0 <= start <= end <= {NUMBER_MAX}: {start}, {end}")
    if end - start > SPAN_MAX:
        raise core.KodosumiError(f"the range may span at most {SPAN_MAX} numbers: bring start and end closer together")
    if not 1 <= tasks <= 10_000:
        raise core.KodosumiError(f"tasks must be from 1 to 10000, but is {tasks}")
    return start, end, tasks


def progress(done: int, tasks: int, counter: GapCounter) -> str:
    """Say how far the work is."""
    return f"{done} of {tasks} tasks done, {counter.primes} primes so far"


def run(inputs: dict[str, Any], tracer: core.Tracer) -> dict[int, int]:
    """Count the gaps; how often each occurs, by gap."""
    start, end, tasks = parse(inputs)
    ranges = list(segments(start, end, tasks))
    counter = GapCounter(end)
    tracer.debug_sync(f"looking for primes from {start} to {end} in {len(ranges)} tasks")
    for done, (low, high) in enumerate(ranges, start=1):
        counter.add(low, high)
        if done * REPORTS // len(ranges) > (done - 1) * REPORTS // len(ranges):
            tracer.debug_sync(progress(done, len(ranges), counter))
    tracer.result_sync({"primes": counter.primes, "gaps": len(counter.distribution())})
    return counter.distribution()


async def run_async(inputs: dict[str, Any], tracer: core.Tracer) -> dict[int, int]:
    """The same without holding up the event loop."""
    start, end, tasks = parse(inputs)
    ranges = list(segments(start, end, tasks))
    counter = GapCounter(end)
    await tracer.debug(f"looking for primes from {start} to {end} in {len(ranges)} tasks")
    for done, (low, high) in enumerate(ranges, start=1):
        await asyncio.to_thread(counter.add, low, high)
        if done * REPORTS // len(ranges) > (done - 1) * REPORTS // len(ranges):
            await tracer.debug(progress(done, len(ranges), counter))
    await tracer.result({"primes": counter.primes, "gaps": len(counter.distribution())})
    return counter.distribution()


@app.enter(
    path="/",
    model=prime_model,
    summary="Prime Gap Distribution",
    description="This agent creates a prime gap distribution for a given range of numbers.",
    version="0.1.0",
    author="author@example.com",
    organization="House of Communication",
    tags=["Test"],
)
async def enter(request: fastapi.Request, inputs: dict[str, Any]) -> core.Launch:
    """Start `run`, which checks the numbers itself: a bad one fails the job."""
    return core.Launch(request, "examples.prime.app:run", inputs=inputs)


@app.enter(
    path="/async",
    model=prime_model,
    summary="Prime Gap Distribution (async)",
    description=(
        "This agent creates a prime gap distribution for a given range of numbers. "
        "This version implements the async pattern."
    ),
    version="0.1.0",
    author="author@example.com",
    organization="House of Communication",
    tags=["Test"],
)
async def enter_async(request: fastapi.Request, inputs: dict[str, Any]) -> core.Launch:
    """Start `run_async`."""
    return core.Launch(request, "examples.prime.app:run_async", inputs=inputs)


@serve.deployment
@serve.ingress(app)
class PrimeDistribution:
    """What Ray Serve deploys."""


fast_app = PrimeDistribution.bind()  # type: ignore[attr-defined]  # what the decorators add
