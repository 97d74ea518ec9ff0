"""Loads an app by its import path, as a host does: `package.module:attribute`.

The attribute may be a `ServeAPI`, any other ASGI app, an ingress bound with `ray.serve` (ours or Ray's), or a function
that makes one of these.
"""

import dataclasses
import importlib
import inspect
import os
import sys
import types
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any, Literal

from agentmesh import _rooms, compat
from agentmesh._values.serialize import to_json
from agentmesh.allowance import Allowance

Asgi = Callable[[MutableMapping[str, Any], Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Any]

Isolation = Literal["process", "shared"]
"""A process for each job, or all jobs of the app as tasks in one."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FlowInfo:
    """A flow as its author declared it: the fields of `mesh.runner.v1.FlowInfo`."""

    path: str
    """Within the app: `/` or `/async`."""
    method: str = "GET"
    summary: str = ""
    description: str = ""
    tags: list[str] = dataclasses.field(default_factory=list)
    """Sorted."""
    author: str | None = None
    organization: str | None = None
    version: str | None = None
    deprecated: bool | None = None
    launcher: Literal["handler", "schema"] = "handler"
    """Who checks the inputs: the author's handler, or the mesh by `input_schema_json`."""
    elements_json: str = ""
    """Its form: a JSON array of elements; empty if it is not known before the app is asked."""
    input_schema_json: str = ""
    """JSON Schema (2020-12) of its inputs; empty unless the launcher is `schema`."""
    entry_point: str = ""
    """`module:function` of a job; empty unless the launcher is `schema`."""
    isolation: Isolation | None = None
    """As its author declared it."""
    allowance: Allowance = Allowance()  # noqa: RUF009  # frozen, and so shared


@dataclasses.dataclass(frozen=True, slots=True)
class LoadedApp:
    """An app, ready to be called."""

    asgi: Asgi
    flows: list[FlowInfo]
    """By path."""


def load(import_path: str) -> LoadedApp:
    """Import an app and list its flows.

    Raises what the import raises, and `ValueError` naming the remedy if `import_path` is malformed or what it names is
    not an app.
    """
    compat.install()
    module_name, _, attribute = import_path.strip().partition(":")
    parts = [*module_name.split("."), *attribute.split(".")]
    if not module_name or not attribute or not all(part.isidentifier() for part in parts):
        raise ValueError(
            f"import_path {import_path!r} is not of the form 'package.module:attribute'{_as_module(import_path)}"
        )
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # the directory the mesh is started in is on the apps' import path
    _rooms.find_example(compat.real_name(module_name))
    try:
        module = importlib.import_module(module_name)
        compat.settle()
    except ModuleNotFoundError as error:
        error.msg += _missing(error, import_path)
        raise
    found: Any = module
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise ValueError(
                f"import_path {import_path!r}: {module_name} has no {attribute!r}{_suggest(module)}"
            ) from None
    asgi = _unwrap(found, module, import_path)
    return LoadedApp(asgi, flows_of(asgi))


def _missing(error: ModuleNotFoundError, import_path: str) -> str:
    """Return what to do about a module that is not there; nothing where who raised it has said so."""
    name = str(error.name)
    if error.msg != f"No module named {name!r}" and not error.msg.endswith("is not a package"):
        return ""
    module_name = import_path.strip().partition(":")[0]
    if hint := _as_module(import_path):
        return hint
    if module_name == name or module_name.startswith(f"{name}."):
        return "; apps are imported from the directory that the mesh was started in, or are installed packages"
    return "; install what it belongs to where the mesh runs"


def _as_module(import_path: str) -> str:
    """Return how one names the module of a file, if a file is named."""
    path, _, attribute = import_path.strip().partition(":")
    if not path.endswith(".py"):
        return ""
    module = path.removesuffix(".py").replace("\\", "/").strip("./").replace("/", ".")
    return f": it names a file, write {module}:{attribute or 'app'}"


def flows_of(asgi: Any) -> list[FlowInfo]:
    """Return the flows of an app: the operations its OpenAPI document marks with `x-kodosumi` (spec: kodosumi §2.1).

    Raises `ValueError` for a declared flow that a job's process cannot find.
    """
    openapi = getattr(asgi, "openapi", None)
    if not callable(openapi):
        return []  # an ASGI app of another make: it can be called, but has no forms
    cached = getattr(asgi, "openapi_schema", None)
    document = openapi()
    asgi.openapi_schema = cached  # the app may still add routes when it starts
    offers = getattr(asgi, "offers", {})
    own = {"isolation": getattr(asgi, "isolation", None)}  # of flows that are routes of plain FastAPI
    flows = []
    for path, operations in document.get("paths", {}).items():
        for method, operation in operations.items():
            if isinstance(operation, Mapping) and operation.get("x-kodosumi") is True:
                offer = offers.get("/" + path.strip("/"))
                flows.append(_flow(path, method, operation, _offered(offer) if offer is not None else own))
    return sorted(flows, key=lambda flow: flow.path)


def _offered(offer: Any) -> dict[str, Any]:
    """Return what a `ServeAPI` knows of a flow beside its operation, as fields of `FlowInfo`."""
    told = {
        "elements_json": to_json(offer.form.elements()),
        "isolation": offer.isolation,
        "allowance": offer.allowance,
    }
    if offer.declared is None:
        return told
    schema = to_json(offer.declared.schema)
    return {**told, "launcher": "schema", "input_schema_json": schema, "entry_point": offer.entry_point()}


def _flow(path: str, method: str, operation: Mapping[str, Any], offered: Mapping[str, Any]) -> FlowInfo:
    def text(key: str) -> str | None:
        value = operation.get(key)
        return None if value is None else str(value)

    return FlowInfo(
        path="/" + path.strip("/"),
        method=method.upper(),
        summary=text("summary") or "",
        description=text("description") or "",
        tags=sorted(str(tag) for tag in operation.get("tags", ())),
        author=text("x-author"),
        organization=text("x-organization"),
        version=text("x-version"),
        deprecated=operation.get("deprecated"),
        **offered,
    )


def _unwrap(found: Any, module: types.ModuleType, import_path: str) -> Asgi:
    """Return the ASGI app in `found`."""
    if (bound := getattr(found, "__agentmesh_bound__", None)) is not None:
        found = bound()
    elif type(found).__module__.startswith("ray.serve"):
        found = _app_behind_ray(module, import_path)
    if inspect.isfunction(found) and not _is_asgi(found):
        found = _unwrap(_build(found, import_path), module, import_path)
    if isinstance(found, type) or not _is_asgi(found):
        raise ValueError(
            f"import_path {import_path!r} is {_kind(found)}, not an app: name a ServeAPI, or an ingress made with "
            f"@serve.ingress(app) and .bind(){_suggest(module)}"
        )
    return found  # type: ignore[no-any-return]


def _is_asgi(found: Any) -> bool:
    """Return whether `found` can be called with scope, receive and send."""
    if not callable(found):
        return False
    call = found if inspect.isroutine(found) else type(found).__call__
    try:
        inspect.signature(found).bind(None, None, None)
    except (TypeError, ValueError):
        return False
    return inspect.iscoroutinefunction(call) or not inspect.isfunction(found)


def _build(function: Callable[..., Any], import_path: str) -> Any:
    """Call a function that makes an app: without arguments, or with the (empty) arguments of a Ray Serve builder."""
    try:
        signature = inspect.signature(function)
        required = [p for p in signature.parameters.values() if p.default is p.empty and p.kind < p.VAR_POSITIONAL]
        if len(required) > 1:
            raise ValueError(
                f"import_path {import_path!r} is a function that needs {', '.join(p.name for p in required)}: "
                "name the app it makes"
            )
        return function({}) if required else function()
    except TypeError as error:
        raise ValueError(f"import_path {import_path!r}: the function does not make an app: {error}") from error


def _app_behind_ray(module: types.ModuleType, import_path: str) -> Any:
    """Ray Serve hides the app of an ingress in a closure; the module that bound it still has it by name."""
    names = _apps(module)
    if len(names) != 1:
        raise ValueError(
            f"import_path {import_path!r} is a Ray Serve application, and {module.__name__} has {len(names)} apps: "
            f"name the app itself{_suggest(module)}"
        )
    return getattr(module, names[0])


def _apps(module: types.ModuleType) -> list[str]:
    def bases(value: Any) -> Iterable[str]:
        return (f"{cls.__module__}.{cls.__name__}" for cls in type(value).__mro__)

    return [name for name, value in vars(module).items() if "fastapi.applications.FastAPI" in bases(value)]


def _suggest(module: types.ModuleType) -> str:
    names = _apps(module)
    return f"; perhaps {module.__name__}:{names[0]}" if names else ""


def _kind(found: Any) -> str:
    return f"the class {found.__name__}" if isinstance(found, type) else f"a {type(found).__name__}"
