"""Flows whose paths have several segments, or no ASCII."""

from agentmesh import ServeAPI
from agentmesh.response import Text

app = ServeAPI()


@app.flow("/a/eins", summary="Deep A")
async def first() -> Text:
    """Say which it is."""
    return Text("a")


@app.flow("/b/eins", summary="Deep B")
async def second() -> Text:
    """Say which it is."""
    return Text("b")


@app.flow("/日本語", summary="Deep C")
async def third() -> Text:
    """Say which it is."""
    return Text("c")
