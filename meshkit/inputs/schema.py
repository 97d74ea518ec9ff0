"""Schemas of inputs, compiled: JSON Schema 2020-12 as the SDK derives it, from an app that is not trusted.

What would make a check unbounded is refused: references out of the document, recursion, and what a schema with all its
references followed would be too large for.  Patterns are matched by an engine that gives up rather than backtrack.
"""

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema_rs

from meshkit.errors import Invalid
from meshkit.inputs import formats

BYTES_MAX = 256 * 1024
NODES_MAX = 2_000
"""Subschemas, with references followed."""
DEPTH_MAX = 32

_REFERENCE = re.compile(r"#/\$defs/([^/]+)")
_MAPS = ("properties", "patternProperties", "dependentSchemas")
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_SINGLES = (
    "items",
    "additionalProperties",
    "unevaluatedItems",
    "unevaluatedProperties",
    "propertyNames",
    "contains",
    "contentSchema",
    "not",
    "if",
    "then",
    "else",
)
_REFUSED = frozenset(
    {"$id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor", "$vocabulary"}
    | {"definitions", "dependencies", "additionalItems"}
)
_PATTERNS = jsonschema_rs.FancyRegexOptions(backtrack_limit=2_000, size_limit=1 << 20, dfa_size_limit=1 << 18)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Schema:
    """A schema that `check` can check by."""

    root: Mapping[str, Any]
    validator: "jsonschema_rs.Draft202012Validator"
    patterned: frozenset[str]
    """Properties whose texts are matched against a pattern."""

    @property
    def properties(self) -> Mapping[str, Any]:
        """Return the schemas of the values, by name."""
        found: Mapping[str, Any] = self.root["properties"]
        return found

    @property
    def required(self) -> frozenset[str]:
        """Return the names that may not be left out."""
        return frozenset(self.root.get("required", ()))

    def follow(self, node: Any) -> Mapping[str, Any]:
        """Return a node with its reference followed; what it says itself wins."""
        while isinstance(node, Mapping) and "$ref" in node:
            own = {key: value for key, value in node.items() if key != "$ref"}
            node = {**_target(node["$ref"], self.root), **own}
        return node if isinstance(node, Mapping) else {}


def compile_schema(text: str) -> Schema:
    """Compile the JSON text of a schema of an object.

    Raises `Invalid`, saying what about it cannot be taken.
    """
    if len(text.encode("utf-8", "replace")) > BYTES_MAX:
        raise Invalid(f"the schema of the inputs has more than {BYTES_MAX} bytes")
    try:
        root = json.loads(text)
    except (ValueError, RecursionError):
        raise Invalid("the schema of the inputs is not JSON") from None
    if not isinstance(root, dict) or root.get("type") != "object" or not isinstance(root.get("properties"), dict):
        raise Invalid("the schema of the inputs must be that of an object with properties")
    _Measure(root).node(root, 0, ())
    try:
        validator = jsonschema_rs.Draft202012Validator(
            root,
            formats=formats.CHECKS,
            validate_formats=True,
            keywords=formats.KEYWORDS,
            pattern_options=_PATTERNS,
            offline=True,
        )
    except (ValueError, jsonschema_rs.ReferencingError) as error:  # ValidationError is a ValueError
        raise Invalid(f"the schema of the inputs is no JSON Schema: {getattr(error, 'message', error)}") from None
    patterned = frozenset(name for name, node in root["properties"].items() if _has_pattern(node, root))
    return Schema(root, validator, patterned)


def _target(reference: Any, root: Mapping[str, Any]) -> Mapping[str, Any]:
    match = _REFERENCE.fullmatch(reference) if isinstance(reference, str) else None
    definitions = root.get("$defs")
    name = match[1].replace("~1", "/").replace("~0", "~") if match is not None else None
    found = definitions.get(name) if isinstance(definitions, dict) else None
    if not isinstance(found, dict):
        raise Invalid(f"the schema of the inputs refers to {str(reference)[:200]!r}, which it does not hold")
    return found


def _children(node: Mapping[str, Any], root: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the subschemas of a node, what it refers to included."""
    for key in _MAPS:
        if isinstance(found := node.get(key), dict):
            yield from found.values()
    for key in _LISTS:
        if isinstance(found := node.get(key), list):
            yield from found
    for key in _SINGLES:
        if key in node:
            yield node[key]
    if "$ref" in node:
        yield _target(node["$ref"], root)


def _has_pattern(node: Any, root: Mapping[str, Any]) -> bool:
    if not isinstance(node, Mapping):
        return False
    return bool(node.keys() & {"pattern", "patternProperties"}) or any(
        _has_pattern(child, root) for child in _children(node, root)
    )


class _Measure:
    """Counts a schema's nodes with references followed, and stops at the first that is one too many."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._left = NODES_MAX

    def node(self, node: Any, depth: int, inside: tuple[int, ...]) -> None:
        """Raise `Invalid` if the node cannot be taken, at `depth` and within those that `inside` names."""
        if not isinstance(node, Mapping):
            return
        if id(node) in inside:
            raise Invalid("the schema of the inputs is recursive: let pydantic check the inner part, as `Any`")
        self._left -= 1
        if self._left < 0:
            raise Invalid(f"the schema of the inputs has more than {NODES_MAX} parts")
        if depth > DEPTH_MAX:
            raise Invalid(f"the schema of the inputs is nested more than {DEPTH_MAX} deep")
        if refused := node.keys() & _REFUSED:
            raise Invalid(f"the schema of the inputs uses {sorted(refused)[0]}, which is not taken")
        for child in _children(node, self._root):
            self.node(child, depth + 1, (*inside, id(node)))
