"""Runs an entry point: what a job's process does.

Functions get `inputs` and `tracer` by the names of their parameters, either may be absent.  Crews are objects with
`kickoff`, or classes with `is_crew_class` (CrewAI's `@CrewBase`) whose `crew()` makes one; CrewAI itself is not needed
to recognise them.  A function that declares its inputs (`agentmesh._app.declare`) gets them made from the job's, and
the validators of its author run before it.
"""

import asyncio
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel

from agentmesh._app import entry
from agentmesh._app.declare import declared_by
from agentmesh._app.inject import by_name
from agentmesh._job.forked import call_once
from agentmesh._job.results import result_json
from agentmesh._values.serialize import plain, serialize
from agentmesh.errors import KodosumiError
from agentmesh.tracer import Tracer

_ITEMS_FEW = 100
_CHARS_FEW = 10_000


async def execute(entry_point: str, inputs: Any, tracer: Tracer, assignment: Any = None) -> str:
    """Run the flow and return its result as typed JSON.  Raises what the flow raises.

    The engine's flow gets the `assignment` as well: what it was handed, as it came.

    A function that is not `async` runs in a thread; if this call is cancelled the thread goes on, so end the process.
    """
    tracer.enter()
    try:
        return await _execute(entry_point, inputs, tracer, {} if assignment is None else {"assignment": assignment})
    finally:
        tracer.finish()


async def _execute(entry_point: str, inputs: Any, tracer: Tracer, more: Mapping[str, Any]) -> str:
    target = entry.resolve(entry_point)
    declared = declared_by(target)
    tracer.park_s = None if declared is None else declared.park_after_s
    if getattr(target, "is_crew_class", False):
        target = await _call(_crew_of(target))
    if callable(getattr(target, "kickoff", None)):
        result = await _kickoff(target, inputs, tracer)
    elif callable(target):
        given = inputs if declared is None else declared.build(inputs)
        try:
            run = by_name(target, inputs=given, tracer=tracer, **more)
        except TypeError as error:
            raise KodosumiError(f"entry point {entry_point}: {error}") from None
        result = await _call(run, target, tracer)
        if declared is not None:
            declared.check_result(_name(entry_point), result)
    else:
        raise KodosumiError(
            f"entry point {entry_point} is {type(target).__name__}: name a function, or a crew with `kickoff`"
        )
    tracer.check_steps()
    name = _name(entry_point)
    if _is_small(result):
        return result_json(name, result, is_declared=declared is not None)
    return await asyncio.to_thread(result_json, name, result, is_declared=declared is not None)


def _name(entry_point: str) -> str:
    """Return what the author calls what an entry point names."""
    return entry.normalise(entry_point).partition(":")[2]


def _is_small(result: Any) -> bool:
    """Return whether `result` is made into JSON faster than a thread that does it is started."""
    if isinstance(result, dict):
        return len(result) <= _ITEMS_FEW and all(map(_is_short, result.values()))
    if isinstance(result, list | tuple):
        return len(result) <= _ITEMS_FEW and all(map(_is_short, result))
    return _is_short(result) or (isinstance(result, BaseModel) and all(map(_is_short, vars(result).values())))


def _is_short(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float) or (type(value) is str and len(value) <= _CHARS_FEW)


async def _call(run: Callable[[], Any], target: Any = None, tracer: Tracer | None = None) -> Any:
    """Call on this loop if it is a coroutine function, else in a thread; await what it may return."""
    if inspect.iscoroutinefunction(target) or inspect.iscoroutinefunction(getattr(target, "__call__", None)):  # noqa: B004
        return await run()
    result = await asyncio.to_thread(_in_a_thread, run, tracer)
    return await result if inspect.isawaitable(result) else result


def _in_a_thread(run: Callable[[], Any], tracer: Tracer | None) -> Any:
    """Call a flow; what it forks ends here."""
    if tracer is not None:
        tracer.enter()
    try:
        return call_once(run)
    except StopIteration as error:  # a future cannot hold it: asyncio would hang
        raise RuntimeError("the flow raised StopIteration") from error


def _crew_of(target: Any) -> Callable[[], Any]:
    def make() -> Any:
        base: Any = target() if inspect.isclass(target) else target
        crew = base.crew
        return crew() if callable(crew) else crew

    return make


async def _kickoff(crew: Any, inputs: Any, tracer: Tracer) -> Any:
    """Run a crew: its steps become `action` events, its tasks' outputs `result` events (spec: kodosumi §9)."""
    _announce(crew, tracer)
    _listen(crew, "step_callback", tracer.action_sync)
    _listen(crew, "task_callback", tracer.result_sync)

    def run() -> Any:
        return crew.kickoff(inputs=inputs)

    return await _call(run, crew.kickoff)


def _listen(crew: Any, name: str, send: Callable[[Any], None]) -> None:
    """Add a callback to a crew; one that the author has set is called first."""
    own = getattr(crew, name, None)

    def callback(output: Any) -> Any:
        result = own(output) if callable(own) else None
        send(output)
        return result

    setattr(crew, name, callback)


def _announce(crew: Any, tracer: Tracer) -> None:
    """Send what the crew is made of, as `agent` events."""
    for agent in _list(crew, "agents"):
        told = {key: _said(agent, key) for key in ("role", "goal", "backstory")}
        tracer.emit("agent", serialize({"agent": {**told, "tools": _tools(agent)}}))
    for task in _list(crew, "tasks"):
        told = {key: _said(task, key) for key in ("name", "description", "expected_output")}
        worker = _said(getattr(task, "agent", None), "role")
        tracer.emit("agent", serialize({"task": {**told, "agent": worker, "tools": _tools(task)}}))


def _tools(owner: Any) -> list[dict[str, Any]]:
    return [{key: _said(tool, key) for key in ("name", "description")} for tool in _list(owner, "tools")]


def _list(owner: Any, name: str) -> list[Any]:
    found = getattr(owner, name, None)
    return list(found) if isinstance(found, list | tuple) else []


def _said(owner: Any, name: str) -> Any:
    value = owner.get(name) if isinstance(owner, Mapping) else getattr(owner, name, None)
    return plain(value)
