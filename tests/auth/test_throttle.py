"""Guessing gets slower, people who mistype do not notice."""

import pytest

from meshkit.errors import Exhausted
from services.auth import throttle
from services.auth.throttle import Throttle


class Seconds:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def wait_s(guard: Throttle, name: str) -> float:
    """Return how long `name` has to wait."""
    try:
        guard.check(name)
    except Exhausted as error:
        return error.retry_after_s
    return 0.0


def test_the_wait_doubles_up_to_a_minute() -> None:
    """A few failures are free; each failure after a wait makes the next one longer."""
    clock = Seconds()
    guard = Throttle(clock)
    waits = []
    for _ in range(throttle.FREE_FAILURES + 8):
        waits.append(wait_s(guard, "ada"))
        clock.now += waits[-1]
        guard.check("ada")
        guard.failed("ada")

    assert waits == [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60]


def test_asking_while_waiting_costs_nothing() -> None:
    """The owner of an attacked account still gets a turn."""
    clock = Seconds()
    guard = Throttle(clock)
    for _ in range(throttle.FREE_FAILURES):
        guard.failed("ada")
    for _ in range(100):
        assert wait_s(guard, "ada") == 1
    clock.now += 1

    guard.check("ada")


def test_names_wait_for_themselves() -> None:
    """Others are not held up."""
    guard = Throttle(Seconds())
    for _ in range(50):
        guard.failed("ada")

    guard.check("bob")
    with pytest.raises(Exhausted):
        guard.check("ada")


def test_a_success_wipes_the_slate() -> None:
    """Failures count in a row."""
    guard = Throttle(Seconds())
    for _ in range(10):
        for _ in range(throttle.FREE_FAILURES - 1):
            guard.failed("ada")
        guard.succeeded("ada")

    guard.check("ada")


def test_failures_are_forgotten_in_time() -> None:
    """A quarter of an hour later one starts afresh."""
    clock = Seconds()
    guard = Throttle(clock)
    for _ in range(50):
        guard.failed("ada")
    clock.now += throttle.FORGET_S
    guard.check("ada")
    guard.failed("ada")

    guard.check("ada")


def test_memory_is_bounded() -> None:
    """However many names are tried, the oldest are forgotten; long rows of failures do not overflow."""
    guard = Throttle(Seconds())
    for number in range(throttle.NAMES_MAX * 2):
        guard.failed(f"name{number}")
    for _ in range(5000):
        guard.failed("ada")

    assert len(guard._names) == throttle.NAMES_MAX
    assert wait_s(guard, "ada") == throttle.WAIT_MAX_S
