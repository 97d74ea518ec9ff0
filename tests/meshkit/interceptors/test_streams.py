"""A user has so many streams open, and no more."""

import contextlib
from collections.abc import AsyncIterator

import pytest

from meshkit.errors import Exhausted
from meshkit.interceptors.streams import Streams
from meshkit.principal import Principal, acting

ONE, OTHER = Principal(user="users/a"), Principal(user="users/b")


@contextlib.asynccontextmanager
async def opened(streams: Streams, who: Principal, count: int) -> AsyncIterator[None]:
    """Have streams open for the length of the block."""
    async with contextlib.AsyncExitStack() as stack:
        with acting(who):
            for _ in range(count):
                await stack.enter_async_context(streams.around("/a/B", None))
        yield


async def test_one_more_is_refused_and_others_are_not() -> None:
    """With the remedy; what is closed makes room again."""
    streams = Streams(3)
    async with opened(streams, ONE, 3):
        with pytest.raises(Exhausted) as caught:
            async with opened(streams, ONE, 1):
                pass
        async with opened(streams, OTHER, 3):
            pass
    async with opened(streams, ONE, 3):
        pass

    assert "you have 3 streams open: close some" in str(caught.value)
    assert {"limit": "3"} == caught.value.metadata


@pytest.mark.parametrize("who", [Principal(service="gateway"), Principal(host="demo-1")])
async def test_services_and_hosts_have_what_they_need(who: Principal) -> None:
    """They call for nobody."""
    async with opened(Streams(1), who, 5):
        pass


async def test_without_a_limit_there_is_none() -> None:
    """0 takes any number."""
    async with opened(Streams(0), ONE, 50):
        pass
