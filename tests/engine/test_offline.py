"""The rules of the offline model."""

from collections.abc import AsyncIterable
from typing import Any, Literal

import pydantic
import pytest
from pydantic_ai import Agent
from pydantic_ai.messages import ModelRequest, ToolCallPart, UserPromptPart
from pydantic_ai.toolsets import FunctionToolset

from agentmesh.engine import offline


def box(calls: list[Any]) -> FunctionToolset[None]:
    """Return three tools that note how they are called."""

    def calculator(expression: str) -> str:
        calls.append(("calculator", expression))
        return "42"

    def file_reader(name: str) -> str:
        calls.append(("file_reader", name))
        return "text"

    def fetch(url: str, times: int) -> str:
        calls.append(("fetch", url, times))
        return "page"

    return FunctionToolset([calculator, file_reader, fetch])


async def heard(context: Any, events: AsyncIterable[Any]) -> None:
    """Listen: with somebody who does, answers are streamed, as in the engine."""
    async for _ in events:
        pass


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("Use the calculator to compute 6*7.", [("calculator", "6*7")]),
        ('calculator({"expression": "1 + 1"}) please', [("calculator", "1 + 1")]),
        ("Calculator: (2 + 3) * 4", [("calculator", "(2 + 3) * 4")]),
        ("Ask the file reader for 'notes.txt'", [("file_reader", "notes.txt")]),
        ("file-reader on report.md", [("file_reader", "report.md")]),
        ("fetch https://example.com/a?b=c now", [("fetch", "https://example.com/a?b=c", 0)]),
        ("file_reader a.txt, then calculator 2+2", [("file_reader", "a.txt"), ("calculator", "2+2")]),
        ("calculators are prefetched", []),
        ("", []),
    ],
)
async def test_it_calls_the_tools_that_a_prompt_names(prompt: str, expected: list[Any]) -> None:
    """Each once, asked for in the order in which they are named, with arguments given or read off the prompt."""
    calls: list[Any] = []
    agent = Agent(offline.model(), toolsets=[box(calls)])

    result = await agent.run(prompt, event_stream_handler=heard)

    asked = [
        (part.tool_name, *part.args_as_dict().values())
        for message in result.new_messages()
        for part in message.parts
        if isinstance(part, ToolCallPart)
    ]
    assert expected == asked
    assert sorted(expected) == sorted(calls)  # tools of one turn run beside each other: no order is promised
    assert ("My tools returned:" in result.output) == bool(expected)


async def test_what_was_never_answered_is_not_asked_again() -> None:
    """As of a job that was cancelled in the midst of a conversation: the last message counts."""
    calls: list[Any] = []
    before = ModelRequest(parts=[UserPromptPart("calculator 1+1")])

    agent = Agent(offline.model(), toolsets=[box(calls)])
    result = await agent.run("Hello", message_history=[before], event_stream_handler=heard)

    assert [] == calls
    assert "You asked: Hello" in result.output


async def test_a_form_is_filled() -> None:
    """Yes, the option that is named first, and texts that say where they come from."""

    class Verdict(pydantic.BaseModel):
        accepted: bool
        who: Literal["Ada", "Bob", "Cyd"]
        count: int
        feedback: str

    agent = Agent(offline.model(), output_type=Verdict)
    first = (await agent.run("Shall Cyd or Bob do it?", event_stream_handler=heard)).output
    second = (await agent.run("Who?", event_stream_handler=heard)).output

    assert (True, "Cyd", 0) == (first.accepted, first.who, first.count)
    assert "Ada" == second.who
    assert first.feedback.startswith("[offline model]")


async def test_it_says_what_it_is() -> None:
    """The notice comes first; the instructions' first line and the prompt follow."""
    agent = Agent(offline.model("gpt-9", "[offline model] No key."), instructions="You are Ada.\nBe brief.")

    said = (await agent.run("Why?", event_stream_handler=heard)).output

    assert said.startswith("[offline model] No key.")
    assert "You are Ada." in said
    assert "Be brief." not in said
    assert "You asked: Why?" in said
