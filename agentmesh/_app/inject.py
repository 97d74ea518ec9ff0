"""Calls an author's function with what it asks for by the names of its parameters."""

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

_Function = TypeVar("_Function", bound=Callable[..., Any])


def wanted(function: Callable[..., Any], offered: tuple[str, ...]) -> tuple[str, ...]:
    """Return which of `offered` the function takes; raise `TypeError` if it needs anything else."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some callables of C have no signature
        return offered
    taken = []
    for parameter in parameters:
        if parameter.kind is parameter.VAR_KEYWORD:
            return offered
        if parameter.kind is parameter.VAR_POSITIONAL:
            continue
        if parameter.name in offered and parameter.kind is not parameter.POSITIONAL_ONLY:
            taken.append(parameter.name)
        elif parameter.default is parameter.empty:
            names = ", ".join(f"`{name}`" for name in offered[:-1]) + f" and `{offered[-1]}`"
            raise TypeError(
                f"{getattr(function, '__qualname__', function)} needs `{parameter.name}`, but only {names} are passed, "
                "by name: rename the parameter or give it a default"
            )
    return tuple(taken)


def by_name(function: Callable[..., Any], **offered: Any) -> Callable[[], Any]:
    """Return a call of `function` with those of `offered` it takes; raise `TypeError` if it needs anything else."""
    names = wanted(function, tuple(offered))
    return lambda: function(**{name: offered[name] for name in names})


def on_object(handler: _Function, servable: Callable[[], Any]) -> _Function:
    """Return a handler without its `self`, which is what `servable` returns when it is called; others as they are.

    A deployment's class declares its handlers before there is an object of it.
    """
    if not inspect.isfunction(handler):
        return handler
    signature = inspect.signature(handler)
    first, *others = signature.parameters.values() or (None,)
    if first is None or first.name != "self":
        return handler

    @functools.wraps(handler)
    def method(*args: Any, **kwargs: Any) -> Any:
        return handler(servable(), *args, **kwargs)

    @functools.wraps(handler)
    async def coroutine_method(*args: Any, **kwargs: Any) -> Any:
        return await handler(servable(), *args, **kwargs)

    made: Any = coroutine_method if inspect.iscoroutinefunction(handler) else method
    made.__signature__ = signature.replace(parameters=others)
    return made  # type: ignore[no-any-return]


async def call(handler: Callable[..., Any], run: Callable[[], Any]) -> Any:
    """Call a handler on this loop if it is a coroutine function, else in a thread."""
    from starlette.concurrency import run_in_threadpool  # not before a server needs it

    function = handler.func if isinstance(handler, functools.partial) else handler
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None)):  # noqa: B004
        return await run()
    result = await run_in_threadpool(run)
    return await result if isinstance(result, Awaitable) else result
