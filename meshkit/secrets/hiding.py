"""Secrets within data and texts: which fields of a form are secret, data without them, texts without them.

A field is secret if its form or schema says that it is a password.  Its value is replaced where the field stands, and
wherever it turns up elsewhere: as it is, and as it stands in JSON.  Values are looked for, not patterns.  A short one
would garble texts that have it by chance: elsewhere, those of fewer than six characters stay.
"""

import functools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from meshkit import jsons
from meshkit.errors import Invalid, MeshError
from meshkit.secrets.sealing import MASK

REDACTED = "[REDACTED]"
"""In the place of a secret in a text, as a job's host writes it too (`agentmesh._job.redaction`)."""
CHARS_MIN = 6
"""A shorter value is replaced in its field only."""
_VALUES_MAX = 64
"""Values that are looked for in the texts of one job."""
_DEPTH_MAX = 64


@functools.lru_cache(maxsize=1024)
def fields_of(elements_json: str, schema_json: str = "") -> frozenset[str]:
    """Return the names of the secret fields of a form, a JSON array of elements, and of a JSON Schema.

    A text that cannot be read has none.
    """
    elements, schema = jsons.value_of(elements_json), jsons.value_of(schema_json)
    names = {
        str(element["name"])
        for element in (elements if isinstance(elements, list) else ())
        if isinstance(element, Mapping) and element.get("type") == "password" and element.get("name")
    }
    return frozenset(names | set(_of_schema(schema)))


def _of_schema(schema: Any) -> Iterator[str]:
    """Yield the names of properties, however deep, that are passwords."""
    root, todo, seen = schema, [schema], 0
    while todo and seen < 10_000:
        seen += 1
        node = todo.pop()
        if isinstance(node, list):
            todo += node
        elif isinstance(node, Mapping):
            properties = node.get("properties")
            if isinstance(properties, Mapping):
                yield from (str(name) for name, each in properties.items() if _is_secret(each, root))
            todo += node.values()


def _is_secret(schema: Any, root: Any, depth: int = 0) -> bool:
    if not isinstance(schema, Mapping) or depth > 8:
        return False
    if schema.get("format") == "password" or schema.get("writeOnly") is True:
        return True
    ways = [
        way for key in ("anyOf", "oneOf", "allOf") for way in schema.get(key) or () if isinstance(schema[key], list)
    ]
    ways += [schema["items"]] if "items" in schema else []
    if isinstance(ref := schema.get("$ref"), str) and ref.startswith("#/") and isinstance(root, Mapping):
        target: Any = root
        for part in ref[2:].split("/"):
            target = target.get(part) if isinstance(target, Mapping) else None
        ways.append(target)
    return any(_is_secret(way, root, depth + 1) for way in ways)


def values_of(data: Any, fields: frozenset[str]) -> list[str]:
    """Return what secret fields hold, as texts: each value once, longest first."""
    found: dict[str, None] = {}

    def walk(value: Any, secret: bool, depth: int) -> None:
        if depth > _DEPTH_MAX:
            return
        if isinstance(value, Mapping):
            for name, item in value.items():
                walk(item, secret or name in fields, depth + 1)
        elif isinstance(value, list):
            for item in value:
                walk(item, secret, depth + 1)
        elif secret and value is not None and not isinstance(value, bool) and str(value):
            found[str(value)] = None

    walk(data, False, 0)
    return sorted(found, key=len, reverse=True)[:_VALUES_MAX]


def without(data: Any, fields: frozenset[str], redactor: "Redactor", *, secret: bool = False) -> Any:
    """Return data with a mask in its secret fields, and without their values elsewhere."""
    if isinstance(data, Mapping):
        return {
            redactor.text(name): without(item, fields, redactor, secret=secret or name in fields)
            for name, item in data.items()
        }
    if isinstance(data, list):
        return [without(item, fields, redactor, secret=secret) for item in data]
    if secret:
        return MASK if data not in (None, "") and not isinstance(data, bool) else data
    return redactor.text(data) if isinstance(data, str) else data


class Redactor:
    """Replaces values wherever they stand in a text."""

    def __init__(self, values: Iterable[str]) -> None:
        self.values: Sequence[str] = tuple(dict.fromkeys(value for value in values if len(value) >= CHARS_MIN))
        """What it looks for."""
        forms: set[str] = set()
        for value in self.values:
            # As it is, and as it stands in JSON, once and twice (a JSON text within JSON).
            once = {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
            forms |= {value, *once, *(json.dumps(form)[1:-1] for form in once)}
        self._forms = sorted(forms, key=len, reverse=True)

    def __bool__(self) -> bool:
        return bool(self._forms)

    def text(self, text: str) -> str:
        """Return a text without the values."""
        for form in self._forms:
            if form in text:
                text = text.replace(form, REDACTED)
        return text

    def json(self, text: str) -> str:
        """Return JSON without the values, as JSON: where one was no part of a string, nothing of it is left."""
        clean = self.text(text)
        if clean != text and jsons.value_of(clean) is None:
            return json.dumps(REDACTED)
        return clean

    def error(self, error: MeshError) -> MeshError:
        """Take the values out of what an error says; return it."""
        if self._forms:
            error.args = tuple(self.text(arg) if isinstance(arg, str) else arg for arg in error.args)
            error.metadata = {name: self.text(value) for name, value in error.metadata.items()}
            if isinstance(error, Invalid):
                error.fields = {name: [self.text(text) for text in texts] for name, texts in error.fields.items()}
        return error


NOTHING = Redactor(())
"""Of what has no secrets."""
