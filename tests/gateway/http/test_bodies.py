"""Request bodies that are read by hand."""

import pydantic
import pytest
from google.api import httpbody_pb2

from gateway.http import bodies
from meshkit import errors as mesh


class Thing(pydantic.BaseModel):
    """Something to parse."""

    name: str
    sizes: list[int] = []


class Nested(Thing):
    """One with another in it."""

    inner: Thing | None = None


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "application/x+json", ""])
def test_json_is_read_under_its_names(kind: str) -> None:
    """A body without a content type is taken for JSON."""
    body = httpbody_pb2.HttpBody(content_type=kind, data=b'{"name": "x", "sizes": [1]}')

    assert bodies.parse_model(body, Thing) == Thing(name="x", sizes=[1])


@pytest.mark.parametrize(
    ("data", "key"),
    [(b'{"name": 1}', "name"), (b'{"name": "x", "sizes": [1, "y"]}', "sizes.1"), (b"NaN", "body"), (b"{} x", "body")],
)
def test_a_wrong_body_names_the_field(data: bytes, key: str) -> None:
    """Of nested ones the whole way."""
    with pytest.raises(mesh.Invalid) as caught:
        bodies.parse_model(httpbody_pb2.HttpBody(content_type="application/json", data=data), Thing)

    assert list(caught.value.fields) == [key]


@pytest.mark.parametrize(("data", "key"), [(b"[]", "body"), (b'{"name": "x", "inner": 5}', "inner")])
def test_a_refusal_names_no_class_of_ours(data: bytes, key: str) -> None:
    """Who calls does not know them."""
    with pytest.raises(mesh.Invalid) as caught:
        bodies.parse_model(httpbody_pb2.HttpBody(content_type="application/json", data=data), Nested)

    assert {key: ["Input should be a valid dictionary"]} == caught.value.fields


def test_a_form_has_a_limit_of_fields() -> None:
    """A body of a million fields is refused."""
    body = httpbody_pb2.HttpBody(content_type="application/x-www-form-urlencoded", data=b"a=1&" * 5000)
    with pytest.raises(mesh.Invalid):
        bodies.parse_form(body)
