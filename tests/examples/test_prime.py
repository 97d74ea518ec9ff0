"""The sieve of the prime example."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.prime.gaps import GapCounter, primes_up_to, segments

# Source: the seed notebook, "Successful launch (valid integers)", start 0, end 100000, tasks 10 (as far as printed).
SEED = {
    1: 1, 2: 1224, 4: 1215, 10: 916, 12: 964, 14: 484, 16: 339, 18: 514, 20: 238, 22: 223, 24: 206, 26: 88, 28: 98,
    30: 146, 32: 32, 34: 33, 36: 54, 38: 19, 40: 28,
}  # fmt: skip


def distribution(start: int, end: int, tasks: int) -> GapCounter:
    """Count the gaps of a range in `tasks` pieces."""
    counter = GapCounter(end)
    for low, high in segments(start, end, tasks):
        counter.add(low, high)
    return counter


def test_the_counts_are_those_of_the_seed() -> None:
    """0..100000 in 10 tasks gives the numbers the notebook printed, and 9592 primes."""
    counter = distribution(0, 100_000, 10)
    gaps = counter.distribution()
    assert {gap: gaps[gap] for gap in SEED} == SEED
    assert counter.primes == 9592
    assert sum(gaps.values()) == 9591


def test_the_default_range_is_counted_completely() -> None:
    """There are 664579 primes below ten million, 58980 of them with a twin above."""
    counter = distribution(0, 10_000_000, 200)
    assert counter.primes == 664_579
    assert counter.distribution()[2] == 58_980


@given(st.integers(0, 3000), st.integers(0, 3000), st.integers(1, 50))
def test_cutting_the_range_changes_nothing(start: int, length: int, tasks: int) -> None:
    """However many tasks the range is cut into, the distribution is that of the primes in it."""
    end = start + length
    primes = [number for number in range(max(start, 2), end + 1) if all(number % d for d in range(2, number))][:400]
    if len(primes) == 400:
        return
    counter = distribution(start, end, tasks)
    assert counter.primes == len(primes)
    expected: dict[int, int] = {}
    for low, high in itertools.pairwise(primes):
        expected[high - low] = expected.get(high - low, 0) + 1
    assert counter.distribution() == dict(sorted(expected.items()))


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 300))
def test_segments_cover_the_range_once(start: int, length: int, count: int) -> None:
    """Segments follow each other without a gap from the start to the end, none of them empty."""
    pieces = list(segments(start, start + length, count))
    assert pieces[0][0] == start
    assert pieces[-1][1] == start + length
    assert all(low <= high for low, high in pieces)
    assert all(left[1] + 1 == right[0] for left, right in itertools.pairwise(pieces))


@pytest.mark.parametrize(("limit", "primes"), [(-1, []), (1, []), (2, [2]), (11, [2, 3, 5, 7, 11])])
def test_small_primes(limit: int, primes: list[int]) -> None:
    """The base primes are right where they begin."""
    assert primes_up_to(limit) == primes
