"""Entry points: the name of what a job runs, in a form that another process can find again.

`pkg.mod:name` and `pkg.mod.name` name a function, a coroutine function, a crew object or a crew class; after the colon
the name may be dotted (`pkg.mod:Class.method`).
"""

import functools
import importlib
import sys
import types
from collections.abc import Iterator
from typing import Any


def normalise(entry_point: str) -> str:
    """Return `entry_point` as `module:name`; raise `ValueError` if it is neither form."""
    text = entry_point.strip()
    module, colon, name = text.partition(":")
    if not colon:
        module, _, name = text.rpartition(".")
    parts = [*module.split("."), *name.split(".")]
    if not module or not name or not all(part.isidentifier() for part in parts):
        raise ValueError(
            f"entry point {entry_point!r} is not of the form 'package.module:function' or 'package.module.function'"
        )
    return f"{module}:{name}"


def resolve(entry_point: str) -> Any:
    """Import and return what `entry_point` names.

    Raises what the import raises, `ValueError` for a malformed name, `AttributeError` if the module lacks it.
    """
    module_name, _, name = normalise(entry_point).partition(":")
    # importlib, not attribute access: a package may re-export a name that hides its submodule.
    found: Any = importlib.import_module(module_name)
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise AttributeError(f"entry point {entry_point!r}: module {module_name} has no {name!r}") from None
    return found


def name_of(target: Any, near: str | None = None) -> str:
    """Return the entry point of an object: a string as it is, else where the object is found.

    `near` is the module to look into first.  Raises `ValueError` for what no module holds under a name: lambdas,
    functions within functions, objects made in a handler.
    """
    if isinstance(target, str):
        return normalise(target)
    module = getattr(target, "__module__", None)
    qualname = getattr(target, "__qualname__", None)
    if (
        isinstance(module, str)
        and isinstance(qualname, str)
        and "<" not in qualname
        and _at(module, qualname) is target
    ):
        return f"{module}:{qualname}"
    for place in _modules(near, module):
        for name, value in list(vars(place).items()):
            if value is target and name.isidentifier():
                return f"{place.__name__}:{name}"
    raise ValueError(f"entry point {_title(target)} cannot be found by the job's process: {_remedy(target)}")


def _at(module: str, qualname: str) -> Any:
    found: Any = sys.modules.get(module)
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found


def _modules(near: str | None, own: Any) -> Iterator[types.ModuleType]:
    first = [name for name in (near, own) if isinstance(name, str)]
    for name in dict.fromkeys([*first, *list(sys.modules)]):
        module = sys.modules.get(name)
        if isinstance(module, types.ModuleType) and module.__name__ != "__main__":
            yield module


def _title(target: Any) -> str:
    return str(getattr(target, "__qualname__", None) or type(target).__name__)


def _remedy(target: Any) -> str:
    if getattr(target, "__name__", "") == "<lambda>":
        return "use a function that is defined with `def` at the top of a module, not a lambda"
    if "<locals>" in str(getattr(target, "__qualname__", "")):
        return "move it out of the function it is defined in, to the top of a module"
    if isinstance(target, functools.partial):
        return "give the function itself, and pass the arguments as `inputs`"
    return "assign it to a name at the top of a module"
