"""Elements to type or pick a value in."""

import dataclasses
import json
from typing import Any, ClassVar

from agentmesh.forms import checks, html
from agentmesh.forms.base import Field, is_empty, plain


def _found(*messages: str | None) -> list[str]:
    """Return the first message: one problem of a field at a time."""
    return [message for message in messages if message][:1]


@dataclasses.dataclass(eq=False)
class InputText(Field):
    """A line of text.  `size` is how wide it is shown, no limit; `pattern` must match the whole text."""

    type: ClassVar[str] = "text"

    placeholder: str | None = None
    size: int | None = None
    pattern: str | None = None

    def problems(self, value: Any) -> list[str]:
        """Check the length and the pattern."""
        if problem := checks.text(self.title, value):
            return [problem]
        low, high = getattr(self, "min_length", None), getattr(self, "max_length", None)
        return _found(
            checks.length(self.title, str(value), low, high),
            self.form_of(str(value)),
            checks.pattern(self.title, str(value), self.pattern),
        )

    def form_of(self, value: str) -> str | None:
        """Return what is wrong with the text as one of its kind."""
        return None


@dataclasses.dataclass(eq=False)
class InputNumber(InputText):
    """A number.  The author gets what was sent: a number, or the text of one.  `step` is a hint to browsers."""

    type: ClassVar[str] = "number"

    min_value: float | None = None
    max_value: float | None = None
    step: float | None = None

    def problems(self, value: Any) -> list[str]:
        """Check that it is a number, its bounds and the pattern."""
        return _found(
            checks.number(self.title, value, self.min_value, self.max_value),
            checks.pattern(self.title, str(value), self.pattern),
        )


@dataclasses.dataclass(eq=False)
class InputPassword(InputText):
    """A secret; it is not shown while it is typed."""

    type: ClassVar[str] = "password"

    min_length: int | None = None
    max_length: int | None = None

    def render(self) -> str:
        """Return the input without its value: a secret is not sent back."""
        return html.field(self.label, html.tag("input", {"type": self.type, **self.attributes()}), self.error)


@dataclasses.dataclass(eq=False)
class InputEmail(InputText):
    """An email address."""

    type: ClassVar[str] = "email"

    min_length: int | None = None
    max_length: int | None = None

    def form_of(self, value: str) -> str | None:
        """Check that it is an address."""
        return checks.email(self.title, value.strip())


@dataclasses.dataclass(eq=False)
class InputUrl(InputText):
    """An absolute web address."""

    type: ClassVar[str] = "url"

    min_length: int | None = None
    max_length: int | None = None

    def form_of(self, value: str) -> str | None:
        """Check that it is an absolute address."""
        return checks.url(self.title, value)


@dataclasses.dataclass(eq=False)
class InputTel(InputText):
    """A telephone number; its form differs by country, so only `pattern` is checked."""

    type: ClassVar[str] = "tel"

    min_length: int | None = None
    max_length: int | None = None


@dataclasses.dataclass(eq=False)
class InputSearch(InputText):
    """A line of text to search for."""

    type: ClassVar[str] = "search"

    min_length: int | None = None
    max_length: int | None = None


@dataclasses.dataclass(eq=False)
class InputArea(Field):
    """Several lines of text."""

    type: ClassVar[str] = "textarea"

    placeholder: str | None = None
    rows: int | None = None
    cols: int | None = None
    max_length: int | None = None

    def problems(self, value: Any) -> list[str]:
        """Check the length."""
        if isinstance(value, dict | list):
            return [f"{self.title} must be text"]
        return _found(checks.length(self.title, str(value), None, self.max_length))

    def render(self) -> str:
        """Return a labelled `<textarea>`."""
        # A browser drops the first line break within a textarea, so give it one to drop.
        control = f"{html.tag('textarea', self.attributes())}\n{html.escape(self.value)}</textarea>"
        return html.field(self.label, control, self.error, "field extra textarea border fill")


class Moment(Field):
    """A point in time as text, within bounds."""

    def bounds(self) -> tuple[Any, Any]:
        """Return the first and last that are allowed."""
        _, *names = [key for key in ("", *self.keys()) if not key or key.startswith(("min_", "max_"))]
        low, high = (plain(getattr(self, name)) for name in names)
        return low, high

    def problems(self, value: Any) -> list[str]:
        """Check the form and the bounds."""
        return _found(checks.text(self.title, value) or checks.moment(self.type, self.title, value, *self.bounds()))


@dataclasses.dataclass(eq=False)
class InputDate(Moment):
    """A date: `2025-12-31`."""

    type: ClassVar[str] = "date"

    placeholder: str | None = None
    min_date: str | None = None
    max_date: str | None = None


@dataclasses.dataclass(eq=False)
class InputTime(Moment):
    """A time of day: `09:30`.  If `min_time` is after `max_time` the range goes over midnight.  `step` in seconds."""

    type: ClassVar[str] = "time"

    placeholder: str | None = None
    min_time: str | None = None
    max_time: str | None = None
    step: int | None = None


@dataclasses.dataclass(eq=False)
class InputDateTime(Moment):
    """A date and time without zone: `2025-12-31T09:30`.  `step` in seconds."""

    type: ClassVar[str] = "datetime-local"

    placeholder: str | None = None
    min_datetime: str | None = None
    max_datetime: str | None = None
    step: int | None = None


@dataclasses.dataclass(eq=False)
class InputMonth(Moment):
    """A month: `2025-12`."""

    type: ClassVar[str] = "month"

    min_month: str | None = None
    max_month: str | None = None


@dataclasses.dataclass(eq=False)
class InputWeek(Moment):
    """A week by ISO 8601: `2025-W52`."""

    type: ClassVar[str] = "week"

    min_week: str | None = None
    max_week: str | None = None


@dataclasses.dataclass(eq=False)
class InputColor(Field):
    """A colour: `#3498db`."""

    type: ClassVar[str] = "color"

    def problems(self, value: Any) -> list[str]:
        """Check that it is a colour."""
        return _found(checks.color(self.title, str(value)))


@dataclasses.dataclass(eq=False)
class InputRange(Field):
    """A number picked with a slider; the author gets a float."""

    type: ClassVar[str] = "range"

    min_value: float = 0
    max_value: float = 100
    step: float | None = None

    def parse_value(self, value: Any) -> Any:
        """Return a float; what is none stays as it is."""
        if value is None or isinstance(value, bool):
            return value
        try:
            return float(value)
        except (TypeError, ValueError, OverflowError):
            return value

    def problems(self, value: Any) -> list[str]:
        """Check that it is a number, and its bounds."""
        return _found(checks.number(self.title, value, self.min_value, self.max_value))


@dataclasses.dataclass(eq=False)
class InputHidden(Field):
    """A value that is sent along and not shown."""

    type: ClassVar[str] = "hidden"

    name: str
    value: Any = None
    label: str | None = dataclasses.field(default=None, init=False)
    required: bool = dataclasses.field(default=False, init=False)

    def keys(self) -> tuple[str, ...]:
        """Return `name` and `value`."""
        return ("name", "value")

    def render(self) -> str:
        """Return an `<input>` without label."""
        return html.tag("input", {"type": self.type, "name": self.name, "value": plain(self.value)})


@dataclasses.dataclass(eq=False)
class InputFiles(Field):
    """Files that are sent along, or given by address: one http(s) address, or a list of them.

    Of files that were sent the handler gets the set of their names; the job has them below `in` (`Tracer.fs`).
    """

    type: ClassVar[str] = "file"

    multiple: bool = False
    directory: bool = False

    def parse_value(self, value: Any) -> Any:
        """Return addresses as they are, and the names of a batch of uploads as a set; an empty batch is None."""
        if isinstance(value, str) and value.strip().startswith(("{", "[", "null")):
            try:
                value = json.loads(value)
            except ValueError:
                return value
        if isinstance(value, dict) and not value.get("items"):
            return None
        if isinstance(value, dict) and isinstance(value.get("batchId"), str) and isinstance(value["items"], dict):
            named = [item.get("filename") for item in value["items"].values() if isinstance(item, dict)]
            return {name for name in named if isinstance(name, str)} or None
        if isinstance(value, list):
            value = [item for item in value if not is_empty(item)]
        return None if is_empty(value) else value

    def problems(self, value: Any) -> list[str]:
        """Check that there are files or addresses only, and not more than one unless `multiple`."""
        if isinstance(value, dict):
            return [f"{self.title}: send files ahead, as a batch of uploads, or give http(s) addresses of them"]
        addresses = list(value) if isinstance(value, list | set) else [value]
        if not isinstance(value, set) and not all(
            isinstance(item, str) and item.startswith(("http://", "https://")) for item in addresses
        ):
            return [f"{self.title} must be an http(s) address of a file"]
        if len(addresses) > 1 and not (self.multiple or self.directory):
            return [f"{self.title} takes one file"]
        return []

    def render(self) -> str:
        """Return a labelled `<input>` that says how many files there are."""
        given = self.value if isinstance(self.value, list) else [self.value] if self.value else []
        told = f'<span class="primary">{len(given)} files given</span>' if given else ""
        return html.field(self.label, html.tag("input", {"type": self.type, **self.attributes()}) + told, self.error)
