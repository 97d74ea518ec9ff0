"""The log of a boot, and the task that owns it."""

import asyncio
import datetime

import pytest

from meshkit.databases import PostgresDatabase
from meshkit.errors import FailedPrecondition
from services.registry.boot import runs
from services.registry.boot.runs import Run, Runs
from services.registry.domain import facts
from services.registry.domain.facts import Operation
from services.registry.stores.postgres import opened


def noon() -> datetime.datetime:
    """Return one moment."""
    return datetime.datetime(2026, 1, 2, 12, tzinfo=datetime.UTC)


async def test_every_follower_gets_every_event() -> None:
    """Early, late and after the end: the same events in the same order."""
    run = Run(Operation.BOOT, noon)
    early = asyncio.create_task(collect(run))
    run.say(facts.AppDeploying(expose="one"))
    late = asyncio.create_task(collect(run))
    run.say(facts.AppDeploying(expose="two"))
    run.complete(facts.AppDeploying(expose="three"))
    run.say(facts.AppDeploying(expose="too late"))

    assert await early == await late == await collect(run) == ["one", "two", "three"]


async def collect(run: Run) -> list[str]:
    """Return what a follower gets."""
    return [
        str(getattr(event.fact, "message", "") or getattr(event.fact, "expose", "")) async for event in run.follow()
    ]


async def test_a_long_log_loses_details_only() -> None:
    """Past the limit activities are left out; steps, warnings and the end are not."""
    run = Run(Operation.BOOT, noon)
    for number in range(runs.EVENTS_MAX + 10):
        run.say(facts.AppDeploying(expose=str(number)))
    run.say(facts.AppRemoveFailed(expose="x", message="still heard"))
    run.complete(facts.AppDeploying(expose="end"))

    assert len(run.events) == runs.EVENTS_MAX + 2
    assert (await collect(run))[-2:] == ["still heard", "end"]


async def test_a_failure_of_ours_is_not_told() -> None:
    """An unexpected exception ends the run; its text stays in the log."""
    owner = Runs(noon)

    async def work(run: Run) -> None:
        raise RuntimeError("secret")

    run = await owner.start(Operation.BOOT, work, force=False)

    assert "secret" not in (await collect(run))[-1]
    assert owner.running is None
    assert owner.latest is run


async def test_one_that_is_cancelled_before_it_begins_ends_too() -> None:
    """Nobody waits for a run that never ran."""
    owner = Runs(noon)
    begun = []

    async def work(run: Run) -> None:
        begun.append(run)

    first = await owner.start(Operation.BOOT, work, force=False)
    second = await owner.start(Operation.BOOT, work, force=True)

    assert (await collect(first))[-1] == "it was cancelled"
    await collect(second)
    assert begun == [second]


async def test_after_closing_nothing_begins() -> None:
    """Closing ends what runs, and starts are refused."""
    owner = Runs(noon)

    async def work(run: Run) -> None:
        await asyncio.Event().wait()

    run = await owner.start(Operation.BOOT, work, force=False)
    with pytest.raises(FailedPrecondition, match="runs already"):
        await owner.start(Operation.BOOT, work, force=False)
    await owner.close()
    with pytest.raises(FailedPrecondition):
        await owner.start(Operation.BOOT, work, force=True)

    assert run.ended


async def test_of_several_replicas_one_boots(postgres: str) -> None:
    """Another is refused until it has ended; who forces has it cancelled, wherever it runs, and waits for its end."""
    place = PostgresDatabase(postgres)
    order: list[str] = []

    async def forever(run: Run) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            order.append("ended")

    async def nothing(run: Run) -> None:
        order.append("begun")

    async with opened(place) as (_, _, turns), opened(place) as (_, _, others):
        one, two = Runs(noon, turns), Runs(noon, others)
        first = await one.start(Operation.BOOT, forever, force=False)
        with pytest.raises(FailedPrecondition, match="runs already"):
            await two.start(Operation.BOOT, nothing, force=False)
        second = await two.start(Operation.BOOT, nothing, force=True)
        await collect(second)
        third = await one.start(Operation.BOOT, nothing, force=False)  # the turn was given back
        await collect(third)
        await asyncio.gather(one.close(), two.close())

    assert ["it was cancelled"] == await collect(first)
    assert ["ended", "begun", "begun"] == order
