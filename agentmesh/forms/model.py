"""A form: its elements in order."""

import collections
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agentmesh.errors import GLOBAL
from agentmesh.forms import choices, display, inputs
from agentmesh.forms.base import Element, Field

log = logging.getLogger(__name__)

_CLASSES: tuple[type[Element], ...] = (
    display.Markdown, display.HTML, display.Break, display.HR, display.DisplayInfo, display.Errors,
    display.Submit, display.Cancel, display.Action,
    inputs.InputText, inputs.InputNumber, inputs.InputPassword, inputs.InputEmail, inputs.InputUrl, inputs.InputTel,
    inputs.InputSearch, inputs.InputArea, inputs.InputDate, inputs.InputTime, inputs.InputDateTime, inputs.InputMonth,
    inputs.InputWeek, inputs.InputColor, inputs.InputRange, inputs.InputHidden, inputs.InputFiles,
    choices.Checkbox, choices.InputOption, choices.Select, choices.InputRadio,
)  # fmt: skip
BY_TYPE = {cls.type: cls for cls in _CLASSES}
"""The class of each element type."""


class Model:
    """A form.  Requests are parsed and checked against it without changing it, so one model serves everybody."""

    def __init__(self, *children: Element) -> None:
        self.children = children
        for child in children:
            # Other makes of element may come from an author: what is used of them is this.
            if not callable(getattr(child, "to_dict", None)):
                remedy = ": write them one after the other, without the brackets" if isinstance(child, list) else ""
                raise TypeError(f"forms.Model takes elements such as InputText, got {type(child).__name__}{remedy}")

    def get_model(self) -> list[dict[str, Any]]:
        """Return the elements' JSON."""
        return [child.to_dict() for child in self.children]

    def get_model_json(self) -> str:
        """Return `{"elements": [...]}` as text."""
        return json.dumps({"elements": self.get_model()}, ensure_ascii=False, separators=(",", ":"), default=str)

    def render(self) -> str:
        """Return the elements' HTML, to be put within a `<form>`."""
        return "\n".join(filter(None, (child.render() for child in self.children)))

    def fields(self) -> list[Field]:
        """Return the elements that have a name."""
        return [child for child in self.children if isinstance(child, Field) and child.name]

    def check_names(self) -> None:
        """Raise `ValueError` if two elements have one name, of whose values one would be lost; buttons may."""
        counts = collections.Counter(field.name for field in self.fields() if not isinstance(field, display.Action))
        for name, count in counts.items():
            if count > 1:
                raise ValueError(f"forms.Model: two elements are called {name!r}: names are unique within a form")

    def parse(self, data: Mapping[str, Any], *, form: bool = False) -> dict[str, Any]:
        """Return what the author gets for a request: every field by name, in the form's order.

        A field that is not in `data` gets its default; what is no field is left out.  `form` says that `data` came
        from an HTML form, which leaves out a box that is not ticked.
        """
        values: dict[str, Any] = {}
        for field in self.fields():
            if field.name in data:
                values[field.name] = field.parse_value(data[field.name])
            elif form and isinstance(field, choices.Checkbox):
                values[field.name] = False
            else:
                values[field.name] = field.default()
        return values

    def check(self, values: Mapping[str, Any]) -> dict[str, list[str]]:
        """Return what is wrong with parsed values, by field; empty if nothing is."""
        found = {field.name: field.check(values.get(field.name)) for field in self.fields() if field.name != GLOBAL}
        return {name: messages for name, messages in found.items() if messages}

    def set_data(self, data: Mapping[str, Any] | None) -> None:
        """Set the elements' values, as for a form that is shown again.  A box that is not in `data` is unticked."""
        given = data or {}
        for field in self.fields():
            if isinstance(field, choices.Checkbox):
                field.value = field.parse_value(given.get(field.name))
            elif field.name in given and isinstance(field, choices.Choice):
                field.set_value(given[field.name])
            elif field.name in given:
                field.value = field.parse_value(given[field.name])

    @classmethod
    def model_validate(
        cls, elms: Sequence[Mapping[str, Any]], errors: Mapping[str, Iterable[str]] | None = None, **kwargs: Any
    ) -> "Model":
        """Return the form whose JSON is `elms`, with `errors` shown beside their fields.

        Elements of a type that is not known are left out, with a line in the log.  Raises `ValueError` for an
        element that lacks what its type needs.
        """
        children = []
        for values in elms:
            kind = BY_TYPE.get(str(values.get("type")))
            if kind is None:
                log.warning("form element of unknown type %r is left out", values.get("type"))
                continue
            name = GLOBAL if kind is display.Errors else values.get("name")
            messages = list((errors or {}).get(str(name), ()))
            try:
                child = kind.from_dict({**values, "error": messages} if messages else values)
            except TypeError as error:
                raise ValueError(f"form element {dict(values)}: {error}") from error
            children.append(child)
        return cls(*children, **kwargs)
