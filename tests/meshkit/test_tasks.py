"""Work that lives as long as its service."""

import asyncio

import pytest
import structlog

from meshkit.errors import NotFound, Unavailable
from meshkit.principal import Principal, acting, caller
from meshkit.tasks import Apart, Tasks, background

DEADLINE_S = 30.0


async def test_work_ends_with_the_block() -> None:
    """It is cancelled, and has ended when the block is left."""
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with background(work(), "work"):
        await asyncio.sleep(0)
        assert not ended.is_set()

    assert ended.is_set()


async def test_a_crash_stops_the_service() -> None:
    """A service does not go on without a part of itself."""
    stopping = asyncio.Event()

    async def work() -> None:
        raise RuntimeError("broken")

    async with background(work(), "work", stopping), asyncio.timeout(DEADLINE_S):
        await stopping.wait()


async def test_a_task_is_known_by_its_name_until_it_ends() -> None:
    """So that a room can see whether something is under way already."""
    tasks = Tasks()
    end = asyncio.Event()

    async def work() -> str:
        await end.wait()
        return "done"

    task = tasks.spawn(work(), "settle-1")
    assert "settle-1" in tasks
    assert "settle-2" not in tasks
    assert len(tasks) == 1
    end.set()

    assert await task == "done"
    assert "settle-1" not in tasks
    await tasks.close()


async def test_a_task_acts_for_who_began_it() -> None:
    """The caller of the moment is kept."""
    tasks = Tasks()

    async def work() -> Principal:
        return caller()

    with acting(Principal(user="users/u1")):
        task = tasks.spawn(work(), "work")

    assert (await task).user == "users/u1"
    await tasks.close()


async def test_a_crash_is_logged_and_harms_no_other() -> None:
    """Nobody awaits it, so the log is where one hears of it."""
    tasks = Tasks()

    async def broken() -> None:
        raise RuntimeError("broken")

    async def sound() -> str:
        return "done"

    with structlog.testing.capture_logs() as lines:
        crashed = tasks.spawn(broken(), "broken")
        assert await tasks.spawn(sound(), "sound") == "done"
        await asyncio.wait([crashed])
        await asyncio.sleep(0)

    assert [(line["event"], line["task"]) for line in lines] == [("task crashed", "broken")]
    await tasks.close()


async def test_what_is_run_goes_on_when_its_caller_leaves() -> None:
    """What is stored must also be announced; its result and its error are the caller's."""
    tasks = Tasks()
    stored, announced = asyncio.Event(), asyncio.Event()

    async def step() -> None:
        stored.set()
        await asyncio.sleep(0)
        announced.set()

    async def refused() -> None:
        raise NotFound("no such thing")

    leaving = asyncio.create_task(tasks.complete(step(), "step"))
    await stored.wait()
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    await asyncio.wait_for(announced.wait(), DEADLINE_S)
    with structlog.testing.capture_logs() as lines, pytest.raises(NotFound):
        await tasks.complete(refused(), "refused")

    assert lines == []
    await tasks.close()


async def test_a_close_leaves_nothing_behind() -> None:
    """What can finish in time does, the rest is cancelled, and so is what comes later, before it begins."""
    tasks = Tasks()
    ended: list[str] = []

    async def quick() -> None:
        await asyncio.sleep(0)
        ended.append("quick")

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("endless")

    tasks.spawn(quick(), "quick")
    tasks.spawn(endless(), "endless")
    await tasks.close(patience_s=0.05)

    assert ended == ["quick", "endless"]
    assert len(tasks) == 0
    with pytest.raises(asyncio.CancelledError):
        await tasks.spawn(quick(), "late")
    assert ended == ["quick", "endless"]


async def test_an_error_of_one_row_is_that_rows_only() -> None:
    """It is logged once, and what looks for rows pauses; that nothing can be done now is about no row."""
    apart, done = Apart("work"), []

    def work() -> None:
        for row in ("a", "b", "c"):
            with apart(row):
                if row == "b":
                    raise ValueError(row)
                done.append(row)

    with structlog.testing.capture_logs() as lines:
        work()
        work()

    assert ["a", "c", "a", "c"] == done
    assert [("work", "b")] == [(line["work"], line["row"]) for line in lines]
    assert [True, False] == [apart.pause_s() > 0, apart.pause_s() > 0]
    with pytest.raises(Unavailable), apart("a"):
        raise Unavailable("no disk")
