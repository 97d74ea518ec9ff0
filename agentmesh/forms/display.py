"""Elements to read and to press."""

import dataclasses
from typing import Any, ClassVar

from agentmesh.errors import GLOBAL
from agentmesh.forms import html
from agentmesh.forms.base import Element, Field


@dataclasses.dataclass(eq=False)
class Markdown(Element):
    """A text in Markdown; common indentation is taken off when it is shown."""

    type: ClassVar[str] = "markdown"

    text: str | None = ""

    def render(self) -> str:
        """Return it as sanitised HTML."""
        return html.markdown(self.text or "")


@dataclasses.dataclass(eq=False)
class HTML(Element):
    """A text in HTML."""

    type: ClassVar[str] = "html"

    text: str | None = None

    def render(self) -> str:
        """Return it sanitised."""
        return html.sanitised(self.text or "")


class _Fixed(Element):
    """Always the same HTML."""

    text: ClassVar[str] = ""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def keys(self) -> tuple[str, ...]:
        """Return `text`."""
        return ("text",)

    def render(self) -> str:
        """Return it."""
        return self.text

    @classmethod
    def from_dict(cls, values: Any) -> "_Fixed":
        """Return the element; nothing about it can be chosen."""
        return cls()


class Break(_Fixed):
    """Some room."""

    type: ClassVar[str] = "break"
    text: ClassVar[str] = '<div class="space"></div>'


class HR(_Fixed):
    """A line."""

    type: ClassVar[str] = "hr"
    text: ClassVar[str] = '<hr class="medium"/>'


@dataclasses.dataclass(eq=False)
class DisplayInfo(Element):
    """A note to read, which is also told to programs (MIP-003 type `none`)."""

    type: ClassVar[str] = "none"

    text: str | None = None
    label: str | None = None

    def render(self) -> str:
        """Return the note below its label."""
        return html.field(self.label, f"<p>{html.escape(self.text)}</p>", None, "field")


class Errors(Field):
    """The place for messages that belong to no field."""

    type: ClassVar[str] = "errors"

    def __init__(self, error: list[str] | None = None) -> None:
        super().__init__(GLOBAL, error=error)

    def keys(self) -> tuple[str, ...]:
        """Return nothing: only `type` is told."""
        return ()

    def parse_value(self, value: Any) -> None:
        """Return None: nothing is entered here, so nothing sent under this name is taken."""

    def render(self) -> str:
        """Return the messages, or nothing."""
        if not self.error:
            return ""
        lines = "<br/>".join(html.escape(message) for message in self.error)
        return f'<div class="error-container small-round"><div class="error-text bold padding">{lines}</div></div>'


@dataclasses.dataclass(eq=False)
class Submit(Element):
    """The button that sends the form."""

    type: ClassVar[str] = "submit"

    text: str | None = "Submit"

    def render(self) -> str:
        """Return a button."""
        return f'<button type="submit">{html.escape(self.text)}</button>'


@dataclasses.dataclass(eq=False)
class Cancel(Element):
    """The button that leaves the form."""

    type: ClassVar[str] = "cancel"

    text: str | None = "Cancel"

    def render(self) -> str:
        """Return a button that skips the browser's own checks."""
        return f'<button name="__cancel__" value="__cancel__" formnovalidate>{html.escape(self.text)}</button>'


class Action(Field):
    """A further button that sends the form; its value tells the author that it was this one."""

    type: ClassVar[str] = "action"

    def __init__(
        self,
        name: str | None = None,
        value: Any = None,
        required: bool = False,
        text: str | None = None,
        error: list[str] | None = None,
    ) -> None:
        super().__init__(name, None, value, error=error)  # type: ignore[arg-type]  # a button may have no name
        self.text = text

    def keys(self) -> tuple[str, ...]:
        """Return the documented keys."""
        return ("name", "value", "text")

    def default(self) -> None:
        """Return None: the button was not pressed."""

    def check(self, value: Any) -> list[str]:
        """Return nothing: any button may be pressed, or none."""
        return []

    def render(self) -> str:
        """Return a button."""
        return f"{html.tag('button', {'name': self.name, 'value': self.value})}{html.escape(self.text)}</button>"
