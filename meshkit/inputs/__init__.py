"""Inputs of a launch, checked by the schema that a flow declares: `compile_schema` once a flow, `check` at each launch.

    schema = compile_schema(flow.input_schema_json)
    values = check(schema, {"count": "3", "loud": "on"})

Schemas and inputs come from people who are not trusted: the work of both calls is bounded, whatever they hold.  What
`check` returns is valid against the schema; all it raises is `meshkit.errors.Invalid`, with messages by field.
"""

from meshkit.inputs.checking import check
from meshkit.inputs.schema import Schema, compile_schema

__all__ = ["Schema", "check", "compile_schema"]
