"""Updates: which fields a mask names, and what comes of them."""

import pytest
from agentmesh_protos.registry.v1 import agent_pb2 as pb
from google.protobuf.field_mask_pb2 import FieldMask

from meshkit import masks
from meshkit.errors import Invalid

WRITABLE = frozenset({"goal", "model", "memory", "tools", "labels"})


def test_no_mask_means_what_is_set() -> None:
    """To the leaves of messages, lists and maps as a whole, and nothing that cannot be written."""
    sent = pb.Agent(
        name="agents/1",
        goal="g",
        model=pb.Model(temperature=0, provider="p"),
        memory=pb.AgentMemory(),
        labels={"a": ""},
    )

    found = set(masks.paths(sent, FieldMask(), WRITABLE))
    assert found == {"goal", "model.temperature", "model.provider", "memory", "labels"}


def test_a_star_means_all_that_can_be_written() -> None:
    """Set or not."""
    assert set(masks.paths(pb.Agent(), FieldMask(paths=["*"]), WRITABLE)) == WRITABLE


def test_named_paths_are_taken_once() -> None:
    """In their order."""
    assert masks.paths(pb.Agent(), FieldMask(paths=["model.kind", "goal", "goal"]), WRITABLE) == ("model.kind", "goal")


@pytest.mark.parametrize(
    "paths",
    [["nothing"], ["name"], ["goal.x"], ["model.x"], ["tools.x"], ["labels.a"], [""], ["goal", "*"], ["g"] * 201],
)
def test_what_is_no_field_is_refused(paths: list[str]) -> None:
    """Naming the mask."""
    with pytest.raises(Invalid) as caught:
        masks.paths(pb.Agent(), FieldMask(paths=paths), WRITABLE)

    assert list(caught.value.fields) == ["update_mask"]


def test_merging_replaces_what_is_named() -> None:
    """What is not set is cleared; neighbours, and both messages, stay as they are."""
    stored = pb.Agent(goal="old", role="r", model=pb.Model(provider="p", temperature=1), tools=["a"], labels={"a": "1"})
    sent = pb.Agent(goal="new", model=pb.Model(max_tokens=5), tools=["b", "c"], labels={"b": "2"})
    before = stored.SerializeToString(deterministic=True)

    named = masks.merged(stored, sent, ["goal", "model.temperature", "model.max_tokens", "tools", "labels"])
    cleared = masks.merged(stored, pb.Agent(), ["model", "tools", "goal"])
    nothing = masks.merged(pb.Agent(), pb.Agent(), ["model.temperature"])

    assert named == pb.Agent(
        goal="new", role="r", model=pb.Model(provider="p", max_tokens=5), tools=["b", "c"], labels={"b": "2"}
    )
    assert cleared == pb.Agent(role="r", labels={"a": "1"})
    assert nothing == pb.Agent()
    assert stored.SerializeToString(deterministic=True) == before
