"""Pydantic's models as JSON Schema; models within are components of their own."""

import re
from collections.abc import Callable
from typing import Any

import pydantic
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode

Schema = dict[str, Any]


class _Untitled(GenerateJsonSchema):
    """Without a title for each field that says its name again."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Never."""
        return False


def schema(model: Any, add: Callable[[str, Schema], None], *, answer: bool) -> Schema:
    """Return the schema of a type that pydantic knows; models go to `add`, by name, and are referred to."""
    mode: JsonSchemaMode = "serialization" if answer else "validation"
    adapter = pydantic.TypeAdapter(model)
    made = adapter.json_schema(
        mode=mode, ref_template="#/components/schemas/{model}", schema_generator=_Untitled, by_alias=True
    )
    for name, inner in made.pop("$defs", {}).items():
        add(name, _clean(inner))
    made = _clean(made)
    if isinstance(model, type) and issubclass(model, pydantic.BaseModel) and "$ref" not in made:
        name = re.sub(r"\W+", "_", model.__name__).strip("_")  # `Success[Payment]`
        add(name, made)
        return {"$ref": f"#/components/schemas/{name}"}
    return made


def _clean(schema: Schema) -> Schema:
    """Drop the name of the class, which is the component's."""
    return {key: value for key, value in schema.items() if key != "title"}
