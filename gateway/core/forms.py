"""The elements of a flow's form, prepared for the page that shows them, and read back from what the page sends.

An element is a JSON object as the app sends it: `type`, `name`, `label`, `value` and limits by type.  Nothing here
is HTML: the template escapes every text, except what the renderer has sanitised.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agentmesh_protos.registry.v1 import registry_pb2

from gateway.core import jobs, render
from gateway.core.files import BATCH
from gateway.core.renderer import Asked

CANCEL = "__cancel__"

_Element = Mapping[str, Any]

# Attributes of an input, by the element's key.
_ATTRIBUTES = {
    "placeholder": "placeholder",
    "size": "size",
    "pattern": "pattern",
    "min_length": "minlength",
    "max_length": "maxlength",
    "rows": "rows",
    "cols": "cols",
    "step": "step",
    **dict.fromkeys(("min_value", "min_date", "min_time", "min_datetime", "min_month", "min_week"), "min"),
    **dict.fromkeys(("max_value", "max_date", "max_time", "max_datetime", "max_month", "max_week"), "max"),
}
_INPUTS = frozenset(
    (
        "text",
        "number",
        "password",
        "email",
        "url",
        "tel",
        "search",
        "date",
        "time",
        "datetime-local",
        "month",
        "week",
        "color",
        "range",
    )
)
_RENDERED = ("markdown", "html")
_NONE: Mapping[int, str] = {}
_SHOWN = frozenset(("markdown", "html", "break", "hr", "none"))
_BUTTONS = frozenset(("submit", "cancel", "action"))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One element on the page."""

    id: str
    kind: str
    """input, textarea, boolean, choice (select), radio, file, hidden, button, or fragment, which is HTML to show."""
    name: str = ""
    label: str = ""
    value: str = ""
    required: bool = False
    checked: bool = False
    attributes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    options: Sequence[tuple[str, str, bool]] = ()
    """Value, label and whether it is chosen."""
    errors: Sequence[str] = ()
    fragment: Any = ""


def elements_of(flow: registry_pb2.Flow) -> list[dict[str, Any]]:
    """Return the form that a flow declares; none if only its app knows it."""
    return jobs.json_objects(flow.elements_json)


def written(elements: Iterable[_Element]) -> dict[int, Asked]:
    """Return what is to be rendered of a form, by the number of its element."""
    texts = ((number, str(element.get("type")), element) for number, element in enumerate(elements))
    return {number: (kind, _text(element.get("text"))) for number, kind, element in texts if kind in _RENDERED}


def fields(
    elements: Iterable[_Element],
    sent: Mapping[str, str] | None,
    errors: Mapping[str, list[str]],
    fragments: Mapping[int, str] = _NONE,
) -> list[Field]:
    """Return the page's fields.

    `sent` is what was submitted and comes back with its `errors`; None shows the form's own values.  Passwords do not
    come back.  `fragments` is what was `written`, as HTML.  A form without a button gets one.
    """
    shown = [
        Field(id=f"field-{number}", kind="fragment", fragment=render.safe(fragments[number]))
        if number in fragments
        else _field(f"field-{number}", element, sent, errors)
        for number, element in enumerate(elements)
    ]
    return _with_button([field for field in shown if field is not None])


def _with_button(shown: list[Field]) -> list[Field]:
    if not any(field.kind == "button" and field.attributes.get("name") != CANCEL for field in shown):
        shown.append(Field(id="submit", kind="button", label="Submit", attributes={"class": "main"}))
    return shown


def inputs(elements: Iterable[_Element], sent: Mapping[str, str]) -> dict[str, Any]:
    """Return what a page sent as the values of a launch: only names of the form; a box that is not ticked is False."""
    values: dict[str, Any] = {}
    for element in elements:
        name, kind = element.get("name"), element.get("type")
        if not isinstance(name, str) or not name or kind in _SHOWN:
            continue
        if kind == "boolean":
            values[name] = "on" if sent.get(name) == "on" else False
        elif name in sent and (kind != "file" or is_sent(sent[name])):  # a browser without files says nothing
            values[name] = sent[name]
    return values


def is_sent(value: str) -> bool:
    """Return whether the text of a field says which files are sent already: a batch, as ours or kodosumi's pages do."""
    return value.startswith((BATCH, "{"))


def _field(
    id_: str, element: _Element, sent: Mapping[str, str] | None, errors: Mapping[str, list[str]]
) -> Field | None:
    kind = str(element.get("type") or "")
    if kind in _SHOWN:
        return Field(id=id_, kind="fragment", fragment=_fragment(kind, element))
    if kind in _BUTTONS:
        return _button(id_, kind, element)
    name = element.get("name")
    if not isinstance(name, str) or not name:
        return None
    if kind == "hidden":
        return Field(id=id_, kind="hidden", name=name, value=_text(element.get("value")))
    field = Field(
        id=id_,
        kind="input",
        name=name,
        label=_text(element.get("label")) or name,
        value=_text(element.get("value")) if sent is None or name not in sent else sent[name],
        required=bool(element.get("required")),
        errors=tuple(errors.get(name, ())),
    )
    attributes = {html: element[key] for key, html in _ATTRIBUTES.items() if element.get(key) is not None}
    match kind:
        case "boolean":
            ticked = bool(element.get("value")) if sent is None else sent.get(name) == "on"
            option = _text(element.get("option"))
            return dataclasses.replace(field, kind="boolean", checked=ticked, value=option)
        case "select" | "radio":
            options = _options(element, None if sent is None else sent.get(name))
            return dataclasses.replace(field, kind="choice" if kind == "select" else "radio", options=options)
        case "file":
            flags = {"multiple": element.get("multiple"), "webkitdirectory": element.get("directory")}
            return dataclasses.replace(field, kind=kind, attributes={flag: flag for flag, on in flags.items() if on})
        case "textarea":
            return dataclasses.replace(field, kind=kind, attributes=attributes)
        case "password" if sent is not None:
            field = dataclasses.replace(field, value="")
    return dataclasses.replace(field, attributes={"type": kind if kind in _INPUTS else "text", **attributes})


def _fragment(kind: str, element: _Element) -> Any:
    text = _text(element.get("text"))
    match kind:
        case "none":
            return ": ".join(part for part in (_text(element.get("label")), text) if part)
        case "hr":
            return render.safe("<hr>")
    return ""


def _button(id_: str, kind: str, element: _Element) -> Field:
    label = _text(element.get("text")) or kind.capitalize()
    match kind:
        case "cancel":
            attributes = {"name": CANCEL, "value": CANCEL, "formnovalidate": "formnovalidate"}
        case "action":
            attributes = {"name": _text(element.get("name")), "value": _text(element.get("value"))}
        case _:
            attributes = {"class": "main"}
    return Field(id=id_, kind="button", label=label, attributes=attributes)


def _options(element: _Element, sent: str | None) -> list[tuple[str, str, bool]]:
    options = []
    for option in element.get("option") or ():
        if not isinstance(option, dict):
            continue
        name = _text(option.get("name"))
        own = bool(option.get("value")) or (element.get("value") is not None and _text(element["value"]) == name)
        options.append((name, _text(option.get("label")) or name, own if sent is None else sent == name))
    return options


def _text(value: Any) -> str:
    return "" if value is None else str(value)
