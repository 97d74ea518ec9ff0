"""Times of our messages as numbers and dates."""

import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from gateway.core import times

MOMENT = Timestamp(seconds=1765350222, nanos=652_195_001)


def test_a_time_as_a_number() -> None:
    """Seconds keep microseconds; milliseconds are whole."""
    assert 1765350222.652195 == times.epoch(MOMENT)
    assert 1765350222652 == times.millis(MOMENT)


def test_a_time_as_a_date() -> None:
    """In UTC, and on this machine's clock without a zone."""
    assert "2025-12-10T07:03:42.652195+00:00" == times.utc(MOMENT).isoformat()
    assert datetime.datetime.fromtimestamp(1765350222.652195) == times.local(MOMENT)


def test_milliseconds_become_a_time() -> None:
    """What is beyond the last year that can be said is at its end."""
    assert Timestamp(seconds=12, nanos=345_000_000) == times.from_millis(12_345)
    assert 9999 == times.utc(times.from_millis(10**18)).year
