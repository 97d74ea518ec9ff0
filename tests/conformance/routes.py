"""Every REST route of the contract as data, for tests that call them all."""

import dataclasses
import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any

from gateway import openapi
from gateway.edge import contract

LEFT_OUT = ("/-/{proxy_path=**}",)
"""Leads into an app, which answers for itself: tests/gateway/dialects/kodosumi/test_flows.py."""
_VARIABLE = re.compile(r"(\{[^}]*\})")


@dataclasses.dataclass(frozen=True, slots=True)
class Route:
    """A way to call a method."""

    method: contract.Method
    verb: str
    template: str
    dialect: str

    def __str__(self) -> str:
        return f"{self.verb} {self.template}"

    @property
    def variables(self) -> list[str]:
        """What its path leaves open, such as `crew_id` or `name=jobs/*`."""
        return [part[1:-1] for part in _VARIABLE.findall(self.template)]

    def pieces(self) -> Iterator[tuple[str, bool]]:
        """Yield what its path is made of, and whether it is left open."""
        for part in _VARIABLE.split(self.template):
            if not part.startswith("{"):
                yield part, False
                continue
            for piece in re.split(r"(\*+)", part[1:-1].partition("=")[2] or "*"):
                yield piece, piece.startswith("*")


@functools.cache
def routes(dialect: str = "") -> tuple[Route, ...]:
    """Return every route of a dialect, or of all."""
    return tuple(
        Route(method, verb, template, service.dialect)
        for service in contract.services(contract.descriptors())
        if dialect in ("", service.dialect)
        for method in service.methods
        for verb, template in method.bindings
        if template not in LEFT_OUT
    )


def example(route: Route, ids: Mapping[str, str] | None = None) -> Any:
    """Return the least that the reference wants in a body, or `None`; fields named in `ids` have its values."""
    service, _, method = route.method.name.rpartition("/")
    operation = _operations(route.dialect).get(f"{service.rpartition('.')[2].removesuffix('Service')}_{method}", {})
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    return _example(content["schema"], _documents()[route.dialect], ids or {}, "") if content else None


@functools.cache
def _documents() -> Mapping[str, Any]:
    return openapi.documents()


@functools.cache
def _operations(dialect: str) -> Mapping[str, Any]:
    paths = _documents()[dialect]["paths"].values()
    return {operation["operationId"]: operation for path in paths for operation in path.values()}


def _example(schema: Mapping[str, Any], root: Mapping[str, Any], ids: Mapping[str, str], name: str) -> Any:
    while "$ref" in schema:
        schema = functools.reduce(lambda node, key: node[key], schema["$ref"].removeprefix("#/").split("/"), root)
    if name in ids:
        return ids[name]
    for key in ("const", "default", "example"):
        if key in schema:
            return schema[key]
    for key in ("enum", "examples"):
        if schema.get(key):
            return schema[key][0]
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return _example(schema[key][0], root, ids, name)
    kind = schema.get("type", "object")
    match kind[0] if isinstance(kind, list) else kind:
        case "object":
            wanted = {*schema.get("required", ()), *(set(schema.get("properties", ())) & set(ids))}
            return {key: _example(schema.get("properties", {}).get(key, {}), root, ids, key) for key in sorted(wanted)}
        case "array":
            return [_example(schema["items"], root, ids, name)] if schema.get("minItems") else []
        case "string":
            return "something" if schema.get("format") != "uri" else "https://example.com/"
        case "boolean":
            return False
        case "null":
            return None
        case _:
            return schema.get("minimum", 1)
