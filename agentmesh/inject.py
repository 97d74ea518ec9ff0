"""Calls an author's function with what it asks for by the names of its parameters."""

import inspect
from collections.abc import Callable
from typing import Any


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
            names = " and ".join(f"`{name}`" for name in offered)
            raise TypeError(
                f"{getattr(function, '__qualname__', function)} needs `{parameter.name}`, but only {names} are passed, "
                "by name: rename the parameter or give it a default"
            )
    return tuple(taken)


def by_name(function: Callable[..., Any], **offered: Any) -> Callable[[], Any]:
    """Return a call of `function` with those of `offered` it takes; raise `TypeError` if it needs anything else."""
    names = wanted(function, tuple(offered))
    return lambda: function(**{name: offered[name] for name in names})
