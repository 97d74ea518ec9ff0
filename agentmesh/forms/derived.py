"""The form of a JSON Schema: an element for each property of the object that it describes.

| Schema | Element |
|---|---|
| string | `InputText`, or by its format `InputDate`, `InputTime`, `InputDateTime`, `InputEmail`, `InputUrl` and so on |
| integer, number | `InputNumber` with its bounds |
| boolean | `Checkbox` |
| enum (`Literal`, `Enum`) | `Select` |
| array | `InputArea`, one item per line |
| object, and what is none of these | `InputArea`, as JSON |

A property may say more, with `Field(json_schema_extra=...)`: `multiline` makes a text an `InputArea`, `placeholder` is
shown in the empty field, and `element` names the element's type itself, such as `"radio"`, `"range"` or `"file"`.
"""

import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any

from agentmesh.forms import choices, display, inputs
from agentmesh.forms.base import Element, Field
from agentmesh.forms.model import BY_TYPE, Model

Schema = Mapping[str, Any]

_BY_FORMAT = {
    "date": "date",
    "time": "time",
    "date-time": "datetime-local",
    "email": "email",
    "uri": "url",
    "password": "password",
    "color": "color",
}
_BOUNDS = {"date": "date", "time": "time", "datetime-local": "datetime", "month": "month", "week": "week"}


def form_of(schema: Schema) -> Model:
    """Return the form for an object's schema: its description, a field for each property, and the buttons."""
    required = set(schema.get("required", ()))
    elements: list[Element] = [display.Markdown(schema["description"])] if schema.get("description") else []
    for name, node in schema.get("properties", {}).items():
        elements.append(_element(name, _Property(name, node, schema, name in required)))
    return Model(*elements, display.Submit("Start"), display.Cancel("Cancel"))


class _Property:
    """One property of a schema, with its references followed and its `null` taken out."""

    def __init__(self, name: str, node: Schema, root: Schema, required: bool) -> None:
        self.said = node
        node, self.nullable = _without_null(follow(node, root), root)
        self.node: dict[str, Any] = {**node, **{key: value for key, value in self.said.items() if key in _TOLD}}
        self.items = follow(node.get("items", {}), root) if isinstance(node.get("items", {}), Mapping) else {}
        self.required = required
        # The title and description of a definition are those of its class, not of this property.
        self.label = str(self.said.get("title") or name.replace("_", " ").strip().capitalize())
        self.description = str(self.said.get("description") or "")

    @property
    def default(self) -> Any:
        return self.node.get("default")

    @property
    def placeholder(self) -> str | None:
        examples = self.node.get("examples")
        example = examples[0] if isinstance(examples, list) and examples else None
        said = self.node.get("placeholder", example)
        return str(said) if said is not None else self.description or None

    def labelled(self) -> str:
        """Return the label of an element that has no other place for the description."""
        return f"{self.label} ({self.description})" if self.description else self.label

    @property
    def options(self) -> list[Any] | None:
        return options_of(self.node)


_TOLD = ("default", "examples", "placeholder", "multiline", "element")
"""What stands beside a reference is meant for this property, and wins over what the definition says."""


def follow(node: Schema, root: Schema) -> Schema:
    """Return what a node refers to, with what it says itself; the node if it refers to nothing."""
    for _ in range(16):
        reference = node.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return node
        found: Any = root
        for part in reference[2:].split("/"):
            found = found.get(part.replace("~1", "/").replace("~0", "~"), {})
        node = {**found, **{key: value for key, value in node.items() if key != "$ref"}}
    return {}


def _without_null(node: Schema, root: Schema) -> tuple[Schema, bool]:
    """Return a node without its alternative `null`, and whether it had one; the last one left is the node itself."""
    alternatives = node.get("anyOf") or node.get("oneOf")
    if not alternatives:
        return node, False
    found = [follow(item, root) for item in alternatives]
    others = [item for item in found if item.get("type") != "null"]
    rest = {key: value for key, value in node.items() if key not in ("anyOf", "oneOf")}
    return {**rest, **(others[0] if len(others) == 1 else {"anyOf": others})}, len(others) < len(found)


def options_of(node: Schema) -> list[Any] | None:
    """Return the values that a node allows, if it lists them; None is left out."""
    if "const" in node:
        return [node["const"]]
    values = node.get("enum")
    return [value for value in values if value is not None] if isinstance(values, list) else None


NAMED = frozenset(cls.type for cls in BY_TYPE.values() if issubclass(cls, Field)) - {"errors", "action"}
"""What `element` may name."""


def _element(name: str, asked: _Property) -> Element:
    kind = asked.node.get("element", _kind(asked.node))
    if kind in ("select", "radio") and asked.options is None:
        raise ValueError(f"field {name!r}: a {kind} needs something to choose from, such as a Literal or an Enum")
    return _MAKERS.get(kind, _line)(name, asked, kind)


def _kind(node: Schema) -> str:
    """Return the element's type for a node; `json` and `lines` are areas whose text is read as that."""
    if options_of(node) is not None:
        return "select"
    match node.get("type"):
        case "boolean":
            return "boolean"
        case "integer" | "number":
            return "number"
        case "array":
            return "lines"
        case "string" if node.get("multiline"):
            return "textarea"
        case "string":
            return _BY_FORMAT.get(str(node.get("format")), "text")
        case None if all(item.get("type") not in ("object", "array") for item in node.get("anyOf", ())):
            return "text"  # anything goes, or one of several kinds of text
    return "json"


def _line(name: str, asked: _Property, kind: str) -> Element:
    """A field of one line; what its class does not know is left out."""
    fitting = BY_TYPE[kind]
    values = {
        "name": name,
        "label": asked.label if "placeholder" in inspect.signature(fitting).parameters else asked.labelled(),
        "value": asked.default,
        "required": asked.required,
        "placeholder": asked.placeholder,
        "min_length": asked.node.get("minLength"),
        "max_length": asked.node.get("maxLength"),
        "pattern": _anchored(asked.node.get("pattern")),
    }
    if (unit := _BOUNDS.get(kind)) is not None:
        values |= {f"min_{unit}": asked.node.get("formatMinimum"), f"max_{unit}": asked.node.get("formatMaximum")}
    return fitting.from_dict(values)


def _anchored(pattern: Any) -> str | None:
    """Return a pattern for HTML, where it means the whole text; None if that would not mean the same."""
    if not isinstance(pattern, str) or not pattern.startswith("^") or not pattern.endswith("$") or "|" in pattern:
        return None
    return None if pattern.endswith("\\$") else pattern[1:-1]


def _number(name: str, asked: _Property, kind: str) -> Element:
    node = asked.node
    whole = node.get("type") == "integer"
    low, high = node.get("minimum"), node.get("maximum")
    if whole and low is None and "exclusiveMinimum" in node:
        low = node["exclusiveMinimum"] + 1
    if whole and high is None and "exclusiveMaximum" in node:
        high = node["exclusiveMaximum"] - 1
    bounds = {key: bound for key, bound in (("min_value", low), ("max_value", high)) if bound is not None}
    values = {
        "name": name,
        "label": asked.label,
        "value": asked.default,
        "required": asked.required,
        "placeholder": asked.placeholder,
        "step": node.get("multipleOf", 1 if whole else None),
    }
    return BY_TYPE[kind].from_dict({**values, **bounds})


def _area(name: str, asked: _Property, kind: str) -> Element:
    return inputs.InputArea(
        name,
        asked.label,
        asked.default,
        asked.required,
        placeholder=asked.placeholder,
        max_length=asked.node.get("maxLength"),
    )


def _lines(name: str, asked: _Property, kind: str) -> Element:
    """A list: one item per line, or as JSON where an item is more than a word."""
    options = options_of(asked.items)
    hint = f"one per line: {', '.join(map(_shown, options))}" if options is not None else "one per line"
    value = asked.default
    if isinstance(value, list):
        plain = all(isinstance(item, str | int | float) for item in value)
        value = "\n".join(map(_shown, value)) if plain else json.dumps(value, ensure_ascii=False)
    return inputs.InputArea(
        name, asked.labelled(), value or None, asked.required, placeholder=asked.node.get("placeholder") or hint
    )


def _json(name: str, asked: _Property, kind: str) -> Element:
    value = None if asked.default is None else json.dumps(asked.default, ensure_ascii=False, indent=2)
    hint = asked.node.get("placeholder") or "JSON"
    return inputs.InputArea(name, asked.labelled(), value, asked.required, placeholder=hint)


def _box(name: str, asked: _Property, kind: str) -> Element:
    return choices.Checkbox(name, option=asked.description or None, label=asked.label, value=asked.default is True)


def _choice(name: str, asked: _Property, kind: str) -> Element:
    options = [choices.InputOption(name=_shown(value), label=_shown(value)) for value in asked.options or ()]
    if not asked.required and asked.default is None:
        options.insert(0, choices.InputOption(name="", label="—"))
    make = choices.InputRadio if kind == "radio" else choices.Select
    value = None if asked.default is None else _shown(asked.default)
    return make(name, options, label=asked.labelled(), value=value, required=asked.required)


def _files(name: str, asked: _Property, kind: str) -> Element:
    many = asked.node.get("type") == "array"
    return inputs.InputFiles(name, asked.labelled(), asked.default, asked.required, multiple=many)


def _hidden(name: str, asked: _Property, kind: str) -> Element:
    return inputs.InputHidden(name, asked.default)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


_MAKERS: dict[str, Callable[[str, _Property, str], Element]] = {
    "number": _number,
    "range": _number,
    "textarea": _area,
    "lines": _lines,
    "json": _json,
    "boolean": _box,
    "select": _choice,
    "radio": _choice,
    "file": _files,
    "hidden": _hidden,
}
