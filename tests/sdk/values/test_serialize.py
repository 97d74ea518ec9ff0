"""Typed JSON (spec: kodosumi §5.1): the documented shapes, and what authors return by accident."""

import collections
import dataclasses
import datetime
import decimal
import enum
import json
import math
import pathlib
import uuid
from collections.abc import Iterator
from typing import Any

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmesh import HTML, Image, Link, Markdown, Text, Video
from agentmesh._values.serialize import CUT, plain, serialize, survives_json


class Mood(enum.Enum):
    """An enumeration."""

    GOOD = "good"


class Level(enum.IntEnum):
    """Numbers with names."""

    HIGH = 3


@dataclasses.dataclass
class Point:
    """A dataclass."""

    x: int
    _y: int = 0


class Plain:
    """An object with fields."""

    def __init__(self) -> None:
        self.a = 1
        self.when = datetime.date(2025, 1, 2)
        self._secret = "x"


class Slotted:
    """An object without a dict."""

    __slots__ = ("a",)

    def __init__(self) -> None:
        self.a = 1


class Model(pydantic.BaseModel):
    """A model within a model."""

    inner: Markdown
    tags: set[str] = {"b", "a"}


@pytest.mark.parametrize(
    ("value", "typed"),
    [
        ({"a": 1, 2: [None, True]}, {"dict": {"a": 1, "2": [None, True]}}),
        ("text", {"str": "text"}),
        (1, {"int": 1}),
        (1.5, {"float": 1.5}),
        (True, {"bool": True}),
        (None, {"TypeError": "None"}),
        ([1, "b"], {"__list__": [{"int": 1}, {"str": "b"}]}),
        (([],), {"__list__": [{"__list__": []}]}),
        (Markdown("a", "b"), {"Markdown": {"body": "a\nb"}}),
        (HTML(["<p>", "</p>"]), {"HTML": {"body": "<p>\n</p>"}}),
        (Text(), {"Text": {"body": ""}}),
        (Text(body="x"), {"Text": {"body": "x"}}),
        (Link("https://example.com", "Title"), {"Link": {"url": "https://example.com", "title": "Title"}}),
        (Image(url="u", alt="a"), {"Image": {"url": "u", "alt": "a"}}),
        (Video("u"), {"Video": {"url": "u"}}),
        (Point(1, 2), {"Point": {"x": 1, "_y": 2}}),
        (Plain(), {"Plain": {"a": 1, "when": "2025-01-02"}}),
        (Slotted(), {"Slotted": {"a": 1}}),
        (Model(inner=Markdown("x")), {"Model": {"inner": {"body": "x"}, "tags": ["a", "b"]}}),
        (Mood.GOOD, {"str": "good"}),
        (Level.HIGH, {"int": 3}),
        (datetime.date(2025, 1, 2), {"TypeError": "2025-01-02"}),
        (collections.OrderedDict(a=1), {"dict": {"a": 1}}),
        (ValueError("no"), {"ValueError": {"message": "no"}}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_documented_shapes(value: Any, typed: dict[str, Any]) -> None:
    """A value is wrapped in its type's name."""
    assert typed == json.loads(serialize(value))


@pytest.mark.parametrize(
    ("value", "nearest"),
    [
        (math.nan, "NaN"),
        (-math.inf, "-Infinity"),
        (b"text", "text"),
        (b"\xff\x00", "/wA="),
        (datetime.datetime(2025, 1, 2, 3, 4, tzinfo=datetime.UTC), "2025-01-02T03:04:00+00:00"),
        (datetime.timedelta(minutes=1), 60.0),
        (decimal.Decimal("1.10"), "1.10"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (pathlib.PurePosixPath("a/b"), "a/b"),
        (10**5000, hex(10**5000)),
        ("a\ud800", "a?"),
        ({1, 2}, [1, 2]),
        (collections.deque([1]), [1]),
        (range(2), [0, 1]),
        ({None: 1, True: 2, 1.5: 3, (1, 2): 4}, {"null": 1, "true": 2, "1.5": 3, "(1, 2)": 4}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_json_cannot_say_becomes_the_nearest_it_can(value: Any, nearest: Any) -> None:
    """Valid JSON and valid UTF-8, always."""
    text = serialize({"x": value})

    text.encode()
    assert {"dict": {"x": nearest}} == json.loads(text, parse_constant=lambda name: pytest.fail(name))


def test_text_stays_readable() -> None:
    """Compact, and not escaped beyond need."""
    assert '{"dict":{"ü":"€"}}' == serialize({"ü": "€"})


def test_cycles_are_cut() -> None:
    """In lists, dicts and objects alike."""
    cycle: dict[str, Any] = {"a": 1}
    cycle["self"] = cycle
    looped: list[Any] = []
    looped.append(looped)
    own = Plain()
    own.me = own  # type: ignore[attr-defined]

    assert {"dict": {"a": 1, "self": CUT}} == json.loads(serialize(cycle))
    assert {"__list__": [{"TypeError": CUT}]} == json.loads(serialize(looped))
    assert CUT == json.loads(serialize(own))["Plain"]["me"]


def test_depth_is_cut() -> None:
    """A structure deeper than the stack does not end the job."""
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]

    assert CUT in serialize(deep)
    assert CUT in serialize({"x": deep})
    assert not survives_json(deep)
    while isinstance(deep, list):  # freed from the outside: the interpreter would recurse
        (deep,) = deep


def test_a_small_thing_that_unfolds_is_cut() -> None:
    """References to the same list double at each level: 2^60 items in sixty lists."""
    bomb: Any = ["x"]
    for _ in range(60):
        bomb = [bomb, bomb]

    assert CUT in serialize({"bomb": bomb})


class Broken:
    """Nothing about it works."""

    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__

    @property
    def __dict__(self) -> Any:  # type: ignore[override]
        raise RuntimeError("no")


def test_broken_objects_do_no_harm() -> None:
    """An author's own code runs when an object is shown, and may fail."""
    assert {"TypeError": "<Broken>"} == json.loads(serialize(Broken()))
    assert {"dict": {"x": "<Broken>", "y": 1}} == json.loads(serialize({"x": Broken(), "y": 1}))


def test_what_has_no_fields_is_text() -> None:
    """Functions, classes, generators."""

    def generate() -> Iterator[int]:
        yield 1

    for value in (len, Plain, generate(), object(), json):
        assert ["TypeError"] == list(json.loads(serialize(value)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text("abcäöü\n"),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abc"), inner),
    max_leaves=20,
)


@given(JSON)
def test_json_stays_as_it_is(value: Any) -> None:
    """What JSON can say is not changed."""
    assert survives_json(value)
    assert value == plain(value)
    assert value == json.loads(serialize({"x": value}))["dict"]["x"]
