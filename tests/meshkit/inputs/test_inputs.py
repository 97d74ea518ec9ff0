"""Inputs of a launch, checked by a schema: what is taken, as what, and in which words the rest is refused."""

import json
import time
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshkit.errors import Invalid
from meshkit.inputs import Schema, check, compile_schema, formats

EVERYTHING: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 2, "maxLength": 10},
        "count": {"type": "integer", "minimum": 1, "maximum": 10, "default": 3},
        "ratio": {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "null"}], "default": None},
        "loud": {"type": "boolean", "default": False},
        "tone": {"$ref": "#/$defs/Tone", "default": "warm"},
        "level": {"enum": [1, 2, "max", None], "default": None},
        "tags": {"type": "array", "items": {"enum": ["a", "b"], "type": "string"}, "maxItems": 2, "default": []},
        "notes": {"type": "array", "items": {"type": "string"}},
        "day": {"type": "string", "format": "date", "formatMinimum": "2025-01-01"},
        "at": {"type": "string", "format": "date-time"},
        "code": {"type": "string", "pattern": "^(?=.*x)[a-z]+$"},
        "place": {
            "type": "object",
            "properties": {"street": {"type": "string"}, "number": {"type": "integer", "default": 1}},
            "required": ["street"],
            "additionalProperties": False,
        },
        "either": {"anyOf": [{"type": "integer", "maximum": 3}, {"type": "string", "minLength": 4}]},
        "anything": {},
    },
    "required": ["name"],
    "$defs": {"Tone": {"enum": ["warm", "cold"], "type": "string"}},
}


def compiled(properties: dict[str, Any] | None = None, **more: Any) -> Schema:
    """Return a schema of these properties; without, that of everything."""
    found = EVERYTHING if properties is None else {"type": "object", "properties": properties, **more}
    return compile_schema(json.dumps(found))


SCHEMA = compiled()


def messages(inputs: dict[str, Any], schema: Schema = SCHEMA) -> dict[str, list[str]]:
    """Return what is refused of the inputs, by field."""
    with pytest.raises(Invalid) as caught:
        check(schema, inputs)
    return caught.value.fields


def test_what_is_not_given_takes_its_default() -> None:
    """And what has none stays away; `null` is a default only where it is allowed."""
    expected = {"name": "Ada", "count": 3, "ratio": None, "loud": False, "tone": "warm", "level": None, "tags": []}

    assert expected == check(SCHEMA, {"name": "Ada"})
    assert {} == check(compiled({"a": {"type": "string", "default": None}}), {})


@pytest.mark.parametrize(
    ("name", "sent", "taken"),
    [
        ("count", "4", 4),
        ("count", " 4.0 ", 4),
        ("count", 4.0, 4),
        ("ratio", "1e-2", 0.01),
        ("ratio", 2, 2),
        ("ratio", "", None),
        ("count", "", 3),
        ("count", None, 3),
        ("loud", "on", True),
        ("loud", "TRUE", True),
        ("loud", "off", False),
        ("loud", 1, True),
        ("name", 12, "12"),
        ("level", "2", 2),
        ("level", "max", "max"),
        ("tags", "a, b", ["a", "b"]),
        ("tags", "a\nb\n", ["a", "b"]),
        ("tags", '["b"]', ["b"]),
        ("notes", "one, two\nthree", ["one, two", "three"]),
        ("place", '{"street": "Main", "number": "7"}', {"street": "Main", "number": 7}),
        ("place", {"street": "Main"}, {"street": "Main", "number": 1}),
        ("day", "2025-06-01", "2025-06-01"),
        ("at", "2025-06-01T09:30", "2025-06-01T09:30"),
        ("at", "2025-06-01T09:30:00.5+02:00", "2025-06-01T09:30:00.5+02:00"),
        ("day", "", None),
        ("either", "3333", "3333"),
        ("anything", "3", "3"),
        ("anything", None, None),
    ],
)
def test_texts_of_forms_become_what_the_schema_asks_for(name: str, sent: Any, taken: Any) -> None:
    """Numbers, boxes, lists and objects; dates stay text.  An empty text is not given, where it is not allowed."""
    assert taken == check(SCHEMA, {"name": "Ada", name: sent}).get(name)


@pytest.mark.parametrize(
    ("name", "sent", "words"),
    [
        ("name", "", "is required"),
        ("name", None, "is required"),
        ("name", "  ", "is required"),
        ("name", "A", "must be at least 2 characters long"),
        ("name", "Adalbert von", "must be at most 10 characters long"),
        ("name", ["Ada"], "must be text"),
        ("count", 11, "must be at most 10"),
        ("count", "0", "must be at least 1"),
        ("count", "4.5", "must be a whole number"),
        ("count", "many", "must be a whole number"),
        ("count", True, "must be a whole number"),
        ("ratio", 0, "must be more than 0"),
        ("ratio", "many", "must be a number"),
        ("ratio", float("nan"), "must be a number"),
        ("loud", "perhaps", "must be yes or no"),
        ("tone", "hot", "must be one of warm, cold"),
        ("level", 3, "must be one of 1, 2, max"),
        ("tags", ["c"], "1: must be one of a, b"),
        ("tags", ["a", "b", "a"], "must have at most 2 items"),
        ("day", "tomorrow", "must be a date such as 2025-12-31"),
        ("day", "2024-12-31", "must be on or after 2025-01-01"),
        ("at", "2025-06-01T25:00", "must be a date and time such as 2025-12-31T09:30"),
        ("code", "abc", "does not have the expected format"),
        ("code", "x" * 10_001, "must be at most 10000 characters long"),
        ("place", {"number": 1}, "street: is required"),
        ("place", {"street": "Main", "town": "X"}, "there is no field 'town'"),
        ("place", "Main Street", "must be a JSON object"),
        ("either", 4, "must be at most 3"),
        ("either", "3", "must be at least 4 characters long"),
        ("either", [1], "must be a whole number or text"),
        ("anything", "\ud800", "must be valid Unicode"),
        ("anything", {1: 2}, "must be a JSON object"),
        ("anything", {"a", "b"}, "must be JSON"),
    ],
)
def test_what_is_wrong_is_told_in_peoples_words(name: str, sent: Any, words: str) -> None:
    """By field; what lies deeper says where."""
    assert {name: [words]} == messages({"name": "Ada", name: sent})


def test_every_field_that_is_wrong_is_told() -> None:
    """At once, so that a form is corrected in one go; the message has them all."""
    with pytest.raises(Invalid, match=r"^count must be at most 10; tone must be one of warm, cold$") as caught:
        check(SCHEMA, {"name": "Ada", "count": 99, "tone": "hot"})

    assert {"count": ["must be at most 10"], "tone": ["must be one of warm, cold"]} == caught.value.fields


def test_an_unknown_field_is_named_with_the_known_ones() -> None:
    """It is an error, unless the schema is open; what a form sends beside its fields is left out."""
    schema = compiled({"topic": {"type": "string"}, "tone": {"type": "string"}})

    assert {"topik": ["is no field here; there is topic, tone"]} == messages({"topik": "x"}, schema)
    assert {"a": ["is no field here; there is none"]} == messages({"a": 1}, compiled({}))
    with pytest.raises(Invalid, match=r"^topik is no field here; there is topic, tone$"):
        check(schema, {"topik": "x"})
    assert {"topic": "x"} == check(schema, {"topic": "x", "__submit__": "", "submit": "Go", "_global_": None})
    assert {"topik": 1} == check(compiled({}, additionalProperties=True), {"topik": 1})
    assert {"submit": 1} == check(compiled({"submit": {"type": "integer"}}), {"submit": "1"})


def test_a_default_is_nobodys_but_the_calls() -> None:
    """What a caller does to its inputs does not change those of the next."""
    schema = compiled({"tags": {"type": "array", "default": []}})

    check(schema, {})["tags"].append("mine")

    assert {"tags": []} == check(schema, {})


@pytest.mark.parametrize(
    ("bound", "sent", "words"),
    [
        ({"format": "time", "formatMinimum": "09:00"}, "08:59", "must be 09:00 or later"),
        ({"format": "time", "formatMaximum": "17:00"}, "17:01", "must be 17:00 or earlier"),
        ({"format": "time", "formatMinimum": "22:00", "formatMaximum": "06:00"}, "12:00", "must be between"),
        ({"format": "time", "formatMinimum": "22:00", "formatMaximum": "06:00"}, "23:00", ""),
        ({"format": "week", "formatMaximum": "2025-W10"}, "2025-W11", "must be on or before 2025-W10"),
        ({"format": "month", "formatMinimum": "2025-10"}, "2025-09", "must be on or after 2025-10"),
        (
            {"format": "date-time", "formatMinimum": "2025-01-01T00:00Z"},
            "2025-01-01T01:00+02:00",
            "must be on or after",
        ),
        ({"format": "date", "formatMinimum": "soon"}, "2025-01-01", ""),
    ],
)
def test_moments_have_bounds(bound: dict[str, Any], sent: str, words: str) -> None:
    """As those of HTML's inputs: over midnight, too, and one that cannot be read is none."""
    schema = compiled({"at": {"type": "string", **bound}})
    if words:
        assert messages({"at": sent}, schema)["at"][0].startswith(words)
    else:
        assert {"at": sent} == check(schema, {"at": sent})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not JSON"),
        ("[" * 5000, "is not JSON"),
        ('"text"', "must be that of an object"),
        ('{"type": "object"}', "must be that of an object"),
        ('{"type": "object", "properties": {"a": {"type": 5}}}', "is no JSON Schema"),
        ('{"type": "object", "properties": {"a": {"pattern": "("}}}', "is no JSON Schema"),
        ('{"type": "object", "properties": {"a": {"pattern": "(a{1000}){1000}"}}}', "is no JSON Schema"),
        ('{"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1/x"}}}', "does not hold"),
        ('{"type": "object", "properties": {"a": {"$ref": "#/$defs/b"}}}', "does not hold"),
        ('{"type": "object", "properties": {"a": {"$ref": "#"}}}', "does not hold"),
        ('{"type": "object", "properties": {"a": {"$id": "http://127.0.0.1/x"}}}', r"uses \$id"),
        ('{"type": "object", "properties": {"a": {"$dynamicRef": "#a"}}}', r"uses \$dynamicRef"),
    ],
)
def test_a_schema_that_is_none_is_refused(text: str, words: str) -> None:
    """With what is wrong about it; nothing is fetched."""
    with pytest.raises(Invalid, match=words):
        compile_schema(text)


def test_a_schema_whose_work_is_without_bound_is_refused() -> None:
    """Recursion, depth, size, and references that double at each step."""
    recursive = {"$defs": {"a": {"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}}}}
    with pytest.raises(Invalid, match="recursive"):
        compiled({"a": {"$ref": "#/$defs/a"}}, **recursive)
    doubling = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(12)}
    with pytest.raises(Invalid, match="more than 2000 parts"):
        compiled({"a": {"$ref": "#/$defs/d0"}}, **{"$defs": {**doubling, "d12": {"type": "string"}}})
    deep: dict[str, Any] = {}
    for _ in range(40):
        deep = {"type": "array", "items": deep}
    with pytest.raises(Invalid, match="nested more than 32 deep"):
        compiled({"a": deep})
    with pytest.raises(Invalid, match="bytes"):
        compiled({"a": {"description": "x" * 300_000}})


@pytest.mark.parametrize("pattern", ["^(a+)+$", "(a*)*b(?!x)", r"(?:(?=.*x).|(?=.*y).)*z", r"^(\w+\s?)*$(?!y)"])
def test_no_pattern_takes_long(pattern: str) -> None:
    """One that a backtracking engine would not come back from within a life."""
    schema = compiled({"a": {"type": "string", "pattern": pattern}})
    started = time.process_time()  # of a machine that is busy with other things, too

    assert 1 == len(messages({"a": "a" * 9_999 + "!"}, schema)["a"])

    assert 1.0 > time.process_time() - started


def test_inputs_have_a_size() -> None:
    """Entries, depth and characters are counted, also within texts that are read as JSON."""
    schema = compiled({"a": {"type": "array"}, "b": {}, "c": {}})
    deep: Any = "x"
    for _ in range(40):
        deep = [deep]

    assert {"a": ["must have at most 20000 entries"]} == messages({"a": ["x"] * 20_001}, schema)
    assert {"a": ["must have at most 20000 entries"]} == messages({"a": json.dumps([1] * 20_001)}, schema)
    assert {"b": ["must be nested at most 32 deep"]} == messages({"b": deep}, schema)
    assert {"b": ["is too large a number"]} == messages({"b": 1 << 20_000}, schema)
    long = "x" * (5 * 1024 * 1024)
    assert {"c": ["must be at most 8388608 characters long"]} == messages({"b": long, "c": long}, schema)


def test_many_mistakes_are_not_all_told() -> None:
    """A list of wrong items does not become a book."""
    schema = compiled({"a": {"type": "array", "items": {"type": "integer"}}})

    assert 100 == len(messages({"a": ["x"] * 5_000}, schema)["a"])


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["on", "3", "1.5", "a\nb", "[1]", "{}", '{"street": "x"}', "2025-06-01", "2025-06-01T09:30"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
NAMES = st.sampled_from([*EVERYTHING["properties"], "other", "__submit__"]) | st.text(max_size=5)


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(NAMES, JSON, max_size=8))
def test_whatever_comes_in_is_made_valid_or_refused(inputs: dict[str, Any]) -> None:
    """Never another exception, and never a value that the schema would refuse."""
    validator = jsonschema_rs.Draft202012Validator(
        EVERYTHING, formats=formats.CHECKS, validate_formats=True, keywords=formats.KEYWORDS
    )
    try:
        values = check(SCHEMA, inputs)
    except Invalid as error:
        told = error.fields
    else:
        told = {"": ["ok"]}
        assert validator.is_valid(values)
        assert values == check(SCHEMA, values)
    assert all(told.values())


_LEAVES = st.sampled_from(
    [
        {},
        True,
        {"type": "string"},
        {"type": ["string", "null"], "default": None},
        {"type": "integer", "default": "7"},
        {"type": "number", "multipleOf": 0.5},
        {"type": "boolean", "format": "checkbox"},
        {"type": "string", "format": "date", "formatMaximum": "2030-01-01", "default": ""},
        {"enum": ["a", 1, None, True]},
        {"const": 3},
        {"type": "string", "pattern": "^a|b$", "minLength": 1},
        {"not": {"type": "string"}},
        {"format": "uuid"},
    ]
)
_NODES = st.recursive(
    _LEAVES,
    lambda inner: (
        st.builds(lambda item: {"type": "array", "items": item, "uniqueItems": True}, inner)
        | st.builds(lambda one, two: {"anyOf": [one, two]}, inner, inner)
        | st.builds(lambda one, two: {"oneOf": [one, two], "default": 1}, inner, inner)
        | st.builds(lambda one: {"type": "object", "properties": {"a": one}, "required": ["a"]}, inner)
        | st.builds(lambda one: {"type": "object", "additionalProperties": one, "properties": {}}, inner)
    ),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from("abc"), _NODES), st.dictionaries(st.sampled_from("abcd"), JSON), st.booleans())
def test_whatever_the_schema_is(properties: dict[str, Any], inputs: dict[str, Any], is_open: bool) -> None:
    """The same holds for every schema that is taken."""
    try:
        schema = compiled(properties, required=list(properties)[:1], additionalProperties=is_open)
        values = check(schema, inputs)
    except Invalid:
        return
    assert schema.validator.is_valid(values)
