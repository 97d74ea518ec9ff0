"""A form as a schema: what the mesh takes for a declared flow is what the form itself takes."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentmesh import forms
from agentmesh._app.loading import flows_of
from agentmesh.forms.schema import schema_of
from meshkit.errors import Invalid
from meshkit.inputs import Schema, check, compile_schema
from tests.sdk import declared

OPTIONS = [forms.InputOption("a", "A"), forms.InputOption("5", "Five")]

# An element called "x", values that it takes, and values that it does not.
CASES: list[tuple[forms.Element, list[Any], list[Any]]] = [
    (forms.InputText("x"), ["", None, "a", 5, 1.5, True, " "], [["a"], {"a": 1}, "x" * 100_001]),
    (forms.InputText("x", required=True), ["a", 0], ["", None, " ", []]),
    (forms.InputText("x", value="b", required=True), ["a"], ["", None]),
    (forms.InputText("x", pattern="[a-z]+"), ["abc", ""], ["abc1", "a b", "A", 5]),
    (forms.InputText("x", pattern="a|bc"), ["a", "bc"], ["ac", "abc"]),
    (forms.InputText("x", pattern="("), ["a", "("], []),
    (forms.InputPassword("x", min_length=3, max_length=5), ["", "abc", "abcde"], ["ab", "abcdef"]),
    (forms.InputEmail("x"), ["ada@example.com", " ada@example.com ", ""], ["ada", "a@b@c"]),
    (forms.InputUrl("x"), ["https://example.com/x", "ftp://host"], ["example.com", "https://a b", "mailto:a@b"]),
    (forms.InputArea("x", max_length=3), ["", "a\r\nb", "abc"], ["abcd", ["a"]]),
    (forms.InputNumber("x"), ["", None, 5, "5", " -1.5e3 ", 0.1], ["five", True, "1_0"]),
    (forms.InputNumber("x", min_value=1, max_value=3), [1, "3", 2.5], [0, "4", -1]),
    (forms.InputNumber("x", required=True), [0, "0"], ["", None]),
    (forms.InputRange("x", value=5, min_value=0, max_value=10), [0, "10", None, ""], [11, "many"]),
    (forms.InputDate("x", min_date="2025-01-01"), ["2025-01-01", ""], ["2024-12-31", "soon", "2025-02-30"]),
    (forms.InputTime("x", min_time="09:00", max_time="17:00"), ["09:00", "17:00", "09:00:30"], ["08:59", "25:00"]),
    (forms.InputTime("x", min_time="22:00", max_time="06:00"), ["23:00", "05:00"], ["12:00"]),
    (
        forms.InputDateTime("x", max_datetime="2025-06-01T12:00"),
        ["2025-06-01T12:00", "2025-06-01 11:00"],
        ["2025-06-02T00:00"],
    ),
    (forms.InputMonth("x", min_month="2025-02"), ["2025-02"], ["2025-01", "2025-13"]),
    (forms.InputWeek("x", max_week="2025-W10"), ["2025-W10"], ["2025-W11", "2025-W60"]),
    (forms.InputColor("x"), ["#3498db", ""], ["red", "#fff"]),
    (forms.InputHidden("x", "1"), ["a", None, 5, ["a"], {"a": 1}], []),
    (forms.InputFiles("x"), ["http://a/b", ["http://a/b"], "", None, [], {}], ["b", ["http://a", "http://b"], 5]),
    (forms.InputFiles("x", multiple=True), [["http://a", "https://b"]], [["http://a", "b"], {"items": ["b"]}]),
    (forms.InputFiles("x", required=True), ["http://a/b"], ["", None, [], {}]),
    (forms.Checkbox("x", value=True), [True, False, "on", "off", 1, 0, None, "", "perhaps", []], []),
    (forms.Select("x", OPTIONS), ["a", 5, "5", "", None], ["b", 6, True]),
    (forms.Select("x", OPTIONS, value="a", required=True), ["5"], ["", None, "b"]),
    (forms.InputRadio("x", OPTIONS, required=True), ["a"], ["", "b", ["a"]]),
    (forms.Action("x", "go"), ["go", None, "stop"], []),
]
IDS = [f"{element.type}-{number}" for number, (element, _, _) in enumerate(CASES)]


def compiled(model: forms.Model) -> Schema:
    """Return the schema of a form, as the mesh has it."""
    return compile_schema(json.dumps(schema_of(model)))


def form_takes(model: forms.Model, inputs: dict[str, Any]) -> bool:
    """Return whether the app's own form takes the inputs."""
    return not model.check(model.parse(inputs))


def mesh_takes(schema: Schema, inputs: dict[str, Any]) -> bool:
    """Return whether the mesh takes the inputs."""
    try:
        values = check(schema, inputs)
    except Invalid:
        return False
    return schema.validator.is_valid(values) and values.keys() == schema.properties.keys()


@pytest.mark.parametrize(("element", "good", "bad"), CASES, ids=IDS)
def test_the_mesh_takes_what_the_form_takes(element: forms.Element, good: list[Any], bad: list[Any]) -> None:
    """Value by value, for each kind of element; and the flow gets every field."""
    model = forms.Model(element, forms.Submit("Go"))
    schema = compiled(model)

    assert [True] * len(good) == [form_takes(model, {"x": value}) for value in good]
    assert [True] * len(good) == [mesh_takes(schema, {"x": value}) for value in good]
    assert [False] * len(bad) == [form_takes(model, {"x": value}) for value in bad]
    assert [False] * len(bad) == [mesh_takes(schema, {"x": value}) for value in bad]


@pytest.mark.parametrize(("element", "good", "bad"), CASES, ids=IDS)
def test_a_field_that_is_not_sent_is_as_in_the_form(element: forms.Element, good: list[Any], bad: list[Any]) -> None:
    """It takes the form's default, or is missed."""
    model = forms.Model(element)

    assert form_takes(model, {}) == mesh_takes(compiled(model), {})


# What Python's float() reads and HTML does not, and what a checkbox makes of a word, are not in question here.
_VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-20, 20)
    | st.floats(-20, 20).map(lambda number: round(number, 2))
    | st.sampled_from(
        ["", " ", "a", "5", "-3", "2.5", "on", "2025-03-01", "10:30", "2025-03-01T10:30", "2025-03", "#aabbcc"]
    )
    | st.sampled_from(["2025-W08", "ada@example.com", "http://a/b", "a\r\nb", "abcde", [], {}, ["http://a"], ["a"]])
)


@settings(max_examples=500, deadline=None)
@given(st.integers(0, len(CASES) - 1), _VALUES)
def test_the_mesh_and_the_form_agree(case: int, value: Any) -> None:
    """On any value, for any element of the table."""
    model = forms.Model(CASES[case][0])

    assert form_takes(model, {"x": value}) == mesh_takes(compiled(model), {"x": value})


def test_the_flow_gets_values_and_no_texts() -> None:
    """Numbers are numbers, boxes are booleans; what was left empty is None."""
    model = forms.Model(
        forms.Markdown("# Title"),
        forms.Errors(),
        forms.InputNumber("count", value="3"),
        forms.InputRange("level", value=1),
        forms.Checkbox("loud"),
        forms.InputText("name"),
        forms.InputNumber("other"),
        forms.Submit("Go"),
    )
    schema = compiled(model)

    assert {"count": 3, "level": 1.0, "loud": False, "name": None, "other": None} == check(schema, {})
    sent = {"count": "4", "level": "2.5", "loud": "on", "name": "", "other": "", "_global_": "x"}
    assert {"count": 4, "level": 2.5, "loud": True, "name": "", "other": None} == check(schema, sent)


def test_what_the_form_of_a_model_sends_makes_the_model() -> None:
    """Each kind of field, as a browser sends it: all of it text."""
    (flow,) = (flow for flow in flows_of(declared.app) if flow.path == "/kinds")
    sent = {
        "line": "one",
        "lines": "a\r\nb",
        "ratio": "0.5",
        "level": "7",
        "pick": "",
        "size": "2",
        "tags": "a\r\nb",
        "days": "2025-06-01, 2025-06-02",
        "at": "2025-06-01T09:30",
        "clock": "10:15",
        "week": "2025-W20",
        "link": "https://example.com",
        "key": "secret",
        "file": "",
        "code": "abc",
        "home": '{"street": "Main"}',
        "extra": '{"a": 1}',
        "anything": "x",
        "submit": "Start",
    }

    values = check(compile_schema(flow.input_schema_json), sent)

    expected = {
        "line": "one",
        "lines": "a\r\nb",
        "ratio": 0.5,
        "level": 7,
        "pick": None,
        "size": 2,
        "tags": ["a", "b"],
        "days": ["2025-06-01", "2025-06-02"],
        "at": "2025-06-01T09:30",
        "clock": "10:15",
        "week": "2025-W20",
        "link": "https://example.com",
        "key": "secret",
        "file": None,
        "code": "abc",
        "home": {"street": "Main", "neighbour": None},
        "extra": {"a": 1},
        "anything": "x",
    }
    assert expected == values
    assert declared.Kinds.model_validate_json(json.dumps(values)).tags == ["a", "b"]


def test_what_the_form_of_a_model_leaves_empty() -> None:
    """Takes the model's defaults, or is missed."""
    (flow,) = (flow for flow in flows_of(declared.app) if flow.path == "/")
    schema = compile_schema(flow.input_schema_json)

    taken = check(schema, {"name": "Ada", "count": "", "loud": False, "tone": "warm", "day": ""})

    assert {"name": "Ada", "count": 1, "loud": False, "tone": "warm", "day": None} == taken
    with pytest.raises(Invalid) as caught:
        check(schema, {"name": "", "count": "10", "loud": "on", "tone": "", "day": "today"})
    assert {
        "name": ["is required"],
        "count": ["must be less than 10"],
        "day": ["must be a date such as 2025-12-31"],
    } == caught.value.fields
