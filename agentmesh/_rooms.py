"""Where the mesh's own packages lie: `services` and `gateway`, and the examples.

In the source tree they are at its top.  A wheel has them below this package, in `_mesh` and `_examples`, so that no
such general name stands in site-packages: a user's own `services.py` is then neither hidden by ours nor taken for it.
Only a program of the mesh goes in (`enter`, or `python -P -m agentmesh._rooms MODULE` as `program` has it).  A process
that loads apps never does; it finds an example where the app that it loads is one (`find_example`).
"""

import importlib.machinery
import pathlib
import runpy
import sys

_HERE = pathlib.Path(__file__).resolve().parent
_EXAMPLES = "examples"


def _room(name: str) -> pathlib.Path:
    inside = _HERE / name
    return inside if inside.is_dir() else _HERE.parent


MESH = _room("_mesh")
"""The folder in which `services` and `gateway` lie."""
EXAMPLES = _room("_examples")
"""The folder in which `examples` lies."""


def enter() -> None:
    """Let this process import what the mesh is made of, ahead of anything else that is called so."""
    _put_first(MESH)


def program(module: str) -> list[str]:
    """Return the arguments with which Python runs a module of the mesh as a program.

    `-P` keeps the directory it is started in off the import path: a folder there that happens to be called `gateway`
    is not ours.
    """
    return ["-P", "-m", module] if module.startswith(f"{__package__}.") else ["-P", "-m", __name__, module]


def find_example(module: str) -> None:
    """Let this process import an example, if `module` is the name of one and not of something that is here already."""
    first, *rest = module.split(".")
    if first == _EXAMPLES and rest and not _is_found(first, rest):
        _put_first(EXAMPLES)


def _is_found(first: str, rest: list[str]) -> bool:
    """Return whether a module can be imported, without importing any."""
    name, spec = first, importlib.machinery.PathFinder.find_spec(first)
    for part in rest:
        if spec is None or spec.submodule_search_locations is None:
            return False
        name = f"{name}.{part}"
        spec = importlib.machinery.PathFinder.find_spec(name, spec.submodule_search_locations)
    return spec is not None


def _put_first(folder: pathlib.Path) -> None:
    if sys.path[:1] != [str(folder)]:
        sys.path.insert(0, str(folder))


if __name__ == "__main__":
    enter()
    runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
