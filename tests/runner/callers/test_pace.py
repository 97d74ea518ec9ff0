"""Who talks too fast is held back."""

import asyncio
import contextlib

import pytest

from meshkit.redis.link import Link
from meshkit.tasks import background
from services.runner.callers.pace import Pace
from services.runner.domain import Event
from tests.meshkit.redis_server import PATIENT_S, RedisServer, running_redis

EVENT = Event(kind="debug", payload="x", time=1.0)


def test_a_burst_is_taken_at_once_and_then_the_rate_counts() -> None:
    """Five seconds' worth, after that each event its part of a second."""
    now = 1000.0
    pace = Pace(10, lambda: now)

    assert 0.0 == pace.delay_s("users/a", [EVENT] * 50)
    assert 1.0 == pytest.approx(pace.delay_s("users/a", [EVENT] * 10))
    assert 2.0 == pytest.approx(pace.delay_s("users/a", [EVENT] * 10))
    now += 2.0
    assert 1.0 == pytest.approx(pace.delay_s("users/a", [EVENT] * 10))


def test_owners_have_a_pace_of_their_own() -> None:
    """One who shouts does not slow down the others."""
    pace = Pace(10, lambda: 1000.0)

    assert 30.0 == pace.delay_s("users/a", [EVENT] * 10_000)
    assert 0.0 == pace.delay_s("users/b", [EVENT] * 50)


def test_long_events_count_as_several() -> None:
    """Each KiB as one."""
    pace = Pace(10, lambda: 1000.0)

    assert 5.1 == pytest.approx(pace.delay_s("users/a", [Event(kind="debug", payload="x" * 102_400, time=1.0)]))


def test_nobody_is_held_back_without_a_rate() -> None:
    """0 takes any number."""
    assert 0.0 == Pace(0).delay_s("users/a", [EVENT] * 1_000_000)


def linked(server: RedisServer) -> contextlib.AbstractAsyncContextManager[Link]:
    """Link to it, with patience."""
    return Link.to(server.url, b"s", deadline_s=PATIENT_S)


async def test_what_an_owner_says_at_any_replica_counts_at_all() -> None:
    """A moment later; and while Redis is gone each replica keeps its own pace."""
    now = 1000.0
    with running_redis() as server:
        async with linked(server) as one, linked(server) as two:
            here, there = Pace(10, lambda: now, one), Pace(10, lambda: now, two)
            async with background(here.share(), "here"), background(there.share(), "there"), asyncio.timeout(30):
                assert 0.0 == here.delay_s("users/a", [EVENT] * 50)
                while there.delay_s("users/a", [EVENT]) < 0.1:  # its own burst would take fifty
                    await asyncio.sleep(0.1)
                    now += 0.1
                assert 0.0 == there.delay_s("users/b", [EVENT] * 40)
                server.stop()
                assert 0.0 == there.delay_s("users/c", [EVENT] * 50)
                assert 1.0 == pytest.approx(there.delay_s("users/c", [EVENT] * 10))
