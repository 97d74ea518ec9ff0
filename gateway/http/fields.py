"""What is wrong with JSON as a message: a name that it does not have, or a value of another kind.

proto3's JSON lets who reads it pass over names.  We do not (ADR 49): what was misspelt would not count, and nobody
would be told.
"""

import difflib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from gateway.http.bodies import strict_json

_AS_THEY_ARE = ("google.protobuf.", "google.api.HttpBody")
"""Messages with a JSON of their own."""
_TEXTS = ("Timestamp", "Duration", "FieldMask")
_NAMES_MAX = 12
_SHOWN_MAX = 60
_KINDS: Mapping[int, tuple[tuple[type, ...], str]] = {
    FieldDescriptor.CPPTYPE_STRING: ((str,), "text"),
    FieldDescriptor.CPPTYPE_BOOL: ((bool, str), "true or false"),
    FieldDescriptor.CPPTYPE_ENUM: ((str, int), "one of its names"),
    FieldDescriptor.CPPTYPE_INT32: ((int, float, str), "a number"),
    FieldDescriptor.CPPTYPE_UINT32: ((int, float, str), "a number"),
    FieldDescriptor.CPPTYPE_INT64: ((int, float, str), "a number"),
    FieldDescriptor.CPPTYPE_UINT64: ((int, float, str), "a number"),
    FieldDescriptor.CPPTYPE_DOUBLE: ((int, float, str), "a number"),
    FieldDescriptor.CPPTYPE_FLOAT: ((int, float, str), "a number"),
    FieldDescriptor.CPPTYPE_MESSAGE: ((dict,), "an object"),
}
"""What stands for each in JSON, and in words.  Which texts an enum or a time has is known to who reads the message."""


def parsed(data: bytes) -> tuple[Any, str]:
    """Return the JSON in `data`, and what is wrong with it: nothing if it is JSON."""
    try:
        return strict_json(data.decode("utf-8")), ""
    except UnicodeDecodeError as error:
        return None, f"it is not UTF-8 (byte {error.start})"
    except json.JSONDecodeError as error:
        return None, f"{error.msg} (line {error.lineno}, column {error.colno})"
    except (ValueError, RecursionError) as error:
        return None, str(error)[:200]


def wrong(value: Any, kind: Descriptor, where: str = "") -> str:
    """Return what is wrong with `value` as a message of this kind, which is at `where`; empty if nothing is."""
    if _has_own_json(kind):
        return _wrong_own(value, kind, where)
    if value is None and where:
        return ""
    if not isinstance(value, dict):
        return f"{where or 'the body'}: an object is expected, not {_said(value)}"
    for name, inner in value.items():
        field = named(kind, name)
        at = f"{where}.{_cut(name)}" if where else _cut(name)
        if field is None:
            return f"{at}: {unknown(name, kind)}"
        if text := _wrong_field(inner, field, at):
            return text
    return ""


def named(kind: Descriptor, name: str) -> FieldDescriptor | None:
    """Return the field of that name, in camel case or as the proto has it; None if there is none."""
    if not name.isascii():  # and Protobuf has no words for half a surrogate pair
        return None
    return kind.fields_by_camelcase_name.get(name) or kind.fields_by_name.get(name)


def unknown(name: str, kind: Descriptor) -> str:
    """Say that a message has no such field, and which one may be meant."""
    names = sorted(kind.fields_by_camelcase_name)
    return f"there is no such field{like(name, names)}"


def like(name: str, names: Iterable[str]) -> str:
    """Return the name that may be meant, as the end of a sentence; else those that there are, if they are few."""
    by_letters = {_letters(each): each for each in names}
    near = difflib.get_close_matches(_letters(name[:_SHOWN_MAX]), by_letters, n=1)
    if near:
        return f"; did you mean {by_letters[near[0]]}?"
    if not by_letters:
        return ", and no other"
    return f"; known: {', '.join(by_letters.values())}" if len(by_letters) <= _NAMES_MAX else ""


def _letters(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


def _wrong_field(value: Any, field: FieldDescriptor, at: str) -> str:
    if value is None:
        return ""
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        if not isinstance(value, dict):
            return f"{at}: an object is expected, not {_said(value)}"
        inner = kind.fields_by_name["value"]
        return _first(_wrong_one(each, inner, f"{at}.{_cut(key)}") for key, each in value.items())
    if field.is_repeated:
        if not isinstance(value, list):
            return f"{at}: a list is expected, not {_said(value)}"
        return _first(_wrong_one(each, field, f"{at}[{index}]") for index, each in enumerate(value))
    return _wrong_one(value, field, at)


def _wrong_one(value: Any, field: FieldDescriptor, at: str) -> str:
    if field.message_type is not None:
        return wrong(value, field.message_type, at)
    kinds, words = _KINDS[field.cpp_type]
    fits = isinstance(value, kinds) and (not isinstance(value, bool) or bool in kinds)
    if isinstance(value, str) and float in kinds:
        fits = _is_number(value)
    return "" if fits else f"{at}: {words} is expected, not {_said(value)}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _wrong_own(value: Any, kind: Descriptor, where: str) -> str:
    if kind.name == "Struct" and not isinstance(value, dict):
        return f"{where or 'the body'}: an object is expected, not {_said(value)}"
    if kind.name in _TEXTS and not isinstance(value, str):
        return f"{where}: text is expected, not {_said(value)}"
    return ""


def _has_own_json(kind: Descriptor) -> bool:
    return str(kind.full_name).startswith(_AS_THEY_ARE)


def _first(texts: Iterable[str]) -> str:
    return next((text for text in texts if text), "")


def _said(value: Any) -> str:
    match value:
        case None | bool():
            return json.dumps(value)
        case dict():
            return "an object"
        case list():
            return "a list"
        case _:
            return _cut(json.dumps(value, ensure_ascii=False))


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_MAX else f"{text[: _SHOWN_MAX - 1]}…"
