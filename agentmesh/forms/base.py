"""What all elements of a form share.

Elements are dataclasses: the parameters of a class are its fields, and so are the keys of its JSON, in that order
(spec: kodosumi §3.1).  `error` is never part of the JSON, but for select.
"""

import abc
import dataclasses
import datetime
import inspect
from collections.abc import Mapping
from typing import Any, ClassVar

from agentmesh.forms import html

_ATTRIBUTES = {
    "placeholder": "placeholder",
    "size": "size",
    "pattern": "pattern",
    "min_length": "minlength",
    "max_length": "maxlength",
    "step": "step",
    "rows": "rows",
    "cols": "cols",
    "required": "required",
    "multiple": "multiple",
    "directory": "webkitdirectory",
} | {
    f"{bound}_{of}": bound for bound in ("min", "max") for of in ("value", "date", "time", "datetime", "month", "week")
}
"""The HTML attribute for each field that has one."""


def plain(value: Any) -> Any:
    """Return a value for JSON: authors give dates as dates, too."""
    if isinstance(value, datetime.datetime):
        return value.isoformat(timespec="minutes")
    if isinstance(value, datetime.time):
        return value.isoformat(timespec="minutes")
    return value.isoformat() if isinstance(value, datetime.date) else value


class Element(abc.ABC):
    """One element of a form."""

    type: ClassVar[str] = ""

    def keys(self) -> tuple[str, ...]:
        """Return the keys of the JSON after `type`, in order."""
        return tuple(field.name for field in dataclasses.fields(self) if field.name != "error")  # type: ignore[arg-type]

    def to_dict(self) -> dict[str, Any]:
        """Return the element's JSON; what is not set is null."""
        return {"type": self.type, **{key: plain(getattr(self, key)) for key in self.keys()}}

    @abc.abstractmethod
    def render(self) -> str:
        """Return the element's HTML."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Element":
        """Return the element of this class whose JSON is `values`; keys it does not know are left out."""
        known = inspect.signature(cls).parameters
        return cls(**{key: value for key, value in values.items() if key in known})


@dataclasses.dataclass(eq=False)
class Field(Element):
    """An element with a value: its name is the key under which the author gets it."""

    name: str
    label: str | None = None
    value: Any = None
    required: bool = False
    error: list[str] | None = dataclasses.field(default=None, kw_only=True)

    @property
    def title(self) -> str:
        """What messages call the field: its label without marks, else its name."""
        return (self.label or "").strip().rstrip("*:").strip() or self.name.replace("_", " ").strip().capitalize()

    def default(self) -> Any:
        """Return the value the author gets if the request does not have the field."""
        return None if self.value is None else self.parse_value(plain(self.value))

    def parse_value(self, value: Any) -> Any:
        """Return what the author gets for a value of the request."""
        return value

    def check(self, value: Any) -> list[str]:
        """Return what is wrong with a parsed value; an empty value is only wrong if the field is required."""
        if is_empty(value):
            return [f"{self.title} is required"] if self.required else []
        return self.problems(value)

    def problems(self, value: Any) -> list[str]:
        """Return what is wrong with a value that is not empty."""
        return []

    def attributes(self) -> dict[str, Any]:
        """Return the attributes of the HTML control, but for its value."""
        found = {_ATTRIBUTES[key]: plain(getattr(self, key)) for key in self.keys() if key in _ATTRIBUTES}
        return {"name": self.name, **found}

    def render(self) -> str:
        """Return a labelled `<input>`."""
        control = html.tag("input", {"type": self.type, **self.attributes(), "value": plain(self.value)})
        return html.field(self.label, control, self.error)


def is_empty(value: Any) -> bool:
    """Return whether a value counts as not given."""
    return (
        value is None
        or (isinstance(value, str) and not value.strip())
        or (isinstance(value, list | dict | set) and not value)
    )
