"""How values of a request are parsed and checked (spec: kodosumi §3.2, and §11.7 for what was wrong with it)."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmesh import forms as F  # noqa: N812  # as apps write it

OPTIONS = [F.InputOption("x", "X"), F.InputOption("y", "Y")]


def check(element: F.Element, value: Any) -> list[str]:
    """Return what is wrong with a value as it was sent."""
    model = F.Model(element)
    name = model.fields()[0].name
    return model.check(model.parse({name: value})).get(name, [])


def test_missing_values_take_their_default() -> None:
    """A form that says `value="0"` means it; what has no default is None."""
    model = F.Model(
        *[F.InputText("start", value="0"), F.InputText("end"), F.Checkbox("on", value=True), F.Checkbox("off")],
        *[F.InputRange("r", value=50), F.Select("s", OPTIONS, value="x"), F.InputHidden("h", "v"), F.Errors()],
        *[F.Action("act", "v"), F.Submit("Go"), F.InputNumber("n", value=3)],
    )

    values = model.parse({})

    assert {
        "start": "0",
        "end": None,
        "on": True,
        "off": False,
        "r": 50.0,
        "s": "x",
        "h": "v",
        "_global_": None,
        "act": None,
        "n": 3,
    } == values


def test_null_stays_null() -> None:
    """A client that says null means null; a box is unticked then."""
    model = F.Model(F.InputText("a", value="x"), F.InputRange("r", value=1), F.Checkbox("b", value=True))

    assert {"a": None, "r": None, "b": False} == model.parse({"a": None, "r": None, "b": None})


def test_unknown_keys_are_dropped() -> None:
    """The author gets the form's fields and nothing else; nobody can send global errors."""
    assert {"a": "1"} == F.Model(F.InputText("a")).parse({"a": "1", "admin": True})
    assert {"_global_": None} == F.Model(F.Errors()).parse({"_global_": "x"})


@pytest.mark.parametrize(
    ("sent", "parsed"),
    [(True, True), ("on", True), ("true", True), ("ON", True), (1, True), (False, False), ("off", False), ("", False)],
)
def test_booleans(sent: Any, parsed: bool) -> None:
    """JSON's `true` is true; so is what browsers send."""
    assert {"b": parsed} == F.Model(F.Checkbox("b")).parse({"b": sent})


def test_an_unticked_box_is_absent_from_a_html_form() -> None:
    """So its default must not come back there."""
    model = F.Model(F.Checkbox("b", value=True), F.InputText("a", value="x"))

    assert {"b": False, "a": "x"} == model.parse({}, form=True)


def test_values_are_not_converted() -> None:
    """The author gets numbers as numbers and text as text; only a range becomes a float."""
    model = F.Model(F.InputNumber("n"), F.InputText("t"), F.InputRange("r"))

    assert {"n": "5", "t": 5, "r": 5.0} == model.parse({"n": "5", "t": 5, "r": "5"})
    assert {"n": 5, "t": None, "r": "x"} == model.parse({"n": 5, "r": "x"})


def test_parsing_leaves_the_form_alone() -> None:
    """One user's choice is not the next one's default: forms are shared by all requests."""
    model = F.Model(F.Select("s", OPTIONS, value="x"), F.InputRadio("r", OPTIONS), F.InputText("a"), F.Checkbox("b"))
    before = json.dumps(model.get_model())

    values = model.parse({"s": "y", "r": "y", "a": "1", "b": True})
    model.check(values)

    assert before == json.dumps(model.get_model())


@pytest.mark.parametrize(
    ("element", "value", "message"),
    [
        (F.InputText("user_name", required=True), "", "User name is required"),
        (F.InputText("a", "Full Name *", required=True), "  ", "Full Name is required"),
        (F.InputText("a", "A", required=True), None, "A is required"),
        (F.InputText("a", "A"), {"x": 1}, "A must be text"),
        (F.InputText("a", "A", pattern=r"\d+"), "12a", "A does not have the expected format"),
        (F.InputNumber("a", "Age", min_value=18), 17, "Age must be at least 18"),
        (F.InputNumber("a", "Age", min_value=18), "17.5", "Age must be at least 18"),
        (F.InputNumber("a", "A", max_value=0.5), 1, "A must be at most 0.5"),
        (F.InputNumber("a", "A"), "ten", "A must be a number"),
        (F.InputNumber("a", "A"), "1_000", "A must be a number"),
        (F.InputNumber("a", "A"), "nan", "A must be a number"),
        (F.InputNumber("a", "A"), True, "A must be a number"),
        (F.InputNumber("a", "A"), "1e999", "A must be a number"),
        (F.InputNumber("a", "A"), "9" * 5000, "A must be a number"),
        (F.InputPassword("a", "A", min_length=8), "short", "A must be at least 8 characters long"),
        (F.InputPassword("a", "A", max_length=3), "long", "A must be at most 3 characters long"),
        (F.InputArea("a", "A", max_length=3), "long", "A must be at most 3 characters long"),
        (F.InputArea("a", "A", max_length=1), "long", "A must be at most 1 character long"),
        (F.InputEmail("a", "A"), "nobody", "A must be an email address such as name@example.com"),
        (F.InputUrl("a", "A"), "example.com", "A must be a full address such as https://example.com"),
        (F.InputUrl("a", "A"), "javascript:alert(1)", "A must be a full address such as https://example.com"),
        (F.InputUrl("a", "A"), "http://[", "A must be a full address such as https://example.com"),
        (F.InputDate("a", "A"), "31.12.2025", "A must be a date such as 2025-12-31"),
        (F.InputDate("a", "A"), "2025-02-30", "A must be a date such as 2025-12-31"),
        (F.InputDate("a", "A", min_date="2025-01-01"), "2024-12-31", "A must be on or after 2025-01-01"),
        (F.InputDate("a", "A", max_date="2025-01-01"), "2025-01-02", "A must be on or before 2025-01-01"),
        (F.InputTime("a", "A", min_time="09:00"), "08:59", "A must be 09:00 or later"),
        (F.InputTime("a", "A", max_time="17:00"), "17:00:01", "A must be 17:00 or earlier"),
        (F.InputTime("a", "A", min_time="22:00", max_time="06:00"), "12:00", "A must be between 22:00 and 06:00"),
        (F.InputTime("a", "A"), "24:00", "A must be a time such as 09:30"),
        (F.InputDateTime("a", "A"), "2025-12-31", "A must be a date and time such as 2025-12-31T09:30"),
        (F.InputMonth("a", "A", min_month="2024-01"), "2023-12", "A must be on or after 2024-01"),
        (F.InputMonth("a", "A"), "2024-13", "A must be a month such as 2025-12"),
        (F.InputWeek("a", "A"), "2025-W53", "A must be a week such as 2025-W52"),
        (F.InputWeek("a", "A", max_week="2025-W10"), "2025-W11", "A must be on or before 2025-W10"),
        (F.Select("a", OPTIONS, "A"), "z", "A must be one of x, y"),
        (F.Select("a", OPTIONS, "A"), ["x"], "A must be one of x, y"),
        (F.Select("a", OPTIONS, "A", required=True), "", "A is required"),
        (F.InputRadio("a", OPTIONS, "A", required=True), None, "A is required"),
        (F.InputRadio("a", OPTIONS, "A"), "z", "A must be one of x, y"),
        (F.InputColor("a", "A"), "red", "A must be a colour such as #3498db"),
        (F.InputRange("a", "A"), 101, "A must be at most 100"),
        (F.InputRange("a", "A"), -1, "A must be at least 0"),
        (F.InputRange("a", "A"), "loud", "A must be a number"),
        (F.InputRange("a", "A"), "1e999", "A must be a number"),
        (F.InputFiles("a", "A", required=True), "", "A is required"),
        (F.InputFiles("a", "A"), ["https://example.com/1", "https://example.com/2"], "A takes one file"),
        (F.InputFiles("a", "A"), "file:///etc/passwd", "A must be an http(s) address of a file"),
    ],
)
def test_what_is_wrong_is_said(element: F.Element, value: Any, message: str) -> None:
    """The message names the field as its label does."""
    assert [message] == check(element, value)


@pytest.mark.parametrize(
    ("element", "value"),
    [
        (F.InputText("a", size=3), "longer than it is wide"),
        (F.InputText("a", pattern="["), "an unreadable pattern is none"),
        (F.InputText("a", pattern=r"\p{L}+"), "Grüße"),
        (F.InputNumber("a", min_value=18), "18"),
        (F.InputNumber("a", min_value=18), 18.0),
        (F.InputNumber("a"), "-1.5e3"),
        (F.InputNumber("a", min_value="soon"), 1),  # type: ignore[arg-type]  # what an author may write
        (F.InputArea("a", max_length=3), "a\r\nb"),
        (F.InputEmail("a"), "a.b+c@example.co.uk"),
        (F.InputUrl("a"), "https://example.com/x?y=1#z"),
        (F.InputTel("a"), "+1 (555) 123-4567"),
        (F.InputDate("a", min_date="2025-01-01", max_date="2025-01-01"), "2025-01-01"),
        (F.InputTime("a", min_time="22:00", max_time="06:00"), "23:30:15.5"),
        (F.InputDateTime("a", min_datetime="2025-01-01T00:00"), "2025-01-01 00:00:30"),
        (F.InputWeek("a"), "2026-W53"),
        (F.Select("a", OPTIONS), "y"),
        (F.Select("a", [F.InputOption("1")]), 1),
        (F.Select("a", OPTIONS), ""),
        (F.InputRange("a", min_value=-5), "-5"),
        (F.InputFiles("a", multiple=True), ["https://example.com/1", "https://example.com/2"]),
        (F.InputFiles("a"), '{"batchId": "1", "items": {}}'),
        (F.InputDate("a", min_date="2025-01-01"), ""),
        (F.InputEmail("a"), None),
        (F.InputPassword("a", min_length=8), ""),
    ],
)
def test_what_is_right_passes(element: F.Element, value: Any) -> None:
    """Bounds belong to the range; an empty value is only wrong where one is required."""
    assert [] == check(element, value)


def test_a_batch_of_uploads_is_the_set_of_its_names() -> None:
    """As kodosumi's forms send it, as its text or as an object; what has come with the form itself is refused."""
    items = {"u": {"filename": "a.txt", "totalChunks": 1}, "v": {"filename": "b/c.txt", "totalChunks": 2}}
    batch = {"batchId": "1", "items": items}
    one, many = F.InputFiles("a", "Report"), F.InputFiles("a", "Report", multiple=True)

    assert {"a.txt", "b/c.txt"} == many.parse_value(json.dumps(batch)) == many.parse_value(batch)
    assert [] == check(many, batch)
    assert ["Report takes one file"] == check(one, batch)
    (message,) = check(one, {"items": items})
    assert "Report: send files ahead" in message


def test_a_pathological_pattern_does_not_hang() -> None:
    """An author's pattern may be exponential: a match is given a quarter of a second."""
    (message,) = check(F.InputText("a", "A", pattern="(a|aa)+"), "a" * 5_000 + "!")

    assert "takes too long to check" in message
    assert ["A must be at most 10000 characters long"] == check(F.InputText("a", "A", pattern="a+"), "a" * 10_001)


ALL = F.Model(
    *[F.InputText("text"), F.InputNumber("number"), F.InputEmail("email"), F.InputUrl("url"), F.InputArea("area")],
    *[
        F.InputDate("date", max_date="2030-01-01"),
        F.InputTime("time"),
        F.InputDateTime("datetime"),
        F.InputMonth("month"),
    ],
    *[F.InputWeek("week"), F.InputColor("color"), F.InputRange("range"), F.InputHidden("hidden"), F.InputFiles("file")],
    *[F.Checkbox("box"), F.Select("select", OPTIONS), F.InputRadio("radio", OPTIONS), F.Errors(), F.Action("action")],
)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.fixed_dictionaries({}, optional={field.name: VALUES for field in ALL.fields()}))
def test_no_request_breaks_a_form(data: dict[str, Any]) -> None:
    """Whatever is sent, there is an answer: values under every name, and messages that are text."""
    values = ALL.parse(data)
    problems = ALL.check(values)

    assert {field.name for field in ALL.fields()} == set(values)
    assert all(isinstance(message, str) for messages in problems.values() for message in messages)
