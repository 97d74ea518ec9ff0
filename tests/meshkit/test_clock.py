"""Time converts between its forms without loss where the form can hold it."""

import datetime

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from meshkit import clock

MILLIS = st.integers(0, 253_402_300_799_999)
MOMENTS = st.datetimes(datetime.datetime(1970, 1, 1), datetime.datetime(9999, 12, 31), timezones=st.just(datetime.UTC))


@given(MILLIS)
def test_milliseconds_survive_the_wire(millis: int) -> None:
    """Exactly."""
    assert millis == clock.millis_of(clock.stamp_ms(millis))


@given(MOMENTS)
def test_datetimes_survive_the_wire_and_the_table(moment: datetime.datetime) -> None:
    """To the microsecond."""
    message = clock.stamp_at(moment)
    assert message is not None

    assert moment == clock.moment_of(message)
    assert moment == clock.from_micros(clock.micros(moment))


@given(st.floats(0.001, 4_000_000_000))
def test_seconds_survive_the_wire(seconds: float) -> None:
    """To less than a microsecond."""
    message = clock.stamp(seconds)
    assert message is not None

    assert clock.seconds_of(message) == pytest.approx(seconds, abs=1e-6)
    assert clock.moment_of(message).timestamp() == pytest.approx(seconds, abs=2e-6)


def test_what_never_was_is_absent() -> None:
    """No time is no message, and an absent message is 0."""
    assert clock.stamp(0) is None
    assert clock.stamp(None) is None
    assert clock.stamp_at(None) is None
    assert clock.seconds_of(Timestamp()) == 0
    assert clock.millis_of(Timestamp()) == 0


def test_parts_of_a_microsecond_are_cut() -> None:
    """A message has nanoseconds, what we keep has not."""
    message = Timestamp(seconds=1765350222, nanos=652_195_001)

    assert clock.millis_of(message) == 1765350222652
    assert clock.moment_of(message).isoformat() == "2025-12-10T07:03:42.652195+00:00"


@pytest.mark.parametrize(("asked", "kept"), [(-5, 0), (2**62, 253_402_300_799_999)])
def test_milliseconds_beyond_the_calendar_are_cut(asked: int, kept: int) -> None:
    """A caller's number is never an error of ours."""
    assert kept == clock.millis_of(clock.stamp_ms(asked))


def test_every_now_is_the_same_time() -> None:
    """In each of its forms."""
    seconds = clock.now()

    assert clock.now_ms() / 1000 == pytest.approx(seconds, abs=5)
    assert clock.utc_now().timestamp() == pytest.approx(seconds, abs=5)
    assert clock.moment_at(seconds).timestamp() == pytest.approx(seconds, abs=1e-6)
