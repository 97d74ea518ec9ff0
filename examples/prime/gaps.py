"""Distances between neighbouring primes, by a segmented sieve of Eratosthenes in plain Python."""

import collections
import itertools
import math
import operator
from collections.abc import Iterator

_WINDOW = 1 << 20
"""Numbers sieved at once: the sieve of one window stays in the processor's cache."""


def segments(start: int, end: int, count: int) -> Iterator[tuple[int, int]]:
    """Cut `start..end`, both included, into `count` ranges of nearly equal length, or fewer if numbers run out."""
    count = max(1, min(count, end - start + 1))
    length = end - start + 1
    for number in range(count):
        yield start + length * number // count, start + length * (number + 1) // count - 1


def primes_up_to(limit: int) -> list[int]:
    """Return the primes up to `limit`."""
    if limit < 2:
        return []
    sieve = bytearray([1]) * (limit + 1)
    sieve[0] = sieve[1] = 0
    for number in range(2, math.isqrt(limit) + 1):
        if sieve[number]:
            sieve[number * number :: number] = bytes((limit - number * number) // number + 1)
    return list(itertools.compress(range(limit + 1), sieve))


class GapCounter:
    """Counts gaps over ranges that are given in order; a gap across the border of two ranges counts too."""

    def __init__(self, end: int) -> None:
        """`end` is the largest number that will be looked at."""
        self._base = primes_up_to(math.isqrt(max(end, 0)))
        self._last: int | None = None
        self._counts: collections.Counter[int] = collections.Counter()
        self.primes = 0
        """Primes seen so far."""

    def add(self, start: int, end: int) -> None:
        """Look at `start..end`, both included."""
        for low in range(max(start, 2), end + 1, _WINDOW):
            self._add_window(low, min(low + _WINDOW - 1, end))

    def distribution(self) -> dict[int, int]:
        """Return how often each gap was seen, by gap."""
        return dict(sorted(self._counts.items()))

    def _add_window(self, low: int, high: int) -> None:
        sieve = bytearray([1]) * (high - low + 1)
        for prime in self._base:
            if prime * prime > high:
                break
            first = max(prime * prime, -(-low // prime) * prime) - low
            sieve[first::prime] = bytes(len(range(first, len(sieve), prime)))
        primes = list(itertools.compress(range(low, high + 1), sieve))
        if not primes:
            return
        self.primes += len(primes)
        if self._last is not None:
            self._counts[primes[0] - self._last] += 1
        self._counts.update(map(operator.sub, itertools.islice(primes, 1, None), primes))
        self._last = primes[-1]
