"""What a job's process runs."""

import json
from typing import Any

import pytest

from agentmesh import KodosumiError, Tracer
from agentmesh._job.execution import execute
from tests.sdk import crews


async def run(name: str, inputs: Any = None) -> tuple[Any, list[tuple[str, Any]]]:
    """Run an entry point; return its result and its events, decoded."""
    events: list[tuple[str, str]] = []
    result = await execute(name, inputs or {}, Tracer("f1", lambda kind, payload: events.append((kind, payload))))
    return json.loads(result), [(kind, json.loads(text) if text[0] == "{" else text) for kind, text in events]


async def test_a_coroutine_function_gets_both() -> None:
    """Its result is typed JSON, its events come in order."""
    result, events = await run("tests.sdk.flows:run", {"name": "Ada"})

    assert {"Markdown": {"body": "Hello **Ada**"}} == result
    assert [("debug", "running")] == events


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("only_tracer", {"str": "f1"}),
        ("only_inputs", {"dict": {"name": "Ada", "main": False}}),
        ("nothing", {"TypeError": "None"}),
        ("anything", {"__list__": [{"str": "inputs"}, {"str": "tracer"}]}),
        ("deferred", {"str": "Ada"}),
        ("instance", {"str": "Ada"}),
        ("Callable.method", {"str": "method"}),
    ],
)
async def test_functions_get_what_they_name(name: str, result: dict[str, Any]) -> None:
    """Both are optional; functions that are not `async` run in a thread."""
    assert (result, []) == await run(f"tests.sdk.flows:{name}", {"name": "Ada"})


async def test_the_dotted_form_is_understood() -> None:
    """`pkg.mod.func` is `pkg.mod:func`."""
    assert ({"str": "f1"}, []) == await run("tests.sdk.flows.only_tracer")


async def test_a_flows_own_error_comes_through() -> None:
    """Whoever runs it decides what to show."""
    with pytest.raises(KodosumiError, match="no credit left\nbuy some"):
        await run("tests.sdk.flows:broken")
    with pytest.raises(RuntimeError, match="StopIteration"):
        await run("tests.sdk.flows:stops")


async def test_what_cannot_run_is_named() -> None:
    """A parameter nobody passes, and things that are no flow."""
    with pytest.raises(KodosumiError, match="too_much needs `database`, but only `inputs` and `tracer` are passed"):
        await run("tests.sdk.flows:too_much")
    with pytest.raises(KodosumiError, match="is int: name a function, or a crew"):
        await run("tests.sdk.flows:number")


async def test_a_crew_tells_what_it_does() -> None:
    """Its agents and tasks first, then steps as `action` and tasks' outputs as `result`."""
    result, events = await run("tests.sdk.crews:crew", {"topic": "hens"})

    tools = [{"name": "pen", "description": "writes"}]
    agent = {"role": "Writer", "goal": "write", "backstory": "wrote", "tools": tools}
    task = {"name": "hymn", "description": "Write.", "expected_output": "A hymn.", "agent": "Writer", "tools": []}
    assert {"CrewOutput": {"raw": "about hens"}} == result
    assert [
        ("agent", {"dict": {"agent": agent}}),
        ("agent", {"dict": {"task": task}}),
        ("action", {"Step": {"thought": "about hymn"}}),
        ("result", {"CrewOutput": {"raw": "A hymn."}}),
    ] == events


async def test_a_crew_class_makes_its_crew() -> None:
    """And a callback of the author's own is still called."""
    crews.heard.clear()

    result, events = await run("tests.sdk.crews:Team", {"topic": "ducks"})

    assert {"CrewOutput": {"raw": "about ducks"}} == result
    assert ["agent", "agent", "action", "result"] == [kind for kind, _ in events]
    assert [crews.Step(thought="about hymn")] == crews.heard


async def test_a_kickoff_may_be_async() -> None:
    """It is awaited on the loop."""
    assert ({"CrewOutput": {"raw": "async"}}, []) == await run("tests.sdk.crews:async_crew")
