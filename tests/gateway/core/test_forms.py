"""Form elements as fields of a page, and back as values."""

from typing import Any

import pytest

from gateway.core import forms

OPTIONS = [
    {"type": "option", "name": "red", "label": "Red", "value": False},
    {"type": "option", "name": "blue", "label": None, "value": True},
]


def one(element: dict[str, Any], sent: dict[str, str] | None = None, **errors: list[str]) -> forms.Field:
    return forms.fields([element], sent, errors)[0]


def test_limits_become_attributes() -> None:
    """What the element says about its values is said to the browser; what is null is not."""
    number = {"type": "number", "name": "n", "label": "N", "value": 0, "required": True, "min_value": 0, "step": None}
    field = one(number)
    assert (field.label, field.value, field.required) == ("N", "0", True)
    assert field.attributes == {"type": "number", "min": 0}
    password = one({"type": "password", "name": "p", "min_length": 8, "max_length": 100, "pattern": r"\S+"})
    assert password.attributes == {"type": "password", "minlength": 8, "maxlength": 100, "pattern": r"\S+"}
    assert one({"type": "of a newer release", "name": "x"}).attributes == {"type": "text"}


def test_what_was_sent_comes_back_except_passwords() -> None:
    """With what was sent the field shows that and its errors; a password is typed again."""
    text = one({"type": "text", "name": "a", "value": "own"}, {"a": "sent"}, a=["Too short."])
    assert (text.value, text.errors) == ("sent", ("Too short.",))
    assert one({"type": "password", "name": "p", "value": "own"}, {"p": "secret"}).value == ""
    assert one({"type": "hidden", "name": "h", "value": "x"}).value == "x"


@pytest.mark.parametrize("kind", ["select", "radio"])
def test_choices_know_what_is_chosen(kind: str) -> None:
    """The form's own choice, or the one that was sent, is marked."""
    element = {"type": kind, "name": "c", "label": "C", "value": None, "option": [*OPTIONS, "broken"]}
    assert list(one(element).options) == [("red", "Red", False), ("blue", "blue", True)]
    assert list(one(element, {"c": "red"}).options) == [("red", "Red", True), ("blue", "blue", False)]


def test_boxes_are_ticked() -> None:
    """A box is ticked by its value, or by what was sent: an unticked box sends nothing."""
    element = {"type": "boolean", "name": "b", "value": True, "option": "I agree"}
    assert one(element).checked
    assert not one(element, {}).checked
    assert one(element, {"b": "on"}).checked


def test_a_form_always_has_a_button() -> None:
    """A form without a submit gets one; Cancel alone is not enough; it skips the browser's checks."""
    cancel = {"type": "cancel", "text": "Back"}
    fields = forms.fields([cancel, {"type": "errors"}, {}], None, {})
    assert [(field.kind, field.label) for field in fields] == [("button", "Back"), ("button", "Submit")]
    assert fields[0].attributes["formnovalidate"]
    assert len(forms.fields([{"type": "submit", "text": "Go"}], None, {})) == 1
    assert len(forms.fields([{"type": "action", "name": "a", "value": "1", "text": "Go"}], None, {})) == 1


def test_only_the_form_s_names_are_launched() -> None:
    """Foreign names, texts and files are left out, boxes are `on` or False, an action is there if it was pressed."""
    elements: list[dict[str, Any]] = [
        {"type": "markdown", "text": "x", "name": "m"},
        {"type": "text", "name": "a"},
        {"type": "number", "name": "n"},
        {"type": "boolean", "name": "yes"},
        {"type": "boolean", "name": "no"},
        {"type": "file", "name": "f"},
        {"type": "action", "name": "go", "value": "1"},
        {"type": "submit", "name": None},
    ]
    sent = {"a": "", "yes": "on", "f": "x", "evil": "1", "m": "1"}
    assert forms.inputs(elements, sent) == {"a": "", "yes": "on", "no": False}
    assert forms.inputs(elements, {"go": "1"}) == {"yes": False, "no": False, "go": "1"}
