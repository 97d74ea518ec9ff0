"""A form as JSON Schema (2020-12) of the values it takes: what the mesh checks a declared flow's inputs with.

Whoever checks by it turns the texts of a form into the schema's types first, and takes an empty text for a field that
is not given; then the same values pass as pass `Model.check`.  What HTML knows and JSON Schema does not is said with
formats (`datetime-local`, `month`, `week`, `color`, `url`, `checkbox`) and with `formatMinimum` and `formatMaximum`.
A pattern of an `InputNumber` is the one thing that is not carried over: its value is a number.
"""

import math
from collections.abc import Callable
from typing import Any

from agentmesh.errors import GLOBAL
from agentmesh.forms import checks, choices, display, inputs
from agentmesh.forms.base import Field, plain
from agentmesh.forms.model import Model

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_FILE = {"type": "string", "pattern": "^https?://"}


def schema_of(model: Model) -> dict[str, Any]:
    """Return the schema of an object with every field of the form; each that may be left out has a default."""
    fields = {field.name: field for field in model.fields() if field.name != GLOBAL}
    return {
        "$schema": DIALECT,
        "type": "object",
        "properties": {name: _property(field) for name, field in fields.items()},
        "required": [name for name, field in fields.items() if field.required and _has_requirement(field)],
        "additionalProperties": False,
    }


def _has_requirement(field: Field) -> bool:
    return not isinstance(field, choices.Checkbox | display.Action)


def _property(field: Field) -> dict[str, Any]:
    make = next((make for kind, make in _KINDS if isinstance(field, kind)), None)
    found = make(field) if make is not None else {}
    kind = found.get("type")
    if not field.required and kind not in (None, "boolean"):
        found["type"] = [*([kind] if isinstance(kind, str) else kind), "null"]
        if "enum" in found:
            found["enum"] = [*found["enum"], None]
    default = field.default()
    if not field.required or default is not None:
        number = checks.number_of(default) if kind == "number" else None
        found["default"] = default if number is None else number
    return {"title": field.title, **found} if field.title else found


def _text(field: Field) -> dict[str, Any]:
    longest = checks.PATTERN_CHARS_MAX if getattr(field, "pattern", None) else checks.TEXT_CHARS_MAX
    found = {"type": "string", **_lengths(field, longest)}
    expression = getattr(field, "pattern", None)
    if expression and checks.compiled(expression) is not None:  # one that cannot be read is no bound, as in a browser
        found["pattern"] = f"^(?:{expression})$"
    return found | ({"format": field.type} if field.type in ("email", "url") else {})


def _area(field: Field) -> dict[str, Any]:
    return {"type": "string", **_lengths(field, None)}


def _lengths(field: Field, longest: int | None) -> dict[str, Any]:
    low, high = (
        checks.number_of(getattr(field, "min_length", None)),
        checks.number_of(getattr(field, "max_length", None)),
    )
    low = max(math.ceil(low or 0), 1 if field.required else 0)
    limits = [math.floor(limit) for limit in (high, longest) if limit is not None]
    return {**({"minLength": low} if low > 0 else {}), **({"maxLength": max(0, min(limits))} if limits else {})}


def _number(field: Field) -> dict[str, Any]:
    bounds = {"minimum": getattr(field, "min_value", None), "maximum": getattr(field, "max_value", None)}
    return {
        "type": "number",
        **{key: found for key, said in bounds.items() if (found := checks.number_of(said)) is not None},
    }


def _moment(field: Field) -> dict[str, Any]:
    assert isinstance(field, inputs.Moment)
    low, high = field.bounds()
    bounds = {key: plain(bound) for key, bound in (("formatMinimum", low), ("formatMaximum", high)) if bound}
    return {"type": "string", "format": field.type, "maxLength": checks.TEXT_CHARS_MAX, **bounds}


def _color(field: Field) -> dict[str, Any]:
    return {"type": "string", "format": "color"}


def _choice(field: Field) -> dict[str, Any]:
    assert isinstance(field, choices.Choice)
    return {
        "type": "string",
        "enum": list(dict.fromkeys(option.name for option in field.option if option.name is not None)),
    }


def _box(field: Field) -> dict[str, Any]:
    return {"type": "boolean", "format": "checkbox"}


def _files(field: Field) -> dict[str, Any]:
    assert isinstance(field, inputs.InputFiles)
    found: dict[str, Any] = {**_FILE, "type": ["string", "array"], "items": _FILE}
    found |= {"minItems": 1} if field.required else {}
    return found | ({} if field.multiple or field.directory else {"maxItems": 1})


_KINDS: tuple[tuple[type[Field], Callable[[Field], dict[str, Any]]], ...] = (
    (inputs.InputNumber, _number),
    (inputs.InputRange, _number),
    (inputs.InputText, _text),
    (inputs.InputArea, _area),
    (inputs.Moment, _moment),
    (inputs.InputColor, _color),
    (inputs.InputFiles, _files),
    (choices.Checkbox, _box),
    (choices.Choice, _choice),
)
"""How a value of each kind of element looks; of others, such as hidden ones, anything goes."""
