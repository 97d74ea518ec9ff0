"""Every row of a kind that there is, some at a time: tables may be long, and rows come and go meanwhile."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

_MANY = 500
"""Rows that are read together."""
T = TypeVar("T")


async def each(fetch: Callable[[str, int], Awaitable[list[T]]], key: Callable[[T], str]) -> AsyncIterator[T]:
    """Yield them: `fetch` returns the first behind a key, in the order of `key`, at most as many as it is told."""
    after = ""
    while found := await fetch(after, _MANY):
        for row in found:
            yield row
        after = key(found[-1])
