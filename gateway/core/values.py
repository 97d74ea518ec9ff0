"""JSON values that a typed field cannot say: `null`, or an array at the top."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from google.protobuf import json_format, struct_pb2
from google.protobuf.message import Message

from meshkit.errors import Invalid

_DEPTH_MAX = 30  # each level is up to three nested messages, of which protobuf reads a hundred
_INT_MAX = 2**53


def value(item: Any) -> struct_pb2.Value:
    """Return None, a bool, number, text, list or dict as a `Value`; None is `null`, not absent."""
    if item is None:
        return struct_pb2.Value(null_value=struct_pb2.NULL_VALUE)
    if isinstance(item, str):
        return struct_pb2.Value(string_value=item)
    if isinstance(item, bool):
        return struct_pb2.Value(bool_value=item)
    parsed = struct_pb2.Value()
    json_format.ParseDict(item, parsed)
    return parsed


def optional(message: Message, field: str) -> struct_pb2.Value:
    """Return an `optional` field of a message as a `Value`: `null` if it is absent."""
    return value(getattr(message, field) if message.HasField(field) else None)


def array(items: Iterable[Message]) -> struct_pb2.ListValue:
    """Return messages as a JSON array, as the snake_case transcoder would print them."""
    listed = struct_pb2.ListValue()
    for item in items:
        as_json = json_format.MessageToDict(
            item, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
        json_format.ParseDict(as_json, listed.values.add().struct_value)
    return listed


def struct(items: Mapping[str, Any], field: str) -> struct_pb2.Struct:
    """Return a JSON object as a `Struct`.

    Raises `Invalid`, naming `field`, for what a `Struct` would change on the way: integers beyond 2**53, and objects
    nested deeper than 30 levels.
    """
    _check(items, field, _DEPTH_MAX)
    made = struct_pb2.Struct()
    json_format.ParseDict(dict(items), made)
    return made


def _check(item: Any, field: str, depth: int) -> None:
    if depth < 0:
        raise Invalid(f"{field} is nested too deep", {field: [f"nest at most {_DEPTH_MAX} levels"]})
    if isinstance(item, Mapping):
        for inner in item.values():
            _check(inner, field, depth - 1)
    elif isinstance(item, list):
        for inner in item:
            _check(inner, field, depth - 1)
    elif isinstance(item, int) and abs(item) > _INT_MAX:
        raise Invalid(f"{field} has a number that is too large", {field: ["send integers beyond 2**53 as text"]})


@contextlib.contextmanager
def fields(prefix: str = "", /, **names: str) -> Iterator[None]:
    """Around calls to a service: its `Invalid` names our fields instead of those of its message.

    `prefix` is the message's field, such as `user`, and is cut off, unless it is all; `names` maps what is left,
    where it is different.
    """
    try:
        yield
    except Invalid as error:
        ours = {_renamed(key.removeprefix(f"{prefix}."), names): texts for key, texts in error.fields.items()}
        raise type(error)(str(error), ours, **error.metadata) from error


def _renamed(key: str, names: Mapping[str, str]) -> str:
    return names.get(key, key)
