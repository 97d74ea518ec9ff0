"""Elements to choose with."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from agentmesh.forms import html
from agentmesh.forms.base import Element, Field


class Checkbox(Field):
    """A yes or no; `option` is the text beside the box."""

    type: ClassVar[str] = "boolean"

    def __init__(
        self,
        name: str,
        option: str | None = None,
        label: str | None = None,
        value: bool = False,
        error: list[str] | None = None,
    ) -> None:
        super().__init__(name, label, value, error=error)
        self.option = "on" if option is None else option

    def keys(self) -> tuple[str, ...]:
        """Return the keys in the documented order, which is not the constructor's."""
        return ("name", "label", "value", "option")

    def default(self) -> bool:
        """Return whether the box starts out ticked."""
        return self.parse_value(self.value)

    def parse_value(self, value: Any) -> bool:
        """Return True for `true` and for what browsers and forms send for a ticked box."""
        if isinstance(value, str):
            return value.strip().lower() in ("on", "true")
        return value is True or (type(value) is int and value == 1)

    def render(self) -> str:
        """Return a box with its text."""
        control = html.tag("input", {"type": "checkbox", "name": self.name, "value": "on", "checked": bool(self.value)})
        box = f'<nav><label class="large checkbox">{control}<span>{html.escape(self.option)}</span></label></nav>'
        return "\n".join(
            part
            for part in (
                html.legend(self.label) if self.label else "",
                f'<div class="field middle-align">{box}{html.errors(self.error)}</div>',
            )
            if part
        )


@dataclasses.dataclass(eq=False)
class InputOption(Element):
    """One choice of a `Select` or `InputRadio`: `name` is the value, `label` what is shown."""

    type: ClassVar[str] = "option"

    name: str | None = None
    label: str | None = None
    value: bool | None = False
    error: list[str] | None = dataclasses.field(default=None, kw_only=True)

    def render(self) -> str:
        """Return an `<option>`."""
        shown = html.escape(self.name if self.label is None else self.label)
        return f"{html.tag('option', {'value': self.name or '', 'selected': bool(self.value)})}{shown}</option>"


class Choice(Field):
    """One of several options."""

    def __init__(
        self,
        name: str,
        option: Iterable[InputOption | Mapping[str, Any]],
        label: str | None = None,
        value: str | None = None,
        required: bool = False,
        error: list[str] | None = None,
    ) -> None:
        super().__init__(name, label, value, required, error=error)
        self.option = [self._copy(item) for item in option]

    def _copy(self, option: InputOption | Mapping[str, Any]) -> InputOption:
        # A copy: authors share lists of options between elements, and each has its own selection.
        if isinstance(option, InputOption):
            name, label = option.name, option.label
        elif not isinstance(option, Mapping):
            raise TypeError(
                f"{type(self).__name__} {self.name!r}: an option is InputOption(name, label), "
                f"got {type(option).__name__} {option!r}"
            )
        else:
            name, label = option.get("name"), option.get("label")
        return InputOption(name, label, self.value is not None and name == self.value)

    def set_value(self, value: Any) -> None:
        """Select the option of that name."""
        self.value = value
        self.option = [self._copy(option) for option in self.option]

    def problems(self, value: Any) -> list[str]:
        """Check that there is such an option."""
        names = [option.name for option in self.option]
        if isinstance(value, str | int | float) and not isinstance(value, bool) and str(value) in names:
            return []
        return [f"{self.title} must be one of {_listed(names)}"]


def _listed(names: Iterable[str | None]) -> str:
    shown = [name for name in names if name]
    return ", ".join(shown[:20]) + (", …" if len(shown) > 20 else "") if shown else "the options"


class Select(Choice):
    """A list to choose one from."""

    type: ClassVar[str] = "select"

    def keys(self) -> tuple[str, ...]:
        """Return the documented keys; `required` only where an author uses it, which earlier releases did not know."""
        return ("name", "label", "value", *(("required",) if self.required else ()), "option", "error")

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON with the options within."""
        return {**super().to_dict(), "option": [option.to_dict() for option in self.option]}

    def render(self) -> str:
        """Return a labelled `<select>`."""
        options = "".join(option.render() for option in self.option)
        tag = html.tag("select", {"name": self.name, "required": self.required})
        control = f"{tag}{options}</select><i>arrow_drop_down</i>"
        return html.field(self.label, control, self.error)


class InputRadio(Choice):
    """Buttons to choose one from."""

    type: ClassVar[str] = "radio"

    def keys(self) -> tuple[str, ...]:
        """Return the documented keys."""
        return ("name", "label", "value", "required", "option")

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON with the options within."""
        return {**super().to_dict(), "option": [option.to_dict() for option in self.option]}

    def render(self) -> str:
        """Return a button for each option."""
        buttons = []
        for option in self.option:
            attributes = {"type": "radio", "name": self.name, "value": option.name or "", "checked": bool(option.value)}
            control = html.tag("input", {**attributes, "required": self.required})
            shown = html.escape(option.name if option.label is None else option.label)
            buttons.append(f'<label class="radio">{control}<span>{shown}</span></label>')
        return html.field(self.label, f"<nav>{''.join(buttons)}</nav>", self.error, "field middle-align")
