"""An app that says whatever it is told to, in words that are not its own."""

from typing import Any

import pydantic

from agentmesh import ServeAPI, Tracer

app = ServeAPI()


class Lies(pydantic.BaseModel):
    """What to say."""

    kinds: list[str]
    payload: str


async def forge(inputs: Lies, tracer: Tracer) -> Any:
    """Send an event of each kind, and go on."""
    for kind in inputs.kinds:
        tracer.emit(kind, inputs.payload)
    await tracer.debug("and goes on")


app.flow("/alone", isolation="process")(forge)
app.flow("/shared", isolation="shared")(forge)


@app.flow("/flood", isolation="process")
async def flood(tracer: Tracer) -> None:
    """Say ten kilobytes, again and again."""
    while True:
        await tracer.debug("x" * 10_000)
