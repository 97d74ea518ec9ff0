"""A step that was begun is finished, whoever waits for it."""

import asyncio

import pytest

from meshkit.errors import NotFound
from services.auth.service import Unbroken


async def test_a_step_outlives_its_caller() -> None:
    """A caller who hangs up between the store and the announcement does not keep the two apart."""
    unbroken = Unbroken()
    stored, announced = asyncio.Event(), asyncio.Event()

    async def step() -> None:
        stored.set()
        await go_on.wait()
        announced.set()

    go_on = asyncio.Event()
    caller = asyncio.create_task(unbroken.run(step()))
    await stored.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert not announced.is_set()
    go_on.set()
    await unbroken.drain()

    assert announced.is_set()


async def test_a_step_gives_its_value_or_its_error() -> None:
    """As if it had been awaited itself."""
    unbroken = Unbroken()

    async def value() -> int:
        return 7

    async def error() -> int:
        raise NotFound("gone")

    assert await unbroken.run(value()) == 7
    with pytest.raises(NotFound):
        await unbroken.run(error())
