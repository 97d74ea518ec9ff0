"""jKx knowledge graph: sentences in, a graph out.

The flow emits every sort of value a result may have (text, numbers, lists, models inside of models) and returns a
model of its own, so it shows how values are wrapped on the way into the log and unwrapped on the way out.
"""

from typing import Any

import fastapi

from agentmesh import InputsError, Launch, ServeAPI, Tracer
from agentmesh import forms as F
from agentmesh.response import Markdown
from examples.jkx.graph import KnowledgeGraph, build

TEXT_MAX = 20_000
SAMPLE = (
    "Ada Lovelace works with Charles Babbage. Charles Babbage designed the Analytical Engine. "
    "Ada Lovelace described the Analytical Engine. Ada Lovelace lives in London. "
    "The Analytical Engine uses punched cards."
)

app = ServeAPI()

graph_model = F.Model(
    F.Markdown("# jKx Knowledge Graph\nWrite sentences such as *Ada Lovelace works with Charles Babbage.*"),
    F.Break(),
    F.InputArea(label="Text", name="text", value=SAMPLE, rows=8, max_length=TEXT_MAX),
    F.Submit("Submit"),
    F.Cancel("Cancel"),
)


async def run(inputs: dict[str, Any], tracer: Tracer) -> KnowledgeGraph:
    """Build the graph, show parts of it, return it."""
    graph = build(str(inputs["text"]))
    await tracer.debug(f"{len(graph.nodes)} nodes, {len(graph.edges)} edges, {len(graph.skipped)} sentences skipped")
    await tracer.result(*graph.nodes)
    await tracer.result({"relations": sorted({edge.relation for edge in graph.edges})}, len(graph.edges), graph.skipped)
    await tracer.result(Markdown(arrows(graph)))
    return graph


def arrows(graph: KnowledgeGraph) -> str:
    """Return the edges as a Markdown list."""
    names = {node.id: node.name for node in graph.nodes}
    return "\n".join(f"- {names[edge.source]} → *{edge.relation}* → {names[edge.target]}" for edge in graph.edges)


@app.enter(
    path="/serve",
    model=graph_model,
    summary="jKx Knowledge Graph",
    description="Turns sentences into a knowledge graph.",
    version="0.1.0",
    author="author@example.com",
    organization="House of Communication",
    tags=["Test", "Graph"],
)
async def enter(request: fastapi.Request, inputs: dict[str, Any]) -> Launch:
    """Check the text, then start the flow."""
    text = str(inputs.get("text") or SAMPLE).strip()
    if len(text) > TEXT_MAX:
        raise InputsError(text=f"Text must have at most {TEXT_MAX} characters")
    return Launch(request, run, inputs={"text": text})


fast_app2 = app
