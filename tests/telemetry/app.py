"""A flow that tells of its steps."""

import pydantic

from agentmesh import ServeAPI, Tracer

app = ServeAPI()


class Wish(pydantic.BaseModel):
    """What the flow takes."""

    what: str = "bread"


@app.flow("/", summary="steps")
async def bake(inputs: Wish, tracer: Tracer) -> dict[str, str]:
    """Do two steps, the second within the first; a third fails."""
    with tracer.span("outer", size=3, what=inputs.what) as outer:
        with tracer.span("inner"):
            within = tracer.traceparent
        outer.set(rows=2)
    try:
        with tracer.span("failing"):
            raise LookupError("no such thing")
    except LookupError:
        pass
    return {"within": within, "outside": tracer.traceparent}
