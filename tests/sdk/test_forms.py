"""The JSON and HTML of form elements (spec: kodosumi §3.1, §3.4)."""

import datetime
import json
from typing import Any

import pytest

from agentmesh import forms as F  # noqa: N812  # as apps write it

TEXT = {"label": None, "value": None, "required": False, "placeholder": None, "size": None, "pattern": None}
LENGTHS = {**TEXT, "min_length": None, "max_length": None}
FIELD = {"label": None, "value": None, "required": False}

SHAPES: list[tuple[Any, dict[str, Any]]] = [
    (F.Markdown("# Hi"), {"type": "markdown", "text": "# Hi"}),
    (F.HTML("<b>x</b>"), {"type": "html", "text": "<b>x</b>"}),
    (F.Break(), {"type": "break", "text": '<div class="space"></div>'}),
    (F.HR(), {"type": "hr", "text": '<hr class="medium"/>'}),
    (F.InputText("a"), {"type": "text", "name": "a", **TEXT}),
    (F.InputNumber("a"), {"type": "number", "name": "a", **TEXT, "min_value": None, "max_value": None, "step": None}),
    (F.InputPassword("a"), {"type": "password", "name": "a", **LENGTHS}),
    (F.InputEmail("a"), {"type": "email", "name": "a", **LENGTHS}),
    (F.InputUrl("a"), {"type": "url", "name": "a", **LENGTHS}),
    (F.InputTel("a"), {"type": "tel", "name": "a", **LENGTHS}),
    (F.InputSearch("a"), {"type": "search", "name": "a", **LENGTHS}),
    (F.InputDate("a"), {"type": "date", "name": "a", **FIELD, "placeholder": None, "min_date": None, "max_date": None}),
    (
        F.InputTime("a"),
        {"type": "time", "name": "a", **FIELD, "placeholder": None, "min_time": None, "max_time": None, "step": None},
    ),
    (
        F.InputDateTime("a"),
        {
            "type": "datetime-local",
            "name": "a",
            **FIELD,
            "placeholder": None,
            "min_datetime": None,
            "max_datetime": None,
            "step": None,
        },
    ),
    (F.InputMonth("a"), {"type": "month", "name": "a", **FIELD, "min_month": None, "max_month": None}),
    (F.InputWeek("a"), {"type": "week", "name": "a", **FIELD, "min_week": None, "max_week": None}),
    (
        F.InputArea("a"),
        {"type": "textarea", "name": "a", **FIELD, "placeholder": None, "rows": None, "cols": None, "max_length": None},
    ),
    (F.Checkbox("a"), {"type": "boolean", "name": "a", "label": None, "value": False, "option": "on"}),
    (
        F.Select("a", [F.InputOption("x", "X"), F.InputOption("y")], "A", "y"),
        {
            "type": "select",
            "name": "a",
            "label": "A",
            "value": "y",
            "option": [
                {"type": "option", "name": "x", "label": "X", "value": False},
                {"type": "option", "name": "y", "label": None, "value": True},
            ],
            "error": None,
        },
    ),
    (
        F.InputRadio("a", [F.InputOption("x", "X")]),
        {
            "type": "radio",
            "name": "a",
            **FIELD,
            "option": [{"type": "option", "name": "x", "label": "X", "value": False}],
        },
    ),
    (F.InputColor("a"), {"type": "color", "name": "a", **FIELD}),
    (F.InputRange("a"), {"type": "range", "name": "a", **FIELD, "min_value": 0, "max_value": 100, "step": None}),
    (F.InputHidden("a", "v"), {"type": "hidden", "name": "a", "value": "v"}),
    (F.InputFiles("a"), {"type": "file", "name": "a", **FIELD, "multiple": False, "directory": False}),
    (F.DisplayInfo("t", "l"), {"type": "none", "text": "t", "label": "l"}),
    (F.Submit("Go"), {"type": "submit", "text": "Go"}),
    (F.Cancel("No"), {"type": "cancel", "text": "No"}),
    (F.Action("a", "v", text="t"), {"type": "action", "name": "a", "value": "v", "text": "t"}),
    (F.Errors(), {"type": "errors"}),
]


@pytest.mark.parametrize(("element", "shape"), SHAPES, ids=lambda value: getattr(value, "type", ""))
def test_json_has_the_documented_keys_in_order(element: F.Element, shape: dict[str, Any]) -> None:
    """Keys, their order and the nulls are the contract."""
    assert json.dumps(shape) == json.dumps(element.to_dict())


def test_a_form_survives_its_json() -> None:
    """`model_validate` builds the same form from `get_model`, and leaves what it is given alone."""
    model = F.Model(*(element for element, _ in SHAPES))
    elements = model.get_model()
    before = json.dumps(elements)

    again = F.Model.model_validate(elements)

    assert model.get_model() == again.get_model()
    assert before == json.dumps(elements)
    assert {"elements": elements} == json.loads(model.get_model_json())


def test_positional_arguments_are_those_of_kodosumi() -> None:
    """Name, label, value, required, placeholder, size, pattern; a checkbox has its option second."""
    text = F.InputText("n", "l", "v", True, "p", 3, "x")
    box = F.Checkbox("n", "option", "label", True)

    assert ["n", "l", "v", True, "p", 3, "x"] == [text.to_dict()[key] for key in text.keys()]  # noqa: SIM118
    assert {"type": "boolean", "name": "n", "label": "label", "value": True, "option": "option"} == box.to_dict()


def test_select_shows_required_only_where_it_is_used() -> None:
    """Earlier releases know no such key; a form that does not use it looks the same."""
    option = [F.InputOption("x")]

    assert "required" not in F.Select("a", option).to_dict()
    assert ["type", "name", "label", "value", "required", "option", "error"] == list(
        F.Select("a", option, required=True).to_dict()
    )


def test_options_are_not_shared() -> None:
    """One list of options may serve two elements: each has its own selection."""
    options = [F.InputOption("x"), F.InputOption("y")]
    first, second = F.Select("a", options, value="x"), F.InputRadio("b", options, value="y")

    assert [True, False] == [option["value"] for option in first.to_dict()["option"]]
    assert [False, True] == [option["value"] for option in second.to_dict()["option"]]


def test_dates_may_be_dates() -> None:
    """An author's `date` objects become text, in JSON and in HTML."""
    date = F.InputDate("d", value=datetime.date(2025, 1, 2), min_date=datetime.date(2025, 1, 1))  # type: ignore[arg-type]

    assert ("2025-01-02", "2025-01-01") == (date.to_dict()["value"], date.to_dict()["min_date"])
    assert 'min="2025-01-01"' in date.render()
    assert ["D must be on or after 2025-01-01"] == date.check("2024-12-31")


@pytest.mark.parametrize(
    "nothing",
    [None, "", " ", "{}", "[]", "null", [], [""], ["", None], {}, {"batchId": "b", "items": {}}, '{"items": null}'],
)
def test_an_empty_file_control_blocks_nothing(nothing: Any) -> None:
    """However a client says that there is no file; a required one is missed."""
    model = F.Model(F.InputFiles("a", multiple=True), F.InputFiles("b", required=True))
    values = model.parse({"a": nothing, "b": nothing})

    assert values == {"a": None, "b": None}
    assert list(model.check(values)) == ["b"]


def test_unknown_elements_are_left_out() -> None:
    """A form of a later release still shows what is known of it; keys that are not known do no harm."""
    model = F.Model.model_validate([{"type": "hologram"}, {"type": "password", "name": "a", "show_toggle": True}])

    assert ["password"] == [element["type"] for element in model.get_model()]


def test_an_element_that_lacks_its_name_is_refused() -> None:
    """The message names the element."""
    with pytest.raises(ValueError, match="'type': 'text'"):
        F.Model.model_validate([{"type": "text"}])


def test_only_elements_make_a_form() -> None:
    """A list in the place of elements is a mistake that is told at once."""
    with pytest.raises(TypeError, match="got list"):
        F.Model([F.InputText("a")])  # type: ignore[arg-type]


@pytest.mark.parametrize("element", [element for element, _ in SHAPES], ids=lambda element: element.type)
def test_every_element_renders(element: F.Element) -> None:
    """There is HTML for each, though an `errors` without errors and an option's is bare."""
    html = element.render()

    assert html or isinstance(element, F.Errors)
    assert html.count("<select") == html.count("</select>")


EVIL = "\"><script>alert('x')</script>"


@pytest.mark.parametrize(
    "element",
    [
        F.InputText(EVIL, EVIL, EVIL, placeholder=EVIL, pattern=EVIL, error=[EVIL]),
        F.InputArea("a", EVIL, "</textarea>" + EVIL, error=[EVIL]),
        F.Checkbox(EVIL, EVIL, EVIL, error=[EVIL]),
        F.Select(EVIL, [F.InputOption(EVIL, EVIL)], EVIL, EVIL, error=[EVIL]),
        F.InputRadio(EVIL, [F.InputOption(EVIL, EVIL)], EVIL, EVIL, error=[EVIL]),
        F.InputHidden(EVIL, EVIL),
        F.DisplayInfo(EVIL, EVIL),
        F.Markdown(f"# {EVIL}"),
        F.HTML(f"<p onclick='x()'>{EVIL}</p>"),
        F.Submit(EVIL),
        F.Cancel(EVIL),
        F.Action(EVIL, EVIL, text=EVIL),
        F.Errors([EVIL]),
    ],
    ids=lambda element: element.type,
)
def test_nothing_gets_out_of_its_place(element: F.Element) -> None:
    """Labels, values and messages are escaped, markup is sanitised."""
    html = element.render()

    assert "<script" not in html
    assert "onclick" not in html


def test_zero_is_a_bound() -> None:
    """`min=0` is rendered; an attribute is left out only if it is not set."""
    html = F.InputNumber("n", value=0, min_value=0).render()

    assert 'min="0"' in html
    assert 'value="0"' in html
    assert "max" not in html


def test_messages_are_shown_beside_their_field() -> None:
    """`model_validate` takes a POST's errors."""
    model = F.Model(F.Errors(), F.InputText("a"))

    html = F.Model.model_validate(model.get_model(), {"a": ["bad"], "_global_": ["all bad"]}).render()

    assert '<span class="error">bad</span>' in html
    assert "all bad" in html


def test_data_is_shown_again() -> None:
    """`set_data` fills the form with what was sent; a box that was not is unticked."""
    model = F.Model(
        F.InputText("a"),
        F.Checkbox("b", value=True),
        F.Select("c", [F.InputOption("x"), F.InputOption("y")], value="x"),
    )

    model.set_data({"a": "1", "c": "y"})

    text, box, select = model.get_model()
    assert ("1", False, "y") == (text["value"], box["value"], select["value"])
    assert [False, True] == [option["value"] for option in select["option"]]
    assert "selected>y" in model.render()
