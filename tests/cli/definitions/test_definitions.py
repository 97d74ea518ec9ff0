"""`agentmesh agents|crews|tools`, and a crew that is applied again and again."""

import json
import pathlib
from typing import Any

from agentmesh.client import CrewPlan, Model
from agentmesh.testing import Mesh
from tests.cli.conftest import Cli

CREW = """
name: Marketing
process: hierarchical
manager: offline
agents:
  researcher:
    role: Researcher
    model: offline
    tools: [web_search]
  writer:
    role: Writer
    model: {provider: offline, temperature: 0.5}
    api_key: ${WRITER_KEY}
tasks:
  research:
    description: Research {topic}
    agent: researcher
  write:
    description: Write it up
    agent: writer
    depends_on: [research]
"""
CREWAI_AGENTS = """
researcher:
  role: >
    {topic} Senior Data Researcher
  goal: >
    Uncover what is new in {topic}
  backstory: >
    You find things.
  llm: openai/gpt-4o
  verbose: true
analyst:
  role: Analyst
  goal: Report
  backstory: You write.
"""
CREWAI_TASKS = """
research_task:
  description: >
    Research {topic}
  expected_output: >
    Ten points
  agent: researcher
reporting_task:
  description: Report
  expected_output: A report
  agent: analyst
  context: [research_task]
  output_file: report.md
"""


def lines(text: str) -> list[Any]:
    """Return JSON lines."""
    return [json.loads(line) for line in text.splitlines()]


def test_an_agent_from_the_command_line(cli: Cli) -> None:
    """Created, listed, shown, changed, archived and brought back; a wrong value names its field."""
    created = cli("agents", "create", "Atlas CLI", "--role", "Coder", "--api-key", "sk-canary", "--json")
    agent = json.loads(created.out)
    updated = cli("agents", "update", "atlas-cli", "--model", "openai/gpt-4o", "--tool", "calculator")
    shown = cli("agents", "show", "atlas-cli")
    listed = cli("agents", "list")
    wrong = cli("agents", "update", "atlas-cli", "--state", "asleep")
    nothing = cli("agents", "update", "atlas-cli")
    deleted = cli("agents", "delete", "atlas-cli")
    gone = cli("agents", "show", "atlas-cli")
    back = cli("agents", "undelete", agent["name"])

    assert ("atlas-cli", "draft", True) == (agent["slug"], agent["state"], agent["has_api_key"])
    assert (0, f"{agent['name']} updated, active\n") == (updated.code, updated.out)
    assert {"role: Coder", "model: openai/gpt-4o", "tools: tools/calculator"} <= set(shown.out.splitlines())
    assert any(line.startswith("atlas-cli\tactive\topenai/gpt-4o\t") for line in listed.out.splitlines())
    assert 2 == wrong.code
    assert "draft, active, paused" in wrong.err
    assert (2, 0, 2, 0) == (nothing.code, deleted.code, gone.code, back.code)
    assert "canary" not in created.out + shown.out + listed.out


def test_a_tool_from_the_command_line(cli: Cli) -> None:
    """Created with a token, switched off, and archived; one nearby is refused."""
    created = cli("tools", "create", "lookup_cli", "https://example.com/x", "--token", "canary", "--json")
    off = cli("tools", "update", "lookup_cli", "--off")
    listed = cli("tools", "list")
    near = cli("tools", "create", "near", "http://127.0.0.1:1/")
    deleted = cli("tools", "delete", "lookup_cli")

    tool = json.loads(created.out)
    assert ("http", "bearer", True, True) == (tool["kind"], tool["auth"], tool["has_auth_token"], tool["enabled"])
    assert (0, 0) == (off.code, deleted.code)
    assert "lookup_cli\thttp\t\toff\thttps://example.com/x" in listed.out.splitlines()
    assert "calculator" in listed.out
    assert 2 == near.code
    assert "not a public address" in near.err
    assert "canary" not in created.out


def test_a_crew_is_applied_until_it_is_as_written(cli: Cli, tmp_path: pathlib.Path) -> None:
    """New at first; then unchanged but for what has a key; then as it is written now."""
    file = tmp_path / "crew.yaml"
    file.write_text(CREW)
    missing = cli("crews", "apply", str(file))
    first = lines(cli("crews", "apply", str(file), "--json", WRITER_KEY="sk-1").out)
    file.write_text(CREW.replace("    api_key: ${WRITER_KEY}\n", ""))
    second = lines(cli("crews", "apply", str(file), "--json").out)
    text = file.read_text().replace("Research {topic}", "Look up {topic}")
    text = text.replace("  write:", "  outline:\n    description: Outline\n    depends_on: [research]\n  write:")
    file.write_text(
        text.replace("depends_on: [research]\n", "depends_on: [outline]\n").replace(
            "description: Outline\n    depends_on: [outline]", "description: Outline\n    depends_on: [research]"
        )
    )
    third = lines(cli("crews", "apply", str(file), "--json").out)
    fourth = lines(cli("crews", "apply", str(file), "--json").out)
    shown = lines(cli("crews", "show", first[0]["name"], "--json").out)

    assert 2 == missing.code
    assert "WRITER_KEY" in missing.err
    assert ["created"] * 5 == [step["action"] for step in first]
    assert ["unchanged"] * 5 == [step["action"] for step in second]
    assert {step["name"] for step in first} == {step["name"] for step in second}
    assert ["unchanged"] * 3 + ["deleted", "updated", "created", "created"] == [step["action"] for step in third]
    assert ["unchanged"] * 6 == [step["action"] for step in fourth]
    crew, research, outline, write = shown
    assert ("hierarchical", "active", 2) == (crew["process"], crew["state"], len(crew["agents"]))
    assert ("Look up {topic}", [], [research["name"]], [outline["name"]]) == (
        research["description"],
        research["depends_on"],
        outline["depends_on"],
        write["depends_on"],
    )


def test_crewai_files_become_a_crew(cli: Cli, tmp_path: pathlib.Path) -> None:
    """Twice the same; what only its Python knows is told on stderr."""
    (tmp_path / "agents.yaml").write_text(CREWAI_AGENTS)
    (tmp_path / "tasks.yaml").write_text(CREWAI_TASKS)
    files = ("--agents", str(tmp_path / "agents.yaml"), "--tasks", str(tmp_path / "tasks.yaml"))
    first = cli("crews", "import", *files, "--name", "From CrewAI", "--json")
    second = cli("crews", "import", *files, "--name", "From CrewAI", "--json")
    _, research, report = lines(cli("crews", "show", lines(first.out)[0]["name"], "--json").out)
    agent = json.loads(cli("agents", "show", research["agent"], "--json").out)

    assert ["created"] * 5 == [step["action"] for step in lines(first.out)]
    assert ["unchanged"] * 5 == [step["action"] for step in lines(second.out)]
    assert [
        "left out: agents.researcher.verbose",
        "left out: tasks.reporting_task.output_file",
    ] == first.err.splitlines()
    assert ("{topic} Senior Data Researcher", "openai", "gpt-4o") == (
        agent["role"],
        agent["model"]["provider"],
        agent["model"]["model"],
    )
    assert [research["name"]] == report["depends_on"]


def test_the_client_without_asyncio(cli_mesh: Mesh) -> None:
    """Every collection has the same methods; a plan reorders tasks, swaps an agent for one that is there, and back."""
    client = cli_mesh.client
    agent = client.agents.create(display_name="Sync", model="offline", memory=True, labels={"a": "b"})
    crew = client.crews.create(display_name="Sync", agents=[agent.slug])
    task = client.tasks.create(agent=agent.name, description="Do it")
    changed = client.tasks.update(task.name, expected_output="x", etag=task.etag)
    updated = client.crews.update(crew.name, memory=True)
    paused = client.agents.update("sync", state="paused", model=Model(provider="ollama", endpoint="http://e/v1"))
    tool = client.tools.create(display_name="sync_tool", kind="mcp", endpoint="https://example.com/mcp")
    plan = CrewPlan.parse(
        "name: Plan\nagents: {a: {model: offline}, b: {use: sync}}\ntasks:\n"
        "  one: {description: 1, agent: a}\n  two: {description: '2', agent: b}\n".replace(
            "description: 1", "description: '1'"
        )
    )
    client.apply(plan)
    swapped = CrewPlan.parse(
        "name: Plan\nagents: {b: {use: sync}}\ntasks:\n"
        "  two: {description: '2', agent: b}\n  one: {description: '1', agent: b}\n"
    )
    steps = client.apply(swapped)
    planned = next(one for one in client.crews.list() if one.display_name == "Plan")

    assert (True, {"a": "b"}, "active") == (agent.memory, agent.labels, agent.state)
    assert (crew.name, "x") == (changed.crew, changed.expected_output)
    assert updated.memory
    assert ("paused", "http://e/v1", "ollama") == (
        paused.state,
        paused.model and paused.model.endpoint,
        str(paused.model),
    )
    assert tool == client.tools.get("sync_tool")
    assert [agent.name] == list(planned.agents)
    assert ["two", "one"] == [each.display_name for each in client.tasks.list(planned.name)]
    assert "updated" == steps[0].action
    assert client.tools.update("sync_tool", enabled=False).enabled is False
    for deleted in (client.tasks.delete(task.name), client.tools.delete(tool.name), client.crews.delete(crew.name)):
        assert deleted.delete_time is not None
    assert "archived" == client.agents.delete(agent.name).state
    assert "paused" == client.agents.undelete(agent.name).state
    assert client.crews.get(crew.name).delete_time is not None
    assert client.tasks.get(task.name).delete_time is not None
    assert tool.name in [each.name for each in client.tools.list(deleted=True)]
    assert agent.name in [each.name for each in client.agents.list()]


def test_agents_and_crews_are_run_by_their_names(cli: Cli, tmp_path: pathlib.Path) -> None:
    """As flows are; a job says what was asked for, and what is wrong is told by its name."""
    made = cli("agents", "create", "Counter", "--slug", "counter", "--model", "offline", "-t", "calculator", "--json")
    file = tmp_path / "crew.yaml"
    file.write_text("name: Two\nagents: {a: {use: counter}}\ntasks: {t: {description: Do, agent: a}}")
    crew = lines(cli("crews", "apply", str(file), "--json").out)[0]["name"]

    counted = cli("run", "agents/counter", "--prompt", "use the calculator on 6*7")
    together = cli("run", "--detach", "crews/TWO")
    watched = cli("watch", together.out.strip())
    listed = cli("jobs")
    unknown = cli("run", "agents/nobody", "--prompt", "x")
    empty = cli("run", "agents/counter")
    short = cli("run", "two")
    theirs = cli("run", "--detach", "crews/TWO", "--deadline", "friday", "--retries", "none")

    assert (0, True) == (counted.code, "42" in counted.out), counted.err
    assert (0, 0) == (together.code, watched.code), watched.err
    assert {json.loads(made.out)["name"], crew} <= {line.split("\t")[1] for line in listed.out.splitlines()}
    assert (2, 2) == (unknown.code, empty.code)
    assert "agents/nobody" in unknown.err
    assert "did you mean crews/two" in short.err
    assert 0 == theirs.code, theirs.err  # a crew's tasks may name any input
    assert "prompt" in empty.err
