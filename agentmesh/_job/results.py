"""What a flow returns, as the job's result: what can be looked at, or an error that says what to return instead."""

import inspect
import types
from collections.abc import Collection, Mapping
from typing import Any

from agentmesh._values.rich import CannotShow
from agentmesh._values.serialize import plain, scalar_of, serialize
from agentmesh.errors import KodosumiError

ADVICE = (
    "return text, a number, a list, a dict, a dataclass, a pydantic model, a data frame, an image, a figure or "
    "Markdown(...)"
)
_OPAQUE = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.MethodType)


def result_json(name: str, value: Any, *, is_declared: bool) -> str:
    """Return what the flow `name` has returned as typed JSON.

    A flow that declares its inputs gets dates, sets and the like as plain values, and no result without anything to
    see; others get them as kodosumi has it.  Raises `KodosumiError` for what is no result.
    """
    _refuse_unfinished(name, value)
    if isinstance(value, _OPAQUE):
        raise CannotShow(f"{name} returned a {type(value).__name__}, which cannot be shown: {ADVICE}")
    if is_declared and value is not None:
        value = _plainly(value)
    text = serialize(value, strict=True)
    if is_declared and value is not None and text.startswith('{"TypeError":'):
        raise CannotShow(f"{name} returned a {type(value).__name__}, which cannot be shown: {ADVICE}")
    return text


def _refuse_unfinished(name: str, value: Any) -> None:
    if inspect.isgenerator(value) or inspect.isasyncgen(value):
        kind = "a generator" if inspect.isgenerator(value) else "an async generator"
        raise KodosumiError(
            f"{name} returned {kind}, not a result: send interim results with `tracer.result(...)`, `return` the last"
        )
    if inspect.iscoroutine(value):
        value.close()  # or Python would complain later that it was never awaited
    if inspect.isawaitable(value):
        raise KodosumiError(f"{name} returned a {type(value).__name__}, not a result: an `await` is missing before it")


def _plainly(value: Any) -> Any:
    """Return a date, a decimal, a set or a range as text, number or list."""
    if isinstance(value, bytes | bytearray | memoryview):
        return value  # perhaps an image
    found = scalar_of(value)
    if found is not value or isinstance(value, str | list | tuple | Mapping):
        return found
    is_own = type(value).__module__ in ("builtins", "collections")
    return plain(value) if is_own and isinstance(value, Collection) else value
