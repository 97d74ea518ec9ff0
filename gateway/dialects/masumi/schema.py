"""Read bodies and queries of the masumi dialect, and complain in the words of the original's schemas (zod).

All that is wrong is said at once: `network: Invalid option: …; payByTime: Invalid input`.
"""

import datetime
import re
from collections.abc import Mapping, Sequence
from typing import Any

from google.api import httpbody_pb2

from gateway.http import bodies
from meshkit.errors import Invalid

NETWORKS = ("Preprod", "Mainnet")
FUNDS_MAX = 7
_AMOUNT = re.compile(r"\d{1,25}", re.ASCII)
_MS = re.compile(r"\d{1,15}", re.ASCII)
# What the original takes: a day, or a time in UTC or without a zone; no numbers, and no offsets.
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}:\d{2}(\.\d+)?Z?)?", re.ASCII)
_MISSING = object()


class Schema:
    """Reads fields one after the other; `check` raises once, for all that were wrong."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values
        self._issues: dict[str, list[str]] = {}

    @classmethod
    def of_body(cls, body: httpbody_pb2.HttpBody) -> "Schema":
        """Read a JSON object.  Raises `Invalid` if the body is none."""
        value = bodies.parse_json(body) if body.data else {}
        if not isinstance(value, dict):
            raise Invalid(f"Invalid input: expected object, received {_kind(value)}")
        return cls(value)

    def check(self) -> None:
        """Raise `Invalid` if anything was wrong."""
        if self._issues:
            text = "; ".join(f"{path}: {issue}" for path, issues in self._issues.items() for issue in issues)
            raise Invalid(text, self._issues)

    def refuse(self, path: str, issue: str) -> None:
        """Note that a field is wrong."""
        self._issues.setdefault(path, []).append(issue)

    def _get(self, name: str) -> Any:
        value = self._values.get(name, _MISSING)
        return _MISSING if value is None else value

    def text(self, name: str, *, least: int = 0, most: int = 8000) -> str:
        """Return a required text."""
        value = self._get(name)
        if not isinstance(value, str):
            self.refuse(name, f"Invalid input: expected string, received {_kind(value)}")
            return ""
        return self._bounded(name, value, least, most)

    def optional(self, name: str, *, most: int = 8000) -> str | None:
        """Return a text, or None."""
        return None if self._get(name) is _MISSING else self.text(name, most=most)

    def _bounded(self, name: str, value: str, least: int, most: int) -> str:
        if len(value) < least:
            self.refuse(name, f"Too small: expected string to have >={least} characters")
        elif len(value) > most:
            self.refuse(name, f"Too big: expected string to have <={most} characters")
        return value

    def choice(self, name: str, options: Sequence[str], default: str = "") -> str:
        """Return one of the options."""
        value = self._get(name)
        if value is _MISSING and default:
            return default
        if value not in options:
            listed = "|".join(f'"{option}"' for option in options)
            self.refuse(name, f"Invalid option: expected one of {listed}")
            return options[0]
        return str(value)

    def network(self) -> str:
        """Return the field `network`."""
        return self.choice("network", NETWORKS)

    def iso(self, name: str, default: int | None = None) -> int | None:
        """Return a time that is given in ISO 8601, in ms since 1970."""
        value = self._get(name)
        if value is _MISSING:
            return default
        moment = iso_ms(value) if isinstance(value, str) else None
        if moment is None:
            self.refuse(name, "Invalid input")
        return moment

    def ms(self, name: str) -> int:
        """Return a time that is given in ms since 1970, as text."""
        value = self._get(name)
        if not isinstance(value, str):
            self.refuse(name, f"Invalid input: expected string, received {_kind(value)}")
            return 0
        if not _MS.fullmatch(value):
            self.refuse(name, "Invalid input: expected milliseconds since 1970 as a string of digits")
            return 0
        return int(value)

    def number(self, name: str, least: float, most: float, default: float) -> float:
        """Return a number; in a query it is text."""
        value = self._get(name)
        if value in (_MISSING, ""):
            return default
        try:
            found = float(value) if not isinstance(value, bool) else None
        except (TypeError, ValueError):
            found = None
        if found is None or found != found:
            self.refuse(name, "Invalid input: expected number, received NaN")
            return default
        if least <= found <= most:
            return found
        size, sign = ("small", ">=") if found < least else ("big", "<=")
        self.refuse(name, f"Too {size}: expected number to be {sign}{least if found < least else most:g}")
        return default

    def boolean(self, name: str) -> bool:
        """Return a boolean, false if it is missing; `"true"` and `"false"` are taken too, as in a query."""
        value = self._get(name)
        if value in (_MISSING, ""):
            return False
        if value in (True, "true"):
            return True
        if value not in (False, "false"):
            self.refuse(name, f"Invalid input: expected boolean, received {_kind(value)}")
        return False

    def funds(self, name: str, *, items_max: int = FUNDS_MAX) -> list[tuple[str, str]] | None:
        """Return amounts and units, or None if they are missing."""
        value = self._get(name)
        if value is _MISSING:
            return None
        if not isinstance(value, list):
            self.refuse(name, f"Invalid input: expected array, received {_kind(value)}")
            return None
        if len(value) > items_max:
            self.refuse(name, f"Too big: expected array to have <={items_max} items")
            return None
        return [self._money(f"{name}.{index}", item) for index, item in enumerate(value)]

    def _money(self, path: str, item: Any) -> tuple[str, str]:
        if not isinstance(item, dict):
            self.refuse(path, f"Invalid input: expected object, received {_kind(item)}")
            return "", ""
        inner = Schema(item)
        amount, unit = inner.text("amount", most=25), inner.text("unit", most=150)
        if not inner._issues and not _AMOUNT.fullmatch(amount):
            inner.refuse("amount", "Invalid input: expected digits")
        for name, issues in inner._issues.items():
            for issue in issues:
                self.refuse(f"{path}.{name}", issue)
        return amount, unit

    def mapping(self, name: str) -> "Schema":
        """Return an object within."""
        value = self._get(name)
        if not isinstance(value, dict):
            self.refuse(name, f"Invalid input: expected object, received {_kind(value)}")
            return Schema({})
        return Schema(value)

    def values(self, *names: str) -> dict[str, Any]:
        """Return fields as they are, without those that are missing."""
        return {name: self._values[name] for name in names if self._get(name) is not _MISSING}

    def join(self, path: str, inner: "Schema") -> None:
        """Take over what was wrong within."""
        for name, issues in inner._issues.items():
            for issue in issues:
                self.refuse(f"{path}.{name}", issue)


def iso_ms(text: str) -> int | None:
    """Return a time in ms since 1970, or None if it is not one."""
    if not _ISO.fullmatch(text):
        return None
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return round(moment.timestamp() * 1000)


def _kind(value: Any) -> str:
    if value is _MISSING:
        return "undefined"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return {str: "string", list: "array", dict: "object", type(None): "null"}.get(type(value), "unknown")
