"""The hymn example: its text model and its crew."""

from typing import Any

import pytest

from examples.hymn.crew import Agent, AgentFinish, Crew, Task, TaskOutput
from examples.hymn.model import HYMNS, GrammarModel


def test_the_same_prompt_gives_the_same_text() -> None:
    """The text depends on the prompt and on nothing else."""
    assert HYMNS.complete("p", "hymn", topic="hens") == HYMNS.complete("p", "hymn", topic="hens")
    assert len({HYMNS.complete(str(number), "hymn", topic="hens") for number in range(50)}) > 10


def test_every_symbol_of_the_grammar_has_rules() -> None:
    """No prompt runs into a symbol that does not exist or leaves one behind."""
    for number in range(500):
        text = HYMNS.complete(str(number), "hymn", topic="hens") + HYMNS.complete(str(number), "outline", topic="hens")
        assert "<" not in text


def test_a_topic_is_never_expanded() -> None:
    """What the user writes is put in as it is, even if it looks like a symbol."""
    assert GrammarModel({"a": ["x <topic> y"]}).complete("p", "a", topic="<a>") == "x <a> y"


def test_endless_rules_are_refused() -> None:
    """A grammar that never ends is an error, not a hang."""
    with pytest.raises(RecursionError, match="<a> never end"):
        GrammarModel({"a": ["<a>"]}).complete("p", "a")


def test_a_crew_hands_each_text_on_and_tells_its_callbacks() -> None:
    """A task gets the text of the one before; steps and tasks are reported in order."""
    agent = Agent(role="R", goal="G", backstory="B")

    def work(description: str, inputs: dict[str, Any], context: str) -> str:
        return f"{context}[{description}]"

    tasks = [
        Task(name=name, description=name + " {topic}", expected_output="", agent=agent, work=work) for name in "ab"
    ]
    seen: list[Any] = []
    crew = Crew(agents=[agent], tasks=tasks, step_callback=seen.append, task_callback=seen.append)
    output = crew.kickoff({"topic": "hens"})
    assert output.raw == "[a hens][b hens]"
    assert [type(item) for item in seen] == [AgentFinish, TaskOutput, AgentFinish, TaskOutput]
    assert [item.raw for item in output.tasks_output] == ["[a hens]", "[a hens][b hens]"]
