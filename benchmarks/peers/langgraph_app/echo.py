"""What LangGraph runs for `make bench-peers`: a graph of one node, without a model, that returns what it is given."""

from typing import TypedDict

from langgraph.graph import END, START, StateGraph


class State(TypedDict):
    """What goes through the graph."""

    text: str


async def echo(state: State) -> State:
    """Return the text."""
    return {"text": state["text"]}


builder = StateGraph(State)
builder.add_node("echo", echo)
builder.add_edge(START, "echo")
builder.add_edge("echo", END)
graph = builder.compile()
