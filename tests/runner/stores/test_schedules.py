"""Schedules: every store keeps the same promises."""

import dataclasses
from collections.abc import Sequence

import pytest

from meshkit.errors import AlreadyExists, NotFound
from meshkit.idempotency import Request
from services.runner.domain.schedules import FIRINGS_KEPT, Fired, Firing, FiringState, Schedule
from services.runner.ports.schedules import TooManySchedules
from tests.runner.domain.test_schedules import schedule
from tests.runner.stores.conftest import Store


def numbered(number: int, **more: object) -> Schedule:
    """Return a schedule; larger numbers are newer."""
    return dataclasses.replace(schedule(), schedule_id=f"s{number}", **more)  # type: ignore[arg-type]


def firing(number: int, state: FiringState = FiringState.LAUNCHING, at: float = 1.0) -> Firing:
    """Return a firing of the first schedule."""
    return Firing(schedule_id="s1", number=number, state=state, tick=float(number), job_id="j", message="m", at=at)


async def write(store: Store, *firings: Firing, **changes: object) -> Fired:
    """Write firings of the first schedule."""

    def rule(before: Schedule, open_: Sequence[Firing]) -> Fired:
        after = dataclasses.replace(before, **changes)  # type: ignore[arg-type]
        return Fired(schedule=after, firings=firings)

    return await store.schedules.change("s1", rule)


async def test_a_schedule_is_kept_as_it_is(store: Store) -> None:
    """Every field of it; an id is taken once, and a request made once."""
    made = numbered(1, sealed=b"\0x", inputs_json='{"a":"é"}', labels_json='{"b":"c"}', key_json="k", jitter_s=5)
    request = Request(owner="users/a", request_id="r", body_hash="h", answer=b"s1")
    await store.schedules.add(made, request)

    assert made == await store.schedules.get("s1")
    assert request == await store.request("users/a", "r")
    with pytest.raises(AlreadyExists):
        await store.schedules.add(numbered(2), request)
    with pytest.raises(NotFound):
        await store.schedules.get("s2")


async def test_an_owner_has_so_many_at_most(store: Store) -> None:
    """Those of others do not count."""
    await store.schedules.add(numbered(1), None, count_max=1)

    with pytest.raises(TooManySchedules):
        await store.schedules.add(numbered(2), None, count_max=1)
    await store.schedules.add(numbered(3, owner="users/b"), None, count_max=1)


async def test_schedules_are_found_newest_first(store: Store) -> None:
    """By owner and target."""
    for number, target in ((1, "flows/a"), (2, "flows/b"), (3, "flows/a")):
        await store.schedules.add(numbered(number, target=target, owner="users/b" if number == 3 else "users/a"), None)

    async def ids(owner: str | None, target: str = "", before: str = "") -> list[str]:
        return [each.schedule_id for each in await store.schedules.find(owner, target, before, 10)]

    assert ["s3", "s2", "s1"] == await ids(None)
    assert ["s2", "s1"] == await ids("users/a")
    assert ["s3", "s1"] == await ids(None, "flows/a")
    assert ["s1"] == await ids(None, before="s2")


async def test_a_rule_sees_what_is_open_and_writes_in_one_step(store: Store) -> None:
    """What a rule raises changes nothing."""
    await store.schedules.add(numbered(1), None)
    await write(store, firing(1), firing(2, FiringState.SKIPPED), firing(3, FiringState.QUEUED), firing_count=3)
    seen: list[int] = []

    def refuse(before: Schedule, open_: Sequence[Firing]) -> Fired:
        seen.extend(each.number for each in open_)
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011  # our own
        await store.schedules.change("s1", refuse)
    assert [1, 3] == seen
    await write(store, firing(1, FiringState.LAUNCHED))

    assert [firing(3, FiringState.QUEUED)] == await store.schedules.open_firings("s1")
    assert [3, 2, 1] == [each.number for each in await store.schedules.firings("s1", 0, 10)]
    assert [1] == [each.number for each in await store.schedules.firings("s1", 2, 10)]
    assert firing(1, FiringState.LAUNCHED) == await store.schedules.last_launched("s1", 3)
    assert await store.schedules.last_launched("s1", 1) is None
    assert firing(2, FiringState.SKIPPED) == await store.schedules.firing("s1", 2)
    with pytest.raises(NotFound):
        await store.schedules.firing("s1", 9)


async def test_what_is_due_and_unsettled_is_found(store: Store) -> None:
    """The first to fire first; nothing that is halted."""
    for number, at in ((1, 9.0), (2, 5.0), (3, 0.0)):
        await store.schedules.add(numbered(number, next_at=at), None)
    await write(store, firing(1, at=3.0), firing_count=1)

    assert ["s2", "s1"] == await store.schedules.due(9.0, 10)
    assert ["s2"] == await store.schedules.due(8.9, 10)
    assert 5.0 == await store.schedules.next_due()
    assert (["s1"], []) == (await store.schedules.unsettled(3.0), await store.schedules.unsettled(2.9))


async def test_a_history_is_bounded(store: Store) -> None:
    """What is open stays however old it is."""
    await store.schedules.add(numbered(1), None)
    await write(store, firing(1), firing(2, FiringState.LAUNCHED), firing_count=2)
    last = FIRINGS_KEPT + 2
    await write(store, firing(last, FiringState.LAUNCHED), firing_count=last)

    assert [last, 1] == [each.number for each in await store.schedules.firings("s1", 0, 10)]


async def test_a_schedule_counts_among_what_is_kept_of_its_owner(store: Store) -> None:
    """Its inputs as they change, and nothing once it is gone."""
    await store.schedules.add(numbered(1, inputs_json='{"a":"12345"}'), None)
    before = await store.stored_bytes("users/a")
    await write(store, inputs_json='{"a":"1"}', sealed=b"12")

    assert (1013, 1011) == (before, await store.stored_bytes("users/a"))
    await store.schedules.delete("s1")
    assert 0 == await store.stored_bytes("users/a")
    assert [] == await store.schedules.firings("s1", 0, 10)
    with pytest.raises(NotFound):
        await store.schedules.delete("s1")
