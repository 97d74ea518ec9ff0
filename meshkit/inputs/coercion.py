"""Makes of what a form sends what a schema asks for: numbers, yes and no, lists and objects out of texts.

Only a value whose own type the schema does not allow is turned into another; what cannot be turned stays as it is, for
the schema to refuse.
"""

import copy
import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from meshkit.inputs.schema import Schema

# HTML Standard, "valid floating-point number".
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", re.ASCII)
_NUMBER_CHARS_MAX = 100
_YES = frozenset(("on", "true", "yes", "1"))
_NO = frozenset(("off", "false", "no", "0"))
_ANY = frozenset(("null", "boolean", "integer", "number", "string", "array", "object"))
_CONTAINERS = frozenset(("array", "object"))


def is_blank(value: Any) -> bool:
    """Return whether a value counts as not given."""
    return value is None or value in ("", [], {}) or (isinstance(value, str) and not value.strip())


def allows(schema: Schema, node: Any, value: Any) -> bool:
    """Return whether a value's type is one of those that a node allows."""
    return _fits(_type_of(value), _types(schema, node))


def coerce(schema: Schema, node: Any, value: Any) -> Any:
    """Return a value as the node asks for it, if it can be turned into that."""
    leaves = list(_leaves(schema, node))
    if any(leaf.get("format") == "checkbox" for leaf in leaves):
        return _ticked(value)
    types = _types(schema, node)
    if isinstance(value, str) and (listed := _listed(leaves)) is not None:
        return _chosen(listed, value)
    if _fits(_type_of(value), types):
        if isinstance(value, list | dict):
            return _within(schema, [leaf for leaf in leaves if _fits(_type_of(value), _own_types(leaf))], value)
        if isinstance(value, float) and "number" not in types:
            return int(value)
        return _newlines(leaves, value)
    if isinstance(value, str):
        return _read(schema, leaves, types, value)
    if isinstance(value, int | float) and "string" in types:
        return str(value)
    if isinstance(value, int) and value in (0, 1) and "boolean" in types:
        return bool(value)
    return value


def default_of(schema: Schema, node: Any) -> tuple[bool, Any]:
    """Return whether a node has a default that it would allow, and the default."""
    found = schema.follow(node)
    if "default" not in found or (found["default"] is None and not allows(schema, node, None)):
        return False, None
    return True, coerce(schema, node, copy.deepcopy(found["default"]))


def _leaves(schema: Schema, node: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the alternatives of a node, each with its reference followed."""
    found = schema.follow(node)
    alternatives = found.get("anyOf") or found.get("oneOf")
    if isinstance(alternatives, list):
        for alternative in alternatives:
            yield from _leaves(schema, alternative)
    else:
        yield found


def _types(schema: Schema, node: Any) -> frozenset[str]:
    return frozenset().union(*(_own_types(leaf) for leaf in _leaves(schema, node)))


def _own_types(leaf: Mapping[str, Any]) -> frozenset[str]:
    said = leaf.get("type")
    if isinstance(said, str):
        return frozenset((said,))
    if isinstance(said, list):
        return frozenset(map(str, said))
    values = [leaf["const"]] if "const" in leaf else leaf.get("enum")
    return frozenset(map(_type_of, values)) if isinstance(values, list) else _ANY


def _type_of(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return "integer"
    return {float: "number", str: "string", list: "array"}.get(type(value), "object")


def _fits(kind: str, types: frozenset[str]) -> bool:
    return kind in types or (kind == "integer" and "number" in types)


def _listed(leaves: list[Mapping[str, Any]]) -> list[Any] | None:
    """Return the values that a node allows, if it lists all of them."""
    found: list[Any] = []
    for leaf in leaves:
        values = [leaf["const"]] if "const" in leaf else leaf.get("enum")
        if isinstance(values, list):
            found += values
        elif leaf.get("type") != "null":
            return None
    return found


def _chosen(listed: list[Any], value: str) -> Any:
    """Return which of the listed values a text means: itself, or one that is no text, as JSON writes it."""
    if value in listed:
        return value
    text = value.strip()
    return next((item for item in listed if item is not None and text in (item, json.dumps(item))), value)


def _ticked(value: Any) -> bool:
    """Return what a box says, as a form of the SDK takes it."""
    if isinstance(value, str):
        return value.strip().lower() in ("on", "true")
    return value is True or (type(value) is int and value == 1)


def _newlines(leaves: list[Mapping[str, Any]], value: Any) -> Any:
    """Return a text as its length is counted: browsers send two characters for a line break."""
    if isinstance(value, str) and any(leaf.keys() & {"minLength", "maxLength"} for leaf in leaves):
        return value.replace("\r\n", "\n")
    return value


def _within(schema: Schema, leaves: list[Mapping[str, Any]], value: Any) -> Any:
    """Return a list or object with its parts coerced, if there is one thing only that it can be."""
    if len(leaves) != 1:
        return value
    (leaf,) = leaves
    if isinstance(value, list):
        items = leaf.get("items")
        return [coerce(schema, items, item) for item in value] if isinstance(items, Mapping) else value
    properties = leaf.get("properties")
    if not isinstance(properties, Mapping):
        return value
    found = {
        name: coerce(schema, properties[name], item) if name in properties else item for name, item in value.items()
    }
    for name, node in properties.items():
        if name not in found and (default := default_of(schema, node))[0]:
            found[name] = default[1]
    return found


def _read(schema: Schema, leaves: list[Mapping[str, Any]], types: frozenset[str], value: str) -> Any:
    """Return what a text says, where no text is allowed."""
    text = value.strip()
    listed = [
        item for leaf in leaves for item in (leaf.get("enum") or [leaf[key] for key in ("const",) if key in leaf])
    ]
    for item in listed:
        if text == json.dumps(item):
            return item
    if types & {"integer", "number"} and (number := _number(text)) is not None:
        return int(number) if isinstance(number, float) and number.is_integer() and "number" not in types else number
    if "boolean" in types and text.lower() in _YES | _NO:
        return text.lower() in _YES
    if "array" in types and (items := _list(schema, leaves, text)) is not None:
        return coerce(schema, {"anyOf": leaves}, items)
    if "object" in types and isinstance(found := _json(text), dict):
        return coerce(schema, {"anyOf": leaves}, found)
    return value


def _number(text: str) -> int | float | None:
    if len(text) > _NUMBER_CHARS_MAX or not _NUMBER.fullmatch(text):
        return None
    if text.lstrip("+-").isdecimal():
        return int(text)
    number = float(text)
    return number if math.isfinite(number) else None


def _list(schema: Schema, leaves: list[Mapping[str, Any]], text: str) -> list[Any] | None:
    """Return the items of a text: JSON, or one per line; items that are no free text may have commas between them."""
    if text.startswith("["):
        found = _json(text)
        if isinstance(found, list):
            return found
    items = next((leaf.get("items") for leaf in leaves if "array" in _own_types(leaf)), None)
    types = _types(schema, items) if isinstance(items, Mapping) else _ANY
    if types <= _CONTAINERS:
        return None
    words = list(_leaves(schema, items))
    free = "string" in types and _listed(words) is None and not all("format" in leaf for leaf in words)
    parts = text.splitlines() if free else re.split(r"[\n,]", text)
    return [part.strip() for part in parts if part.strip()]


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
