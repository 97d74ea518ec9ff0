"""A graph of LangGraph, whose nodes are followed."""

APP = '''\
"""A graph of LangGraph: each node that is done is told, and the last state is the result."""

from typing import TypedDict

import pydantic
from langgraph.graph import END, START, StateGraph

from agentmesh import Markdown, ServeAPI, Tracer

app = ServeAPI()


class State(TypedDict, total=False):
    """What the nodes hand on."""

    topic: str
    outline: str
    text: str


def plan(state: State) -> State:
    """Outline it; put your model here."""
    return {"outline": f"where {state['topic']} begins, how it ends"}


def write(state: State) -> State:
    """Write it."""
    return {"text": "\\n".join(f"- {part}" for part in state["outline"].split(", "))}


graph = StateGraph(State)
graph.add_node("plan", plan)
graph.add_node("write", write)
graph.add_edge(START, "plan")
graph.add_edge("plan", "write")
graph.add_edge("write", END)
compiled = graph.compile()


class Asked(pydantic.BaseModel):
    """What it shall be about."""

    topic: str = pydantic.Field(min_length=1)


@app.flow("/", summary="Graph", description="Two nodes write.", tags=["Demo"])
async def run(inputs: Asked, tracer: Tracer) -> Markdown:
    """Follow the graph."""
    text = ""
    async for update in compiled.astream({"topic": inputs.topic}, stream_mode="updates"):
        for node, said in update.items():
            await tracer.action({"node": node, **said})
            text = said.get("text", text)
    return Markdown(text)
'''

TEST = '''\
"""The flow runs without a mesh."""

import asyncio

from agentmesh import TracerMock

from app import Asked, run


def test_both_nodes_work() -> None:
    assert "- where the sea begins" in asyncio.run(run(Asked(topic="the sea"), TracerMock())).body
'''
