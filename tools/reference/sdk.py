"""What people import: signatures and what each says of itself, read from the source."""

import ast
import inspect
import sys
import textwrap
from collections.abc import Iterator

import agentmesh
import agentmesh.client
from agentmesh import forms
from tools.reference.markdown import code, opening, table

_FLOWS = """# SDK

What an app imports: `from agentmesh import …`; [flows](../flows.md) and [locks](../locks.md) say how it is used. A
method of a tracer has a twin that ends in `_sync`, for code that is not `async`."""
_FORMS = "## agentmesh.forms\n\nThe elements of a form that an author writes: `from agentmesh import forms`."
_CLIENT = """# Python client

`from agentmesh.client import Client`, or `AsyncClient`, which is described here: `Client` has the same methods, which
block, and iterators where these are asynchronous. Every method may raise [`MeshError`](#mesherror)."""
_OF_THE_MESH = {"Tracer.enter", "Tracer.finish", "Tracer.check_steps", "ServeAPI.starts_idle"}
"""What the process around a flow calls."""


def flows() -> str:
    """Return the page of the SDK."""
    found = {name: getattr(agentmesh, name) for name in sorted(agentmesh.__all__, key=str.lower)}
    parts = [_FLOWS, *(_class(2, name, kind) for name, kind in found.items() if isinstance(kind, type)), _FORMS]
    return "\n\n".join([*parts, *(_class(3, name, getattr(forms, name), inside=False) for name in forms.__all__)])


def client() -> str:
    """Return the page of the client."""
    module = agentmesh.client
    found = {name: getattr(module, name) for name in module.__all__ if name not in ("AsyncClient", "Client")}
    parts = [_CLIENT, _class(2, "AsyncClient", module.AsyncClient)]
    parts += [_class(3, f"AsyncClient.{name}", kind, made=False) for name, kind in _collections(module.AsyncClient)]
    kinds = {name: kind for name, kind in found.items() if isinstance(kind, type)}
    return "\n\n".join([*parts, *(_class(2, each, kind, made=_is_raised(kind)) for each, kind in kinds.items())])


def _class(level: int, name: str, kind: type, *, made: bool = True, inside: bool = True) -> str:
    parts = [f"{'#' * level} {name}"]
    if made and kind is not agentmesh.Tracer:  # which the mesh makes
        parts.append(f"```text\n{name}{_constructor(kind)}\n```")
    parts.append(opening(inspect.getdoc(kind)))
    for head, rows in ((["Attribute", "Type", ""], list(_fields(kind))), (["Method", ""], list(_methods(kind)))):
        parts += [table(head, rows)] if rows and inside else []
    return "\n\n".join(parts)


def _is_raised(kind: type) -> bool:
    return issubclass(kind, Exception)


def _tree(kind: type) -> ast.ClassDef:
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(node, ast.ClassDef)
    return node


def _collections(kind: type) -> Iterator[tuple[str, type]]:
    """Yield what a constructor makes for all to see: `self.agents = Agents(…)`."""
    for node in ast.walk(_tree(kind)):
        match node:
            case ast.Assign(targets=[ast.Attribute(attr=name)], value=ast.Call(func=ast.Name(id=called))):
                if not name.startswith("_"):
                    yield name, vars(sys.modules[kind.__module__])[called]


def _constructor(kind: type) -> str:
    """Return what a class takes, as its source says; of a record, its fields."""
    for each in kind.__mro__:
        if "__init__" in vars(each) and each.__module__.startswith("agentmesh"):
            for node in _tree(each).body:
                if isinstance(node, ast.FunctionDef) and node.name == "__init__":
                    return _arguments(node)
            taken = inspect.signature(each).parameters.values()
            return f"({', '.join(str(one.replace(annotation=one.empty)) for one in taken)})"
    return "(message)" if _is_raised(kind) else "()"


def _arguments(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    return f"({ast.unparse(node.args).removeprefix('self').removeprefix('cls').removeprefix(', ')})"


def _fields(kind: type) -> Iterator[list[str]]:
    """Yield what a record has, with what stands below each."""
    body = _tree(kind).body
    for node, below in zip(body, [*body[1:], ast.Pass()], strict=True):
        match node:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation) if name[0].islower():
                text = (
                    below.value.value if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) else ""
                )
                yield [code(name), code(ast.unparse(annotation)), opening(str(text))]


def _methods(kind: type) -> Iterator[list[str]]:
    for node in _tree(kind).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            if node.name.endswith("_sync") or f"{kind.__name__}.{node.name}" in _OF_THE_MESH:
                continue
            is_property = any(isinstance(mark, ast.Name) and mark.id == "property" for mark in node.decorator_list)
            returns = f" -> {ast.unparse(node.returns)}" if node.returns is not None else ""
            shown = node.name if is_property else f"{node.name}{_arguments(node)}{returns}"
            yield [code(shown), opening(ast.get_docstring(node))]
