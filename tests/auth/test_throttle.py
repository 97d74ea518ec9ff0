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


HERE, THERE = "192.0.2.1", "198.51.100.7"


def wait_s(guard: Throttle, name: str, address: str = HERE) -> float:
    """Return how long `name` has to wait at an address."""
    try:
        guard.check(name, address)
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
        guard.check("ada", HERE)
        guard.failed("ada", HERE)

    assert waits == [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60]


def test_asking_while_waiting_costs_nothing() -> None:
    """The owner of an attacked account still gets a turn."""
    clock = Seconds()
    guard = Throttle(clock)
    for _ in range(throttle.FREE_FAILURES):
        guard.failed("ada", HERE)
    for _ in range(100):
        assert wait_s(guard, "ada") == 1
    clock.now += 1

    guard.check("ada", HERE)


def test_a_name_and_an_address_wait_for_themselves() -> None:
    """Neither other names there nor the same name elsewhere is held up by who hammers."""
    guard = Throttle(Seconds())
    for _ in range(1000):
        guard.failed("ada", HERE)

    guard.check("bob", HERE)
    guard.check("ada", THERE)
    with pytest.raises(Exhausted):
        guard.check("ada", HERE)


def test_a_crowd_of_addresses_has_one_guess_each() -> None:
    """Of a name that is guessed from everywhere; who signs in from yet another one is let in."""
    clock = Seconds()
    guard = Throttle(clock)
    guesses = 0
    for _ in range(50):
        for number in range(200):
            address = f"203.0.113.{number}"
            if not wait_s(guard, "ada", address):
                guesses += 1
                guard.failed("ada", address)

    assert guesses <= throttle.HOT_FAILURES + 200
    guard.check("ada", HERE)
    guard.succeeded("ada", HERE)
    assert wait_s(guard, "ada", "203.0.113.150") == 1
    for _ in range(throttle.FREE_FAILURES - 1):
        guard.failed("bob", "203.0.113.150")
    guard.check("bob", "203.0.113.150")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("", "", True),
        ("nonsense", "nonsense", True),
    ],
)
def test_what_is_one_address(one: str, other: str, same: bool) -> None:
    """Of IPv6 a network: whoever has one address there has them all."""
    guard = Throttle(Seconds())
    for _ in range(throttle.FREE_FAILURES):
        guard.failed("ada", one)

    assert same is bool(wait_s(guard, "ada", other))


def test_a_success_wipes_its_own_slate() -> None:
    """Failures count in a row; those of another address stay."""
    guard = Throttle(Seconds())
    for _ in range(throttle.FREE_FAILURES):
        guard.failed("ada", THERE)
    for _ in range(4):
        for _ in range(throttle.FREE_FAILURES - 1):
            guard.failed("ada", HERE)
        guard.succeeded("ada", HERE)

    guard.check("ada", HERE)
    with pytest.raises(Exhausted):
        guard.check("ada", THERE)


def test_failures_are_forgotten_in_time() -> None:
    """A quarter of an hour later one starts afresh."""
    clock = Seconds()
    guard = Throttle(clock)
    for _ in range(50):
        guard.failed("ada", HERE)
    clock.now += throttle.FORGET_S
    guard.check("ada", HERE)
    guard.failed("ada", HERE)

    guard.check("ada", HERE)


def test_memory_is_bounded() -> None:
    """However many names and addresses are tried, the oldest are forgotten; long rows do not overflow."""
    guard = Throttle(Seconds())
    for number in range(throttle.PAIRS_MAX + 10):
        guard.failed(f"name{number}", HERE)
    for _ in range(5000):
        guard.failed("ada", HERE)

    assert len(guard._names) == throttle.NAMES_MAX
    assert len(guard._pairs) == throttle.PAIRS_MAX
    assert wait_s(guard, "ada") == throttle.WAIT_MAX_S
