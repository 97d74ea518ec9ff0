"""Crews as people write them: what cannot be read is named by its entry."""

import pytest

from agentmesh.client import CrewPlan, InvalidInputs, Model


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "crew"),
        ("[1]", "crew"),
        ("a: [", "crew"),
        ("agents: {}", "name"),
        ("name: ''", "name"),
        ("{name: a, color: red}", "color"),
        ("{name: a, agents: []}", "agents"),
        ("{name: a, agents: {b: c}}", "agents.b"),
        ("{name: a, agents: {b: {gaol: x}}}", "agents.b.gaol"),
        ("{name: a, agents: {b: {use: x, goal: y}}}", "agents.b"),
        ("{name: a, agents: {b: {model: 1}}}", "agents.b.model"),
        ("{name: a, agents: {b: {model: {model: x}}}}", "agents.b.model"),
        ("{name: a, agents: {b: {api_key: '${NONE}'}}}", "agents.b.api_key"),
        ("{name: a, tasks: {b: {description: x, agent: c}}}", "tasks.b.agent"),
        ("{name: a, tasks: {b: {description: x, depends_on: [c]}}}", "tasks.b.depends_on"),
        ("{name: a, tasks: {b: {name: x}, c: {name: x}}}", "tasks"),
        ("name: a\nagents: {1: {}}", "agents"),
    ],
)
def test_what_cannot_be_read_is_named(text: str, where: str) -> None:
    """By its place in the file."""
    with pytest.raises(InvalidInputs) as caught:
        CrewPlan.parse(text, {})

    assert list(caught.value.fields) == [where]


def test_a_plan_is_read_whole() -> None:
    """Keys in order, models in both spellings, variables in keys only."""
    plan = CrewPlan.parse(
        "{name: C, memory: true, agents: {a: {model: openai/gpt-4o, api_key: 'x-${K}', goal: '${K}'}}, tasks: {}}",
        {"K": "key"},
    )

    assert plan.name == "C"
    assert plan.crew == {"memory": True}
    assert plan.agents["a"] == {
        "display_name": "a",
        "model": Model(provider="openai", model="gpt-4o"),
        "api_key": "x-key",
        "goal": "${K}",
    }


@pytest.mark.parametrize(
    ("llm", "model"),
    [
        ("openai/gpt-4o", Model(provider="openai", model="gpt-4o")),
        ("gpt-4o-mini", Model(provider="openai", model="gpt-4o-mini")),
        ("claude-sonnet-4", Model(provider="anthropic", model="claude-sonnet-4")),
        ("ollama/llama3:8b", Model(provider="ollama", model="llama3:8b")),
    ],
)
def test_crewai_names_models_in_its_own_way(llm: str, model: Model) -> None:
    """With their provider, or by a name that says whose they are."""
    plan = CrewPlan.parse_crewai("C", f"a: {{role: r, llm: {llm}}}\nb: {{role: r}}", "")

    assert plan.agents["a"]["model"] == model
    assert plan.agents["b"]["model"] == Model(provider="offline")
