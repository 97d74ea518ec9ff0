"""Records and messages: one for one."""

import dataclasses
import datetime

import pytest
from agentmesh_protos.registry.v1 import registry_pb2 as pb

from services.registry import wire
from services.registry.boot.runs import Event
from services.registry.domain import facts
from services.registry.domain.facts import Counts, Fact, Kind
from services.registry.domain.standings import State

NOON = datetime.datetime(2026, 1, 2, 12, tzinfo=datetime.UTC)
FACTS = [
    item for item in vars(facts).values() if isinstance(item, type) and issubclass(item, Fact) and item is not Fact
]


def example(fact: type[Fact]) -> Fact:
    """Return a fact with something in every field."""
    values = {
        "str": "x",
        "int": 7,
        "bool": True,
        "State": State.OUTDATED,
        "Step": facts.Step.LOAD,
        "Operation": facts.Operation.REFRESH,
        "Reason": facts.Reason.INVALID,
        "Counts": Counts(app_count=1, preserved_count=2),
        "tuple[str, ...]": ("/", "/a"),
    }
    minute = datetime.timedelta(minutes=1)
    return fact(
        **{
            field.name: values.get(getattr(field.type, "__name__", ""), values.get(str(field.type), minute))
            for field in dataclasses.fields(fact)
        }
    )


def test_every_fact_is_in_the_contract() -> None:
    """And every fact of the contract is one of ours."""
    names = {field.name for field in pb.BootEvent.DESCRIPTOR.oneofs_by_name["fact"].fields}

    assert names == {wire.fact_field(fact) for fact in FACTS}


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.__name__)
def test_a_fact_arrives_whole(fact: type[Fact]) -> None:
    """Every field of the record is set in the message, and no other is there."""
    message = wire.event_pb(Event(kind=Kind.RESULT, fact=example(fact), at=NOON))
    field = message.WhichOneof("fact")
    assert field is not None
    part = getattr(message, field)

    assert field == wire.fact_field(fact)
    assert {item.name for item, _ in part.ListFields()} == {item.name for item in dataclasses.fields(fact)}
    assert {item.name for item in part.DESCRIPTOR.fields} == {item.name for item in dataclasses.fields(fact)}
    assert message.kind == pb.BootEvent.KIND_RESULT
    assert message.time.ToDatetime(datetime.UTC) == NOON


def test_states_and_times_keep_their_meaning() -> None:
    """A state has its name, a duration its length, an expose its resource name."""
    settled = facts.AppSettled(
        expose="shop", state=State.OUTDATED, load_time=datetime.timedelta(milliseconds=1500), message="why"
    )

    part = wire.event_pb(Event(kind=Kind.WARNING, fact=settled, at=NOON)).app_settled

    assert (part.expose, part.state, part.message) == ("exposes/shop", pb.EXPOSE_STATE_OUTDATED, "why")
    assert part.load_time.ToTimedelta() == settled.load_time
