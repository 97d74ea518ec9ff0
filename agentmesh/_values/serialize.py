"""Values as typed JSON: the payload of `result`, `action`, `inputs`, `meta` and `final` events (spec: kodosumi §5.1).

A value is wrapped in its type's name::

    {"a": 1}           {"dict": {"a": 1}}
    "text"             {"str": "text"}
    [1, "b"]           {"__list__": [{"int": 1}, {"str": "b"}]}
    Markdown("# Hi")   {"Markdown": {"body": "# Hi"}}
    None               {"TypeError": "None"}
    a pandas frame     {"Table": {"columns": ["a"], "rows": [[1]], "more": 0}}
    a picture, a plot  {"Image": {"url": "data:image/png;base64,…", "alt": null}}

Nothing an author returns may break the job: what JSON cannot say becomes the nearest thing it can, deep and cyclic
structures are cut with `…`, and the output is always valid JSON and valid UTF-8.
"""

import base64
import dataclasses
import datetime
import decimal
import enum
import fractions
import inspect
import json
import math
import pathlib
import types
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, cast

from agentmesh._values import rich

DEPTH_MAX = 64
NODES_MAX = 1_000_000
CUT = "…"

_SCALARS = (str, bool, int, float)
# The text of an int is refused by Python beyond 4,300 digits (CVE-2020-10735); bits are safe to count.
_INT_BITS_MAX = 13_000


def serialize(value: Any, *, strict: bool = False) -> str:
    """Return `value` as typed JSON: compact, non-ASCII unescaped.

    With `strict` it raises `CannotShow` for what a library made and nobody could look at; else its words stand for it.
    """
    try:
        wrapped = _Walk(strict).wrap(value)
    except rich.CannotShow:
        raise
    except Exception:  # a broken property or mapping of the author's
        wrapped = {"TypeError": _text(value)}
    return _dumps(wrapped)


def to_json(value: Any) -> str:
    """Return `value` as plain JSON, without type names."""
    return _dumps(plain(value))


def plain(value: Any) -> Any:
    """Return the nearest thing to `value` that is made of dict, list, str, int, float, bool and None."""
    return _Walk().plain(value)


def survives_json(value: Any) -> bool:
    """Return whether `value` comes back from JSON as it was: same types, same values."""
    return _survives(value, DEPTH_MAX)


def _survives(value: Any, depth: int) -> bool:
    kind = type(value)
    if value is None or kind is bool:
        return True
    if kind is int:
        return bool(value.bit_length() <= _INT_BITS_MAX)
    if kind is float:
        return math.isfinite(value)
    if kind is str:
        return _is_utf8(value)
    if depth == 0:
        return False
    if kind is list:
        return all(_survives(item, depth - 1) for item in value)
    if kind is dict:
        return all(type(key) is str and _is_utf8(key) and _survives(item, depth - 1) for key, item in value.items())
    return False


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


class _Walk:
    """One pass over one value: knows what it is inside of, and how much it has seen."""

    def __init__(self, strict: bool = False) -> None:
        self._strict = strict
        self._inside: set[int] = set()
        self._left = NODES_MAX

    def wrap(self, value: Any) -> Any:
        if isinstance(value, enum.Enum):
            value = value.value
        for kind in (bool, int, float, str):
            if isinstance(value, kind):
                return {kind.__name__: self.plain(value)}
        if isinstance(value, Mapping):
            return {"dict": self.plain(value)}
        if isinstance(value, list | tuple):
            if not self._enter(value):
                return {"TypeError": CUT}
            try:
                return {"__list__": [self.wrap(item) for item in value if self._count()]}
            finally:
                self._inside.discard(id(value))
        try:
            shown = rich.converted(value)
        except rich.CannotShow as error:
            if self._strict:
                raise
            return {"TypeError": _utf8(str(error))}
        if shown is not value:
            return self.wrap(shown)
        fields = _fields(value)
        if fields is None:
            return {"TypeError": _text(value)}
        if not self._enter(value):
            return {type(value).__name__: CUT}
        try:
            return {type(value).__name__: {_utf8(str(name)): self.plain(item) for name, item in fields.items()}}
        finally:
            self._inside.discard(id(value))

    def plain(self, value: Any) -> Any:
        scalar = scalar_of(value)
        if scalar is not value or value is None or isinstance(value, _SCALARS):
            return scalar
        if not self._enter(value):
            return CUT
        try:
            return self._container(value)
        except Exception:  # a broken property or mapping of the author's
            return _text(value)
        finally:
            self._inside.discard(id(value))

    def _enter(self, value: Any) -> bool:
        self._left -= 1
        if self._left < 0 or len(self._inside) >= DEPTH_MAX or id(value) in self._inside:
            return False
        self._inside.add(id(value))
        return True

    def _container(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            result: dict[str, Any] = {}
            for key, item in value.items():
                if not self._count():
                    result[CUT] = CUT
                    break
                result[_key(key)] = self.plain(item)
            return result
        if isinstance(value, list | tuple):
            return self._items(value)
        if isinstance(value, set | frozenset):
            try:
                return self._items(sorted(value))
            except TypeError:  # of mixed types
                return self._items(sorted(value, key=repr))
        if rich.library_of(value) not in ("", "numpy"):
            return self._library(value)
        if callable(tolist := getattr(value, "tolist", None)) and not isinstance(value, type):
            return self._foreign(value, tolist)  # numpy scalars and arrays
        fields = _fields(value)
        if fields:
            return {_utf8(str(name)): self.plain(item) for name, item in fields.items()}
        if isinstance(value, Collection) and not isinstance(value, type):
            return self._foreign(value, lambda: list(value))  # deque, dict views, range
        return _text(value)

    def _items(self, values: Sequence[Any]) -> list[Any]:
        result = []
        for item in values:
            if not self._count():
                result.append(CUT)
                break
            result.append(self.plain(item))
        return result

    def _library(self, value: Any) -> Any:
        """Return a data frame or picture within something else: the fields of what shows it, or why there is none."""
        try:
            shown = rich.converted(value)
        except rich.CannotShow as error:
            return _utf8(str(error))
        return _text(value) if shown is value else self.plain(shown)

    def _foreign(self, value: Any, convert: Callable[[], Any]) -> Any:
        try:
            return self.plain(convert())
        except Exception:  # whatever the foreign type does is not ours to mend
            return _text(value)

    def _count(self) -> bool:
        self._left -= 1
        return self._left >= 0


def scalar_of(value: Any) -> Any:
    """Return the JSON scalar for `value`, or `value` itself if it is none."""
    if isinstance(value, enum.Enum):
        return scalar_of(value.value)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, str):
        return _utf8(value)
    if isinstance(value, int):
        return int(value) if value.bit_length() <= _INT_BITS_MAX else hex(value)
    if isinstance(value, float):
        # JSON has no other numbers; the names are those of ProtoJSON.
        if math.isnan(value):
            return "NaN"
        return float(value) if math.isfinite(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, decimal.Decimal | fractions.Fraction | uuid.UUID | pathlib.PurePath | complex):
        return str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        data = bytes(value)
        try:
            return data.decode()
        except UnicodeDecodeError:
            return base64.b64encode(data).decode()
    return value


def _key(key: Any) -> str:
    scalar = scalar_of(key)
    if isinstance(scalar, str):
        return scalar
    # As the json module writes them: true, null, 1.5.
    return json.dumps(scalar) if scalar is None or isinstance(scalar, bool | int | float) else _text(key)


def _utf8(text: str) -> str:
    return str(text) if _is_utf8(text) else text.encode("utf-8", "replace").decode()


def _text(value: Any) -> str:
    try:
        return _utf8(str(value))
    except Exception:  # an author's __str__ may be broken
        return f"<{type(value).__name__}>"


_OPAQUE = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.MethodType, set, frozenset)


def _fields(value: Any) -> dict[str, Any] | None:
    """Return the public fields of a model, dataclass or plain object; None if it has no such thing."""
    if value is None or isinstance(value, _OPAQUE) or scalar_of(value) is not value:
        return None
    if inspect.isgenerator(value) or inspect.isasyncgen(value) or inspect.iscoroutine(value):
        return None
    dump = getattr(type(value), "model_dump", None)
    if callable(dump):
        try:
            return cast(dict[str, Any], dump(value))
        except Exception:  # computed fields run an author's code; the stored ones are still there
            return dict(getattr(value, "__dict__", {}))
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name, None) for field in dataclasses.fields(value)}
    if isinstance(value, BaseException):
        return {"message": _text(value)}
    names = dict.fromkeys(name for cls in type(value).__mro__ for name in _slots(cls))
    found = {name: getattr(value, name) for name in names if hasattr(value, name)}
    found |= getattr(value, "__dict__", {})
    if not found and not hasattr(value, "__dict__"):
        return None
    return {name: item for name, item in found.items() if not str(name).startswith("_")}


def _slots(cls: type) -> tuple[str, ...]:
    slots = cls.__dict__.get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)
