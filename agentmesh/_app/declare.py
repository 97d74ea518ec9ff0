"""Flows that declare their inputs: what `@app.flow` reads from a function.

The model of `inputs`, a pydantic model or a `forms.Model`, says everything: the form, the JSON Schema by which the mesh
checks a launch without asking the app, and what the function gets.  JSON Schema cannot say what an author's own
validators do; those run in the job, before the function, and fail it with what is wrong in each field.
"""

import dataclasses
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

import pydantic

from agentmesh._app import inject
from agentmesh._values import serialize
from agentmesh.errors import GLOBAL, InputsError, KodosumiError
from agentmesh.forms import checks, derived
from agentmesh.forms.model import Model
from agentmesh.forms.schema import DIALECT, schema_of

_ATTRIBUTE = "__agentmesh_inputs__"
_FORMATS = {**{name: name for name in ("month", "week", "color", "email", "url")}, "file": "url"}
"""What a text must be, by the element that an author asks for."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Declared:
    """What a function declares."""

    form: Model
    schema: Mapping[str, Any]
    """JSON Schema (2020-12) of an object."""
    adapter: "pydantic.TypeAdapter[Any] | None"
    """Makes what the function gets; None where that is a dict."""
    returns_none: bool
    """Whether the function may return nothing."""
    park_after_s: float | None = None
    """After how many seconds a job that waits on a lock is parked; None: not by itself."""

    def build(self, inputs: Mapping[str, Any]) -> Any:
        """Return what the function gets for inputs that fit the schema.

        Raises `InputsError` with what the author's own validators refuse, by field.
        """
        if self.adapter is None:
            return dict(inputs)
        try:
            # As JSON, which every field takes: a strict one would refuse a date's text.
            return self.adapter.validate_json(serialize.to_json(inputs))
        except pydantic.ValidationError as error:
            raise InputsError(**_by_field(error)) from None

    def parse(self, data: Mapping[str, Any], *, form: bool) -> tuple[dict[str, Any], dict[str, list[str]]]:
        """Return the inputs that a request says, and what is wrong with them by field.

        The mesh does not ask this: it checks by the schema.  This is for an app that is tried without a mesh.
        """
        if self.adapter is None:
            values = self.form.parse(data, form=form)
            problems = self.form.check(values)
            return {name: self._typed(name, value) for name, value in values.items()}, problems
        given = {name: value for name, value in data.items() if not _is_extra(name)}
        strange = {name: ["is no field here"] for name in given if name not in self.schema["properties"]}
        values = {name: value for name, value in given.items() if value not in ("", None)}
        try:
            self.adapter.validate_python(values, strict=False)
        except pydantic.ValidationError as error:
            return values, {**_by_field(error), **strange}
        return values, strange

    def _typed(self, name: str, value: Any) -> Any:
        if "number" not in str(self.schema["properties"].get(name, {}).get("type")):
            return value
        number = checks.number_of(value)
        return None if value == "" else value if number is None else number

    def check_result(self, name: str, result: Any) -> None:
        """Raise `KodosumiError` if the function has forgotten its `return`."""
        if result is None and not self.returns_none:
            raise KodosumiError(
                f"{name} returned nothing: end it with a `return`, or annotate it with `-> None` if that is meant"
            )


def _is_extra(name: str) -> bool:
    """Return whether a form sends this beside its fields, such as the button that was pressed."""
    return name.startswith("__") or name in (GLOBAL, "submit", "cancel")


def as_annotated(function: Callable[..., Any], name: str, values: Mapping[str, Any]) -> Any:
    """Return a form's values as a parameter wants them: as the pydantic model it is annotated with, else as a dict.

    Raises `InputsError` with what the model refuses, by field.
    """
    model = _hints(function).get(name) if name in inspect.signature(function).parameters else None
    if not (isinstance(model, type) and issubclass(model, pydantic.BaseModel)):
        return dict(values)
    try:
        return model.model_validate({key: value for key, value in values.items() if value is not None})
    except pydantic.ValidationError as error:
        raise InputsError(**_by_field(error)) from None


def declare(function: Callable[..., Any], model: Model | None, park_after_s: float | None = None) -> Declared:
    """Read what a function declares, and note it on the function.

    Raises `TypeError` for a function that does not say what it takes, or takes what is no set of named values.
    """
    name = getattr(function, "__qualname__", str(function))
    if not inspect.isroutine(function):
        raise TypeError(f"flow: decorate a function, not {type(function).__name__}")
    taken = inject.wanted(function, ("inputs", "tracer"))
    hints = _hints(function)
    adapter = None
    if model is not None:
        if not isinstance(model, Model):
            raise TypeError(f"flow {name}: model must be a forms.Model, got {type(model).__name__}; annotate `inputs`")
        model.check_names()
        form, schema = model, schema_of(model)
    elif "inputs" not in taken:
        form, schema = _derived(name, {"type": "object", "properties": {}})
    elif "inputs" not in hints:
        raise TypeError(
            f"flow {name}: say what it takes: annotate `inputs` with a pydantic model, or pass `model=forms.Model(...)`"
        )
    else:
        adapter = pydantic.TypeAdapter(hints["inputs"])
        form, schema = _derived(name, _schema(name, adapter))
    if park_after_s is not None and not 0 <= park_after_s < float("inf"):
        raise ValueError(f"flow {name}: park_after_s must be a number of seconds, not {park_after_s!r}")
    returns_none = _may_be_none(hints.get("return", inspect.Signature.empty))
    declared = Declared(form, schema, adapter, returns_none, park_after_s)
    known = declared_by(function)
    if known is not None and (known.adapter is None) != (adapter is None):
        raise ValueError(f"flow {name}: it is declared twice, with a model and with an annotation")
    function.__dict__[_ATTRIBUTE] = declared
    return declared


def declared_by(function: Any) -> Declared | None:
    """Return what a function declares, or None if it is no declared flow."""
    found = getattr(function, _ATTRIBUTE, None)
    return found if isinstance(found, Declared) else None


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except Exception as error:  # an annotation is an expression of the author's
        name = getattr(function, "__qualname__", str(function))
        raise TypeError(f"flow {name}: its annotations cannot be read: {error}") from error


def _may_be_none(annotation: Any) -> bool:
    if annotation in (None, type(None), Any, object):
        return True
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return any(_may_be_none(item) for item in typing.get_args(annotation))
    return False


def _schema(name: str, adapter: "pydantic.TypeAdapter[Any]") -> dict[str, Any]:
    try:
        schema = adapter.json_schema(by_alias=True, mode="validation")
    except pydantic.errors.PydanticUserError as error:
        raise TypeError(f"flow {name}: its inputs have no JSON Schema: {error.message}") from error
    found = derived.follow(schema, schema)
    if found.get("type") != "object" or "properties" not in found:
        raise TypeError(f"flow {name}: `inputs` must be a pydantic model (or a dataclass or TypedDict) of named fields")
    return {**found, **({"$defs": schema["$defs"]} if "$defs" in schema else {})}


def _derived(name: str, schema: Mapping[str, Any]) -> tuple[Model, dict[str, Any]]:
    """Return the form, and the schema as it is published: closed, without recursion."""
    published: dict[str, Any] = {"$schema": DIALECT, **_closed(_unrolled(schema))}
    for key, node in published["properties"].items():
        element = node.get("element")
        if element is not None and element not in derived.NAMED:
            raise ValueError(f"flow {name}: field {key!r}: there is no element {element!r}")
        if element in _FORMATS:
            node.setdefault("format", _FORMATS[element])
    return derived.form_of(published), published


def _closed(node: Any) -> Any:
    """Return a schema whose objects take only the properties they name, unless it says otherwise."""
    if isinstance(node, list):
        return [_closed(item) for item in node]
    if not isinstance(node, dict):
        return node
    found = {
        key: value if key in ("default", "examples", "enum", "const") else _closed(value) for key, value in node.items()
    }
    if found.get("type") == "object" and isinstance(found.get("properties"), dict):
        found.setdefault("additionalProperties", False)
    return found


def _unrolled(schema: Mapping[str, Any]) -> Any:
    """Return a schema without recursion: where a definition holds itself again, anything goes.

    The mesh takes no schema whose work it cannot bound; pydantic checks the rest in the job.
    """
    definitions: Mapping[str, Any] = schema.get("$defs", {})

    def copy(node: Any, inside: tuple[str, ...]) -> Any:
        if isinstance(node, list):
            return [copy(item, inside) for item in node]
        if not isinstance(node, Mapping):
            return node
        reference = node.get("$ref")
        if isinstance(reference, str) and any(reachable(reference, name) for name in inside):
            return {key: value for key, value in node.items() if key != "$ref"}
        return {key: copy(value, inside) for key, value in node.items()}

    def reachable(reference: str, name: str) -> bool:
        """Return whether following `reference` leads to the definition of that name."""
        seen: set[str] = set()
        left = [reference]
        while left:
            found = left.pop()
            if found == f"#/$defs/{name}":
                return True
            if found not in seen:
                seen.add(found)
                left += _references(definitions.get(found.removeprefix("#/$defs/")))
        return False

    found = {key: copy(value, ()) for key, value in schema.items() if key != "$defs"}
    return (
        {**found, "$defs": {name: copy(node, (name,)) for name, node in definitions.items()}} if definitions else found
    )


def _references(node: Any) -> list[str]:
    if isinstance(node, list):
        return [reference for item in node for reference in _references(item)]
    if not isinstance(node, Mapping):
        return []
    own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
    return own + [reference for value in node.values() for reference in _references(value)]


def _by_field(error: pydantic.ValidationError) -> dict[str, list[str]]:
    """Return pydantic's messages by field; where it lies deeper, the message says where."""
    found: dict[str, list[str]] = {}
    for item in error.errors(include_url=False, include_context=False, include_input=False):
        first, *rest = item["loc"] or (GLOBAL,)
        text = item["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
        place = ".".join(str(part) for part in rest)
        found.setdefault(str(first), []).append(f"{place}: {text}" if place else text)
    return found
