"""What every app does when it is loaded, done once in the nursery, before the first fork.

What a first time leaves in memory is then there for all hosts to share; and code that has run often is not written to
any more when a host runs it: Python adapts it in place, and a page that is written to is shared no longer.  Nothing
here may start a thread or gRPC: a fork would find neither.
"""

import asyncio
import contextlib
from typing import Any

import pydantic
import uvloop
from starlette.requests import Request

from agentmesh import Launch, ServeAPI, Tracer, compat, forms
from agentmesh._app import loading
from agentmesh.host.app import asgi

_TIMES = 20
"""After eight runs Python begins to adapt a function, and after some more it has."""


def rehearse() -> None:
    """Make, list and open a small app again and again, and forget it."""
    with contextlib.suppress(ValueError):  # the load of an app says what is wrong
        compat.install()
    for _ in range(_TIMES):
        app = _app()
        loading.flows_of(app)
        asyncio.run(_open(app))
        uvloop.run(asyncio.sleep(0))


def _app() -> ServeAPI:
    app = ServeAPI()
    form = forms.Model(forms.InputText("name", "Name"), forms.Submit("Go"))

    @app.enter("/", model=form, summary="Rehearsal", description="Is not served.", tags=["rehearsal"])
    async def enter(inputs: dict[str, Any], request: Request) -> Launch:
        return Launch(request, _flow, inputs=inputs)

    class Made(pydantic.BaseModel):
        """As an app makes its own."""

        name: str = pydantic.Field(default="", title="Name", max_length=10, json_schema_extra={"multiline": True})
        count: int = 1

    _declared.__annotations__["inputs"] = Made
    app.flow("/declared", summary="Rehearsal", description="Is not served.", tags=["rehearsal"])(_declared)
    return app


async def _declared(inputs: Any, tracer: Tracer) -> dict[str, Any]:
    return {"name": inputs.name}


async def _flow(inputs: dict[str, Any], tracer: Tracer) -> None:
    await tracer.debug("rehearsal")


async def _open(app: ServeAPI) -> None:
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(asgi.lifespan(app))
