"""JSON values that a typed field cannot say."""

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from agentmesh_protos.dialects.kodosumi.v1 import auth_pb2
from agentmesh_protos.runner.v1 import lock_pb2
from google.protobuf import json_format, struct_pb2

from gateway.core import values
from meshkit import errors as mesh


@pytest.mark.parametrize("item", [None, True, 1, 1.5, "x", [], {}, [None, {"a": [1]}]])
def test_a_value_says_what_json_says(item: Any) -> None:
    """null is there, not absent."""
    assert json_format.MessageToDict(values.value(item)) == item
    assert values.value(item).WhichOneof("kind") is not None


def test_an_array_prints_every_field() -> None:
    """As the transcoder does."""
    printed: object = json_format.MessageToDict(values.array([auth_pb2.Role(id="1", name="x")]))

    assert printed == [{"id": "1", "name": "x", "email": "", "active": False}]
    assert values.array([]) == struct_pb2.ListValue()


@pytest.mark.parametrize("wrap", [lambda inner: {"a": inner}, lambda inner: [inner], lambda inner: [{"a": inner}]])
def test_a_struct_that_is_made_arrives(wrap: Callable[[Any], Any]) -> None:
    """Whatever nesting is let through can be read on the other side; what is deeper or rounded is refused."""
    item: Any = "x"
    for _ in range(10):
        item = wrap(item)
        made = values.struct({"items": item}, "input_data")
        request = lock_pb2.AnswerLockRequest(name="x", inputs=made)
        assert lock_pb2.AnswerLockRequest.FromString(request.SerializeToString()) == request
    for depth in range(100):
        item = wrap(item)
        with contextlib.suppress(mesh.Invalid):
            made = values.struct({"items": item}, "input_data")
            assert depth < 30
            request = lock_pb2.AnswerLockRequest(name="x", inputs=made)
            assert lock_pb2.AnswerLockRequest.FromString(request.SerializeToString()) == request
    with pytest.raises(mesh.Invalid) as caught:
        values.struct({"items": item}, "input_data")
    assert list(caught.value.fields) == ["input_data"]
    with pytest.raises(mesh.Invalid):
        values.struct({"n": -(2**60)}, "input_data")
    assert json_format.MessageToDict(values.struct({"n": None, "t": True, "f": 1.5}, "x")) == {
        "n": None,
        "t": True,
        "f": 1.5,
    }
