"""Flows for the tests of the SDK: an app, and entry points of every kind."""

import asyncio
import threading
from typing import Any

from starlette.requests import Request

from agentmesh import InputsError, KodosumiError, Launch, Markdown, ServeAPI, Tracer, forms

app = ServeAPI()


async def run(inputs: dict[str, Any], tracer: Tracer) -> Markdown:
    """Say hello."""
    await tracer.debug("running")
    return Markdown(f"Hello **{inputs['name']}**")


async def only_tracer(tracer: Tracer) -> str:
    """Take no inputs."""
    return tracer.fid


def only_inputs(inputs: dict[str, Any]) -> dict[str, Any]:
    """Take no tracer; say which thread it is in."""
    return {**inputs, "main": threading.current_thread() is threading.main_thread()}


def nothing() -> None:
    """Take nothing and return nothing."""


def anything(**given: Any) -> list[str]:
    """Take whatever there is."""
    return sorted(given)


def too_much(inputs: dict[str, Any], database: Any) -> None:
    """Need what nobody passes."""


def stops() -> None:
    """Raise what a future cannot hold."""
    raise StopIteration("ended")


def deferred(inputs: dict[str, Any]) -> Any:
    """Return something to be awaited."""
    return asyncio.sleep(0, result=inputs["name"])


def broken() -> None:
    """Fail in the author's way."""
    raise KodosumiError("no credit left\nbuy some")


class Callable:
    """An object that is called."""

    async def __call__(self, inputs: dict[str, Any]) -> str:
        """Return a name."""
        return str(inputs["name"])

    @staticmethod
    def method() -> str:
        """Be found below a class."""
        return "method"


instance = Callable()
number = 42

MODEL = forms.Model(
    forms.InputText("name", "Name", required=True),
    forms.InputNumber("age", "Age", value=20, min_value=18),
    forms.Checkbox("news", "Send news", "News", value=True),
    forms.Select("plan", [forms.InputOption("free"), forms.InputOption("pro")], "Plan", value="free"),
    forms.Errors(),
    forms.Submit("Go"),
    forms.Cancel("Cancel"),
)

seen: dict[str, Any] = {}
"""What the last handler got."""


@app.enter(
    "/",
    model=MODEL,
    summary="Hello",
    description="Says hello.",
    tags=["b", "a"],
    author="me@example.com",
    version="1.0",
)
async def enter(inputs: dict[str, Any], request: Request) -> Launch:
    """Launch whatever is asked for."""
    seen.update(inputs=inputs, user=request.state.user, prefix=request.state.prefix)
    name = inputs.get("name")
    if name == "refused":
        raise InputsError("Not today.", name="We know you.")
    if name == "crash":
        raise RuntimeError("cannot open /usr/lib/secret.txt")
    if name == "nothing":
        return None  # type: ignore[return-value]  # what a careless author does
    if name == "twice":
        Launch(request, run, inputs=inputs)
    return Launch(request, run, inputs=inputs, extra={"note": 1} if name == "extra" else None)


@app.enter("/sync/", model=MODEL)
def enter_sync(inputs: dict[str, Any], request: Request) -> Launch:
    """Launch from a thread, on a path with a slash."""
    seen.update(thread=threading.current_thread() is threading.main_thread())
    return Launch(request, "tests.sdk.flows.only_inputs", inputs=inputs, summary="Other", description="Different.")


@app.enter("/strict", model=MODEL, organization="House", deprecated=False)
async def enter_strict(inputs: dict[str, Any], request: Request) -> Launch:
    """Stumble over a name that is missing."""
    assert inputs["name"].strip()
    return Launch(request, run, inputs=inputs)


@app.post("/raw", entry=True, summary="Raw", author="you", tags=["c"])
async def raw(request: Request) -> Launch:
    """Launch from a route of plain FastAPI."""
    return Launch(request, run, inputs={"name": "raw"})


@app.get("/failing")
async def failing() -> None:
    """Fail in a route of plain FastAPI."""
    raise KodosumiError("out of order")


@app.lock("ask")
async def lock_ask(data: dict[str, Any]) -> forms.Model:
    """Ask a human."""
    return forms.Model(forms.Markdown(str(data)), forms.Submit("ok"))


@app.lease("ask")
async def lease_ask(inputs: dict[str, Any]) -> dict[str, Any]:
    """Take the answer."""
    return inputs
