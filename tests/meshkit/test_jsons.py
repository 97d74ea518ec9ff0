"""JSON that somebody else wrote is read, or is nothing; it never ends a call as an error of ours."""

from typing import Any

import pytest

from meshkit import jsons
from meshkit.errors import Invalid

DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        (b"", None),
        ("{", None),
        (b"\xff", None),
        (DEEP, None),
        ("null", None),
        ("0", 0),
        (b'{"a": [1]}', {"a": [1]}),
    ],
)
def test_what_cannot_be_read_is_nothing(text: str | bytes, value: Any) -> None:
    """Whether it is empty, broken, not even text, or nested too deeply."""
    assert value == jsons.value_of(text)


@pytest.mark.parametrize(("text", "value"), [("", {}), ("{}", {}), ('{"a": 1}', {"a": 1})])
def test_a_field_holds_an_object(text: str, value: Any) -> None:
    """An empty one if it is empty."""
    assert value == jsons.object_in(text, "extra_json")


@pytest.mark.parametrize("text", ["[]", "null", "{", DEEP])
def test_what_is_no_object_is_said_by_its_field(text: str) -> None:
    """As something that the caller can mend."""
    with pytest.raises(Invalid) as caught:
        jsons.object_in(text, "extra_json")

    assert {"extra_json": ["must be a JSON object"]} == caught.value.fields
