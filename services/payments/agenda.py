"""Which payment to work on next, and when: each at one worker at a time, at the earliest moment anybody named."""

import asyncio
import heapq


class Agenda:
    """Keys with the event loop's time at which each is due."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []
        self._busy: set[str] = set()
        self._changed = asyncio.Event()

    def put(self, key: str, delay_s: float = 0.0) -> None:
        """Have `key` taken in `delay_s`, or when it is due already if that is earlier."""
        at = asyncio.get_running_loop().time() + delay_s
        if at >= self._due.get(key, float("inf")):
            return
        self._due[key] = at
        if key not in self._busy:
            self._push(key)

    async def take(self) -> str:
        """Wait for a key that is due and return it; it is the caller's until `release`."""
        loop = asyncio.get_running_loop()
        while True:
            self._changed.clear()
            self._drop_stale()
            wait_s = self._heap[0][0] - loop.time() if self._heap else None
            if wait_s is not None and wait_s <= 0:
                _, key = heapq.heappop(self._heap)
                del self._due[key]
                self._busy.add(key)
                if self._heap:
                    self._changed.set()  # another worker may be asleep until a later moment
                return key
            try:
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def release(self, key: str) -> None:
        """Be done with `key`; if it was put again meanwhile, it is due as it was put."""
        self._busy.discard(key)
        if key in self._due:
            self._push(key)

    def _push(self, key: str) -> None:
        heapq.heappush(self._heap, (self._due[key], key))
        self._changed.set()

    def _drop_stale(self) -> None:
        while self._heap:
            at, key = self._heap[0]
            if self._due.get(key) == at and key not in self._busy:
                return
            heapq.heappop(self._heap)
