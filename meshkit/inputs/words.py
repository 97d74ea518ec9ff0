"""What a schema refuses, in people's words and by field."""

from collections.abc import Iterable, Sequence
from typing import Any

import jsonschema_rs

from meshkit.inputs import formats

GLOBAL = "_global_"
"""The field of messages that belong to no field."""

_KIND = jsonschema_rs.ValidationErrorKind
_OPTIONS_SHOWN_MAX = 20
_OPTION_CHARS_MAX = 60
_TYPES = {
    "boolean": "yes or no",
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "array": "a list",
    "object": "a JSON object",
}


def by_field(errors: Iterable[Any]) -> dict[str, list[str]]:
    """Return messages for a validator's errors; one that lies deeper says where."""
    found: dict[str, list[str]] = {}
    for error in errors:
        for path, text in _told(error):
            first, *rest = path or (GLOBAL,)
            place = ".".join(str(part + 1) if isinstance(part, int) else part for part in rest)
            messages = found.setdefault(str(first), [])
            if (message := f"{place}: {text}" if place else text) not in messages:
                messages.append(message)
    return found


def _told(error: Any) -> list[tuple[list[str | int], str]]:
    """Return where an error lies, and its words; several for one that stands for several."""
    path = list(error.instance_path)
    match error.kind:
        case _KIND.Required(property=name):
            return [([*path, name], "is required")]
        case _KIND.AdditionalProperties(unexpected=names) | _KIND.UnevaluatedProperties(unexpected=names):
            return [(path, f"there is no field {', '.join(repr(name) for name in names[:5])}")]
        case _KIND.AnyOf(context=context) | _KIND.OneOfNotValid(context=context):
            return _closest(path, context)
    return [(path, _words(error.kind))]


def _closest(path: list[str | int], context: Sequence[Sequence[Any]]) -> list[tuple[list[str | int], str]]:
    """Return what is wrong with the one alternative that was meant: that whose type the value has."""
    meant = [branch for branch in context if not any(_is_type(error, path) for error in branch)]
    if len(meant) == 1:
        return [told for error in meant[0] for told in _told(error)]
    types = [name for branch in context for error in branch if _is_type(error, path) for name in error.kind.types]
    if meant or not types:
        return [(path, "is none of what is allowed here")]
    return [(path, f"must be {_types(types)}")]


def _is_type(error: Any, path: list[str | int]) -> bool:
    return isinstance(error.kind, _KIND.Type) and list(error.instance_path) == path


def _types(names: Iterable[str]) -> str:
    shown = [_TYPES[name] for name in dict.fromkeys(names) if name in _TYPES]
    return " or ".join(shown) or "left empty"


def _words(kind: Any) -> str:
    match kind:
        case _KIND.Type(types=names):
            return f"must be {_types(names)}"
        case _KIND.Minimum(limit=limit):
            return f"must be at least {limit}"
        case _KIND.Maximum(limit=limit):
            return f"must be at most {limit}"
        case _KIND.ExclusiveMinimum(limit=limit):
            return f"must be more than {limit}"
        case _KIND.ExclusiveMaximum(limit=limit):
            return f"must be less than {limit}"
        case _KIND.MultipleOf(multiple_of=step):
            return f"must be a multiple of {step}"
        case _KIND.MinLength(limit=limit):
            return f"must be at least {_counted(limit, 'character')} long"
        case _KIND.MaxLength(limit=limit):
            return f"must be at most {_counted(limit, 'character')} long"
        case _KIND.MinItems(limit=limit):
            return f"must have at least {_counted(limit, 'item')}"
        case _KIND.MaxItems(limit=limit):
            return f"must have at most {_counted(limit, 'item')}"
        case _KIND.MinProperties(limit=limit):
            return f"must have at least {_counted(limit, 'entry', 'entries')}"
        case _KIND.MaxProperties(limit=limit):
            return f"must have at most {_counted(limit, 'entry', 'entries')}"
        case _KIND.Enum(options=options):
            return f"must be one of {_options(options)}"
        case _KIND.Constant(expected_value=value):
            return f"must be {_shown(value)}"
        case _KIND.Format(format=name):
            return f"must be {formats.WORDS.get(name, f'of the form {name}')}"
        case _KIND.Pattern():
            return "does not have the expected format"
        case _KIND.BacktrackLimitExceeded() | _KIND.RegexEngineFailure():
            return "takes too long to check; enter something shorter"
        case _KIND.UniqueItems():
            return "must not have the same item twice"
        case _KIND.Custom(message=message):
            return str(message)
    return "is not valid"


def _options(options: Iterable[Any]) -> str:
    shown = [_shown(option) for option in options if option is not None and option != ""]
    more = ", …" if len(shown) > _OPTIONS_SHOWN_MAX else ""
    return ", ".join(shown[:_OPTIONS_SHOWN_MAX]) + more


def _shown(value: Any) -> str:
    text = {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
    return text if len(text) <= _OPTION_CHARS_MAX else text[: _OPTION_CHARS_MAX - 1] + "…"


def _counted(limit: int, one: str, several: str = "") -> str:
    return f"{limit} {one if limit == 1 else several or f'{one}s'}"
