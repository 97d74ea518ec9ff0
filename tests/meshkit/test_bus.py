"""What every bus promises.  A new adapter adds itself to the fixture and nothing else."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from meshkit.bus import Bus, MemoryBus, Waker
from meshkit.redis import bus as redis_bus
from tests.meshkit.redis_server import RedisServer, running_redis

SOON_S = 30.0
"""Longer than any bus takes to deliver."""
NEVER_S = 0.05
"""How long we wait to see that nothing comes."""


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    """A Redis for these tests."""
    with running_redis() as server:
        yield server


class TwoReplicas:
    """A bus on which what one replica publishes another one hears."""

    def __init__(self, speaking: Bus, hearing: Bus) -> None:
        self._speaking = speaking
        self._hearing = hearing

    @property
    def linked(self) -> bool:
        """Whether both are."""
        return self._speaking.linked and self._hearing.linked

    async def publish(self, *topics: str) -> None:
        """Publish at the one."""
        await self._speaking.publish(*topics)

    def subscribe(self, *topics: str) -> contextlib.AbstractAsyncContextManager[Waker]:
        """Hear at the other."""
        return self._hearing.subscribe(*topics)

    def close(self) -> None:
        """Close both."""
        self._speaking.close()
        self._hearing.close()


@pytest_asyncio.fixture(params=["memory", "redis", "two replicas"])
async def bus(request: pytest.FixtureRequest) -> AsyncIterator[Bus]:
    """An open bus of each kind."""
    if request.param == "memory":
        yield MemoryBus()
        return
    url = request.getfixturevalue("redis").url
    async with redis_bus.opened(url, b"secret", "test") as one, redis_bus.opened(url, b"secret", "test") as two:
        yield one if request.param == "redis" else TwoReplicas(one, two)


async def settled(bus: Bus) -> None:
    """Return when everything that was published has been heard: messages of one process come in their order."""
    async with bus.subscribe("fence") as fence:
        await bus.publish("fence")
        assert await fence.wait(SOON_S)


async def test_a_message_wakes_who_has_subscribed(bus: Bus) -> None:
    """Also one who is waiting already."""
    async with bus.subscribe("jobs/1") as waker:
        waiting = asyncio.create_task(waker.wait(SOON_S))
        await asyncio.sleep(0)
        await bus.publish("jobs/1")

        assert await waiting


async def test_a_message_before_the_wait_is_not_missed(bus: Bus) -> None:
    """Between the look at the store and the wait there is no gap."""
    async with bus.subscribe("jobs/1") as waker:
        await bus.publish("jobs/1")

        assert await waker.wait(SOON_S)


async def test_several_messages_are_one(bus: Bus) -> None:
    """A look shows everything, so one wake-up is enough."""
    async with bus.subscribe("jobs/1", "jobs/2") as waker:
        for _ in range(3):
            await bus.publish("jobs/1", "jobs/2")
        await bus.publish("jobs/2")
        await settled(bus)
        assert await waker.wait(SOON_S)
        assert not await waker.wait(NEVER_S)

        await bus.publish("jobs/2")
        assert await waker.wait(SOON_S)


async def test_silence_is_false(bus: Bus) -> None:
    """After the time that was given, and as often as one waits."""
    async with bus.subscribe("jobs/1") as waker:
        assert not await waker.wait(NEVER_S)
        assert not await waker.wait(0)

        await bus.publish("jobs/1")
        assert await waker.wait(SOON_S)


async def test_other_topics_wake_nobody(bus: Bus) -> None:
    """Topics are compared as a whole, not by prefix."""
    async with bus.subscribe("jobs/1") as waker:
        await bus.publish("jobs", "jobs/11", "jobs/2")
        await settled(bus)

        assert not await waker.wait(NEVER_S)


async def test_everybody_on_a_topic_is_woken(bus: Bus) -> None:
    """Also by a message that names a topic which only some have subscribed to."""
    async with bus.subscribe("jobs/1") as one, bus.subscribe("jobs/1", "jobs/2") as both:
        await bus.publish("jobs/1")
        assert await one.wait(SOON_S)
        assert await both.wait(SOON_S)

        await bus.publish("jobs/2")
        assert await both.wait(SOON_S)
        assert not await one.wait(NEVER_S)


async def test_a_message_that_nobody_hears_is_no_error(bus: Bus) -> None:
    """And is not kept for those who come later."""
    await bus.publish("jobs/1")
    await settled(bus)
    async with bus.subscribe("jobs/1") as waker:
        assert not await waker.wait(NEVER_S)

    await bus.publish("jobs/1")


async def test_a_cancelled_wait_loses_nothing(bus: Bus) -> None:
    """The next wait hears what came meanwhile."""
    async with bus.subscribe("jobs/1") as waker:
        waiting = asyncio.create_task(waker.wait(SOON_S))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await bus.publish("jobs/1")

        assert await waker.wait(SOON_S)


async def test_thousands_who_never_read_cost_a_publisher_nothing_of_note(bus: Bus) -> None:
    """Each hears its own topic, and a thousand messages to one who does not look are one."""
    async with asyncio.timeout(SOON_S):
        wakers = [bus.subscribe(f"jobs/{number}") for number in range(5000)]
        entered = [await waker.__aenter__() for waker in wakers]
        for _ in range(1000):
            await bus.publish("jobs/17")
        assert await entered[17].wait(SOON_S)
        assert not await entered[18].wait(0)
        for waker in wakers:
            await waker.__aexit__(None, None, None)


async def test_a_bus_that_hears_everybody_says_so(bus: Bus) -> None:
    """Otherwise subscribers would be woken at an interval."""
    assert bus.linked


async def test_a_close_ends_every_wait(bus: Bus) -> None:
    """Those that have begun, those to come, and those of late subscribers: a stream sees it and ends."""
    async with bus.subscribe("jobs/1") as waker:
        assert not waker.closed
        waiting = asyncio.create_task(waker.wait())
        await asyncio.sleep(0)
        bus.close()

        assert await waiting
        assert waker.closed
        assert not await waker.wait(0)  # who waits on all the same does not spin
    async with bus.subscribe("jobs/1") as late:
        assert late.closed
        assert await late.wait()
