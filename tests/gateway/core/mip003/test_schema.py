"""Form elements as MIP-003 input schemas, against the notebook's examples."""

from typing import Any

import pytest

from gateway.core.mip003.schema import awaited, by_name, input_schema


def text(name: str, label: str, **given: Any) -> dict[str, Any]:
    """A text element as the SDK emits it: every key is there, null when unset."""
    keys = {"value": None, "required": False, "placeholder": None, "size": None, "pattern": None}
    return {"type": "text", "name": name, "label": label, **keys, **given}


def field(name: str, label: str | None, kind: str, data: Any, validations: Any) -> dict[str, Any]:
    return {"id": name, "type": kind, "name": label, "data": data, "validations": validations}


def one(element: dict[str, Any], **style: bool) -> dict[str, Any]:
    (only,) = input_schema([element], **style)["input_data"]
    return dict(only)


SEED = [
    (
        text("username", "Username", required=True, size=20, placeholder="Enter your username (3-20 chars)"),
        field("username", "Username", "text", {"placeholder": "Enter your username (3-20 chars)"}, {"max": "20"}),
    ),
    (
        {
            **text("password", "Password", required=True, placeholder="Min 8 characters"),
            "type": "password",
            "min_length": 8,
            "max_length": 100,
        },
        field("password", "Password", "password", {"placeholder": "Min 8 characters"}, {"min": "8", "max": "100"}),
    ),
    (
        {**text("email", "Email Address", required=True, placeholder="user@example.com"), "type": "email"},
        field("email", "Email Address", "email", {"placeholder": "user@example.com"}, {"format": "email"}),
    ),
    (
        {**text("website", "Website URL", placeholder="https://example.com"), "type": "url"},
        field(
            "website",
            "Website URL",
            "url",
            {"placeholder": "https://example.com"},
            {"optional": True, "format": "url"},
        ),
    ),
    (text("start", "Start", value="0"), field("start", "Start", "text", {"default": "0"}, {"optional": True})),
    (
        {"type": "date", "name": "date", "label": "Date", "value": None, "required": True, "min_date": "2025-12-11"},
        field("date", "Date", "date", None, {"min": "2025-12-11"}),
    ),
    (
        text("greeting", "Your Greeting", required=True, placeholder="Say hello..."),
        field("greeting", "Your Greeting", "text", {"placeholder": "Say hello..."}, None),
    ),
]


@pytest.mark.parametrize(("element", "expected"), SEED, ids=lambda value: value.get("name"))
def test_the_notebook_s_fields(element: dict[str, Any], expected: dict[str, Any]) -> None:
    """Every field that the notebook prints in full comes out the same."""
    assert one(element) == expected


def test_options_are_listed_by_name() -> None:
    """A select is an `option` whose values are its options' names; a radio keeps its type; labels go along."""
    options = [
        {"type": "option", "name": "red", "label": "Red", "value": True},
        {"type": "option", "name": "", "label": "None", "value": False},
        {"type": "option", "name": "blue", "label": "Blue", "value": False},
    ]
    element = {"type": "select", "name": "color", "label": "Color", "value": "red", "option": options}
    data = {"default": "red", "values": ["red", "blue"], "labels": ["Red", "Blue"]}
    assert one(element) == field("color", "Color", "option", data, {"optional": True})
    radio = {"type": "radio", "name": "c", "label": "C", "value": None, "required": True, "option": options}
    assert one(radio) == field("c", "C", "radio", {"values": ["red", "blue"], "labels": ["Red", "Blue"]}, None)
    bare = [{"name": "a"}, {"name": "b", "label": ""}]
    assert one({**radio, "option": bare}) == field("c", "C", "radio", {"values": ["a", "b"]}, None)


def test_other_types_carry_what_a_client_needs() -> None:
    """Boolean, range, file and hidden fields say their text, limits, format and value."""
    boolean = {"type": "boolean", "name": "ok", "label": "Agree", "value": False, "option": "I agree"}
    data: dict[str, Any] = {"default": False, "description": "I agree"}
    assert one(boolean) == field("ok", "Agree", "boolean", data, {"optional": True})
    limits = {"min_value": 0, "max_value": 10, "step": 2}
    slider = {"type": "range", "name": "n", "label": "N", "value": 5, "required": True, **limits}
    data = {"default": 5, "min": 0, "max": 10, "step": 2}
    assert one(slider) == field("n", "N", "range", data, {"min": "0", "max": "10"})
    upload = {"type": "file", "name": "f", "label": "F", "value": None, "required": True, "multiple": True}
    assert one(upload) == field("f", "F", "file", {"multiple": True, "outputFormat": "url"}, None)
    hidden = {"type": "hidden", "name": "h", "value": "x"}
    assert one(hidden) == field("h", None, "hidden", {"default": "x", "value": "x"}, {"optional": True})
    digits = text("d", "D", required=True, pattern=r"^\d+$")
    assert one(digits)["validations"] == {"format": "integer"}


def test_a_form_without_fields_is_null() -> None:
    """Texts, buttons and broken elements are no fields; without a field `input_data` is null."""
    kinds = ("html", "markdown", "submit", "cancel", "action", "errors", "break", "hr")
    elements: list[dict[str, Any]] = [{"type": kind, "name": "x", "text": "y"} for kind in kinds]
    elements += [{}, {"type": "text", "name": None}]
    assert input_schema(elements) == {"input_data": None, "input_groups": None}
    assert input_schema(None) == {"input_data": None, "input_groups": None}


def test_the_later_style_lists_its_checks() -> None:
    """In the later style validations are a list of texts, and there are no groups."""
    schema = input_schema([text("a", "A", size=20)], later=True)
    checks = [{"validation": "optional", "value": "true"}, {"validation": "max", "value": "20"}]
    assert schema == {"input_data": [field("a", "A", "text", None, checks)]}


def test_texts_become_fields_only_in_the_later_style() -> None:
    """`none` is always a field; markdown is one in the later style, and then ids stay unique."""
    elements: list[dict[str, Any]] = [
        {"type": "markdown", "text": " # Hi "},
        {"type": "none", "text": None, "label": "Note"},
    ]
    note = field("info", "Note", "none", None, None)
    assert input_schema(elements)["input_data"] == [note]
    hello = field("info", "Information", "none", {"description": "# Hi"}, None)
    assert input_schema(elements, later=True)["input_data"] == [hello, {**note, "id": "info_1"}]


# -- answers ---------------------------------------------------------------------------------------------------------

CHOICES = [
    {"type": "select", "name": "one", "option": [{"name": "a"}, {"name": "b"}, {"name": ""}]},
    {"type": "radio", "name": "two", "option": [{"name": "c"}, {"name": "d"}]},
    text("three", "Three"),
]


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ({"one": [1]}, {"one": "b"}),
        ({"one": [1, 0], "two": [0]}, {"one": ["b", "a"], "two": "c"}),
        ({"one": "b", "two": ["d"]}, {"one": "b", "two": ["d"]}),
        ({"one": [2]}, {"one": [2]}),
        ({"one": [True]}, {"one": [True]}),
        ({"one": [-1]}, {"one": [-1]}),
        ({"one": []}, {"one": []}),
        ({"three": [0], "four": [0]}, {"three": [0], "four": [0]}),
    ],
)
def test_indexes_of_options_become_names(sent: dict[str, Any], meant: dict[str, Any]) -> None:
    """One index is a name, several are a list; what is no index of an option stays as it was sent."""
    before = dict(sent)
    assert by_name(CHOICES, sent) == meant
    assert sent == before


def test_what_a_job_awaits() -> None:
    """The notebook's style is a list of forms; the later one has groups whose fields name their lock."""
    locks = [("l-1", "greeting", 5.0, [text("greeting", "Greeting")]), ("l-2", "empty", 6.0, [])]
    first = field("greeting", "Greeting", "text", None, {"optional": True})
    assert awaited(locks) == [
        {"lock_id": "l-1", "input_data": [first], "input_groups": None, "expires_at": 5.0},
        {"lock_id": "l-2", "input_data": None, "input_groups": None, "expires_at": 6.0},
    ]
    later = {**first, "id": "l-1:greeting", "validations": [{"validation": "optional", "value": "true"}]}
    assert awaited(locks, later=True) == {
        "input_groups": [
            {"id": "l-1", "title": "greeting", "input_data": [later]},
            {"id": "l-2", "title": "empty", "input_data": []},
        ]
    }
    assert awaited([]) is None
    assert awaited([], later=True) is None
