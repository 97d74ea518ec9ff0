"""Checks inputs by a schema: see `check`."""

import itertools
import math
from collections.abc import Mapping
from typing import Any

import jsonschema_rs

from meshkit.errors import Invalid
from meshkit.inputs import coercion, words
from meshkit.inputs.schema import Schema

NODES_MAX = 20_000
"""Values in inputs, those within lists and objects included."""
DEPTH_MAX = 32
CHARS_MAX = 8 * 1024 * 1024
"""Of all texts together."""
PATTERN_CHARS_MAX = 10_000
"""Longest text that is matched against an author's pattern."""
_MESSAGES_MAX = 100
_KNOWN_SHOWN_MAX = 30
# Python refuses the text of an int beyond 4,300 digits.
_INT_BITS_MAX = 13_000


def check(schema: Schema, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the inputs as the flow gets them: in the schema's types, with its defaults, valid against it.

    An empty text or null counts as not given, unless the schema allows it; for a field that is required it never does.
    What forms send beside their fields, such as the button that was pressed, is left out.  Raises `Invalid` with
    messages by field; `_global_` has those that concern none.
    """
    _refuse(_beyond_limits(inputs))
    values, problems = _prepared(schema, inputs)
    _refuse(_beyond_limits(values))  # a text may have held more than it seemed
    found = _problems(schema, values)
    blank = [name for name in found if coercion.is_blank(values.get(name)) and name not in schema.required]
    if blank:  # what was left empty may be left out, where an empty text is not allowed
        for name in blank:
            _leave_out(schema, name, values)
        found = _problems(schema, values)
    _refuse({**found, **problems})
    return values


def _refuse(problems: Mapping[str, list[str]]) -> None:
    if problems:
        told = "; ".join(
            text if name == words.GLOBAL else f"{name} {text}" for name, texts in problems.items() for text in texts
        )
        raise Invalid(told, problems)


def _prepared(schema: Schema, inputs: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Return the values to validate, and what can be told before."""
    values: dict[str, Any] = {}
    problems: dict[str, list[str]] = {}
    for name, node in schema.properties.items():
        if name not in inputs:
            _fill(schema, name, values)
            continue
        value = inputs[name]
        is_misplaced = coercion.is_blank(value) and not coercion.allows(schema, node, value)
        if name in schema.required and (is_misplaced or _is_missing(value)):
            problems[name] = ["is required"]
        elif is_misplaced:
            _leave_out(schema, name, values)
        else:
            values[name] = coercion.coerce(schema, node, value)
    open_ended = schema.root.get("additionalProperties", False) is not False
    for name in inputs:
        if name in schema.properties or _is_extra(name):
            continue
        if open_ended:
            values[name] = inputs[name]
        else:
            problems[name] = [f"is no field here; there is {_known(schema)}"]
    return values, problems


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _is_extra(name: str) -> bool:
    """Return whether forms send this beside their fields."""
    return name.startswith("__") or name in (words.GLOBAL, "submit", "cancel")


def _known(schema: Schema) -> str:
    names = list(schema.properties)
    shown = ", ".join(names[:_KNOWN_SHOWN_MAX]) + (", …" if len(names) > _KNOWN_SHOWN_MAX else "")
    return shown or "none"


def _fill(schema: Schema, name: str, values: dict[str, Any]) -> None:
    """Set a value that is not given to its default, if it has one."""
    exists, default = coercion.default_of(schema, schema.properties[name])
    if exists:
        values[name] = default


def _leave_out(schema: Schema, name: str, values: dict[str, Any]) -> None:
    """Set a value that was left empty to nothing, where that is allowed, else to its default."""
    values.pop(name, None)
    if coercion.allows(schema, schema.properties[name], None):
        values[name] = None
    else:
        _fill(schema, name, values)


def _problems(schema: Schema, values: dict[str, Any]) -> dict[str, list[str]]:
    """Return what the schema refuses, by field."""
    for name in schema.patterned & values.keys():
        if _longest(values[name]) > PATTERN_CHARS_MAX:
            return {name: [f"must be at most {PATTERN_CHARS_MAX} characters long"]}
    try:
        if schema.validator.is_valid(values):
            return {}
        return words.by_field(itertools.islice(schema.validator.iter_errors(values), _MESSAGES_MAX))
    except (ValueError, jsonschema_rs.ReferencingError):  # what it cannot carry: it has no message for people
        return {words.GLOBAL: ["the inputs cannot be checked"]}


def _longest(value: Any) -> int:
    longest, left = 0, [value]
    while left:
        item = left.pop()
        if isinstance(item, str):
            longest = max(longest, len(item))
        elif isinstance(item, list):
            left += item
        elif isinstance(item, dict):
            left += [*item, *item.values()]
    return longest


def _beyond_limits(inputs: Mapping[str, Any]) -> dict[str, list[str]]:
    if not all(isinstance(name, str) and _is_utf8(name) for name in inputs):
        return {words.GLOBAL: ["names of fields must be text"]}
    limits = _Limits()
    return {name: [text] for name, value in inputs.items() if (text := limits.problem(value)) is not None}


class _Limits:
    """Says what about a value no schema could take."""

    def __init__(self) -> None:
        self._nodes = NODES_MAX
        self._chars = CHARS_MAX

    def problem(self, value: Any, depth: int = 1) -> str | None:
        """Return what is wrong, or None."""
        self._nodes -= 1
        if self._nodes < 0:
            return f"must have at most {NODES_MAX} entries"
        if depth > DEPTH_MAX:
            return f"must be nested at most {DEPTH_MAX} deep"
        if isinstance(value, str):
            self._chars -= len(value)
            if self._chars < 0:
                return f"must be at most {CHARS_MAX} characters long"
            return None if _is_utf8(value) else "must be valid Unicode"
        if value is None or isinstance(value, bool):
            return None
        if isinstance(value, int):
            return None if value.bit_length() <= _INT_BITS_MAX else "is too large a number"
        if isinstance(value, float):
            return None if math.isfinite(value) else "must be a number"
        if isinstance(value, dict):
            if not all(isinstance(key, str) for key in value):
                return "must be a JSON object"
            parts = [*value, *value.values()]
        elif isinstance(value, list):
            parts = value
        else:
            return "must be JSON"
        return next((text for part in parts if (text := self.problem(part, depth + 1)) is not None), None)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
