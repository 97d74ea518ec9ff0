"""Form elements of a flow as the input schema of MIP-003.

Source: the "Expose and Sumi API Demonstration" notebook (shapes of `input_schema`) and the MIP-003 text.  Two styles:
the notebook's, where `validations` is an object, and the later text's (`later=True`), where it is a list of
`{"validation", "value"}` and where texts of the form are fields of type `none`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

Element = Mapping[str, Any]

# What a form shows and nobody fills in.
_SKIPPED = frozenset({"html", "markdown", "submit", "cancel", "action", "errors", "break", "hr"})

# The element's keys that MIP-003 calls `min` and `max`, by type.
_TEXT_LIMITS = (("min_length",), ("max_length", "size"))
_LIMITS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    **dict.fromkeys(("text", "textarea", "password", "email", "url", "tel", "search"), _TEXT_LIMITS),
    **dict.fromkeys(("number", "range"), (("min_value",), ("max_value",))),
    "date": (("min_date",), ("max_date",)),
    "time": (("min_time",), ("max_time",)),
    "datetime-local": (("min_datetime",), ("max_datetime",)),
    "month": (("min_month",), ("max_month",)),
    "week": (("min_week",), ("max_week",)),
}
_FORMATS_BY_TYPE = {"email": "email", "url": "url", "tel": "tel-pattern"}
_FORMATS_BY_PATTERN = {r"\S+": "nonempty", r"^\S+$": "nonempty", r"\d+": "integer", r"^\d+$": "integer"}


def input_schema(elements: Iterable[Element] | None, *, later: bool = False) -> dict[str, Any]:
    """Return `{"input_data": [field..] | null, "input_groups": null}`; the later style has no `input_groups`.

    `elements` is a form as the app sends it; None, or a form without fields, gives null.
    """
    fields = [field for element in elements or () if (field := _field(element, later=later)) is not None]
    _number_infos(fields)
    schema: dict[str, Any] = {"input_data": fields or None}
    if not later:
        schema["input_groups"] = None
    return schema


def by_name(elements: Iterable[Element], data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a client sent with chosen options by name: buyers send their indexes, `[1]` for the second one.

    A single index becomes one name, several a list; an index that there is not stays, for the form to refuse.
    """
    values = dict(data)
    for element in elements:
        name = element.get("name")
        if element.get("type") not in ("select", "radio") or not isinstance(name, str):
            continue
        names = (_data(str(element["type"]), element) or {}).get("values", [])
        chosen = values.get(name)
        if isinstance(chosen, list) and chosen and all(_is_index(item, len(names)) for item in chosen):
            found = [names[item] for item in chosen]
            values[name] = found[0] if len(found) == 1 else found
    return values


def _is_index(item: Any, count: int) -> bool:
    return isinstance(item, int) and not isinstance(item, bool) and 0 <= item < count


def awaited(locks: Iterable[tuple[str, str, float, Iterable[Element]]], *, later: bool = False) -> Any:
    """Return the `input_schema` of a job that awaits input; null if there are no locks.

    A lock is its id, its name, when it expires (seconds since 1970) and its form.  The later style has one object of
    groups, whose field ids are `{lock}:{field}`.
    """
    if not later:
        return [
            {"lock_id": lid, **input_schema(elements), "expires_at": expires_at}
            for lid, _, expires_at, elements in locks
        ] or None
    groups = []
    for lid, title, _, elements in locks:
        fields = input_schema(elements, later=True)["input_data"] or []
        prefixed = [{**field, "id": f"{lid}:{field['id']}"} for field in fields]
        groups.append({"id": lid, "title": title, "input_data": prefixed})
    return {"input_groups": groups} if groups else None


def _field(element: Element, *, later: bool) -> dict[str, Any] | None:
    """Return `{"id", "type", "name", "data", "validations"}`, or None for what has no value."""
    kind = element.get("type")
    name = element.get("name")
    if kind == "none" or (later and kind == "markdown"):
        return _info(element)
    if not isinstance(kind, str) or kind in _SKIPPED:
        return None
    if not name:
        return None
    validations = _validations(kind, element)
    return {
        "id": name,
        "type": "option" if kind == "select" else kind,
        "name": element.get("label") or element.get("text"),
        "data": _data(kind, element) or None,
        "validations": (_as_list(validations) if later else validations) or None,
    }


def _info(element: Element) -> dict[str, Any]:
    """Return the field of a text for the reader, without an input."""
    text = str(element.get("text") or "").strip()
    return {
        "id": "info",
        "type": "none",
        "name": element.get("label") or "Information",
        "data": {"description": text} if text else None,
        "validations": None,
    }


def _number_infos(fields: list[dict[str, Any]]) -> None:
    """Make the ids of texts unique: info, info_1, info_2."""
    infos = [field for field in fields if field["type"] == "none"]
    for number, field in enumerate(infos[1:], start=1):
        field["id"] = f"info_{number}"


def _data(kind: str, element: Element) -> dict[str, Any]:
    """Return what a client shows with the field, in the order of the source."""
    data: dict[str, Any] = {}
    if placeholder := element.get("placeholder"):
        data["placeholder"] = placeholder
    if element.get("value") is not None:
        data["default"] = element["value"]
    match kind:
        case "select" | "radio":
            options = [
                option for option in element.get("option") or () if isinstance(option, dict) and option.get("name")
            ]
            data["values"] = [option["name"] for option in options]
            labels = [option.get("label") or option["name"] for option in options]
            if labels != data["values"]:  # what people choose by; a client sends values
                data["labels"] = labels
        case "boolean" if element.get("option"):
            data["description"] = element["option"]
        case "range":
            limits = {"min": "min_value", "max": "max_value", "step": "step"}
            data.update({short: element[key] for short, key in limits.items() if element.get(key) is not None})
        case "file":
            if element.get("multiple"):
                data["multiple"] = True
            data["outputFormat"] = "url"
        case "hidden":
            data["value"] = element.get("value")
    return data


def _validations(kind: str, element: Element) -> dict[str, Any]:
    """Return the checks in the notebook's style, in its order: optional, min, max, format.  Limits are strings."""
    validations: dict[str, Any] = {}
    if not element.get("required"):
        validations["optional"] = True
    for word, keys in zip(("min", "max"), _LIMITS.get(kind, ((), ())), strict=True):
        limit = next((element[key] for key in keys if element.get(key) is not None), None)
        if limit is not None:
            validations[word] = str(limit)
    if form := _FORMATS_BY_TYPE.get(kind) or _FORMATS_BY_PATTERN.get(str(element.get("pattern"))):
        validations["format"] = form
    return validations


def _as_list(validations: dict[str, Any]) -> list[dict[str, str]]:
    """Return the checks in the later style: `optional` becomes the text `true`."""
    return [{"validation": key, "value": "true" if value is True else str(value)} for key, value in validations.items()]
