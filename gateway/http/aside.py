"""Work that takes Python long, in threads beside the loop: a few at a time, and few that wait."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Aside:
    """Does such work."""

    def __init__(self, at_once: int, waiting: int) -> None:
        """`waiting` may wait, each with what it is about in memory, while `at_once` is done."""
        self._turns = asyncio.Semaphore(at_once)
        self._most = at_once + waiting
        self._count = 0

    @property
    def is_full(self) -> bool:
        """Whether no more may wait."""
        return self._count >= self._most

    async def __call__(self, work: Callable[..., T], *arguments: object) -> T:
        """Return what the work returns, when it is its turn."""
        self._count += 1
        try:
            async with self._turns:
                return await asyncio.to_thread(work, *arguments)
        finally:
            self._count -= 1
