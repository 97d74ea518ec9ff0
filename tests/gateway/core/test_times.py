"""Times as the foreign APIs show them."""

import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from gateway.core import times

MOMENT = Timestamp(seconds=1765350222, nanos=652_195_001)


def test_a_time_as_a_number() -> None:
    """Seconds keep microseconds."""
    assert 1765350222.652195 == times.epoch(MOMENT)


def test_a_time_on_this_machines_clock() -> None:
    """Without a zone."""
    assert datetime.datetime.fromtimestamp(1765350222.652195) == times.local(MOMENT)
