"""Times of our messages as numbers and dates, and back."""

import datetime

from google.protobuf.timestamp_pb2 import Timestamp

_MILLIS_MAX = 253_402_300_799_999  # the last of the year 9999, where `Timestamp` ends


def epoch(time: Timestamp) -> float:
    """Return seconds since 1970, with microseconds."""
    return round(time.seconds + time.nanos / 1e9, 6)


def millis(time: Timestamp) -> int:
    """Return milliseconds since 1970."""
    return time.ToMilliseconds()


def from_millis(millis: int) -> Timestamp:
    """Return the time that is given in milliseconds since 1970; what is beyond the year 9999 is at its end."""
    time = Timestamp()
    time.FromMilliseconds(min(millis, _MILLIS_MAX))
    return time


def utc(time: Timestamp) -> datetime.datetime:
    """Return a time in UTC."""
    return time.ToDatetime(tzinfo=datetime.UTC)


def local(time: Timestamp) -> datetime.datetime:
    """Return a time on this machine's clock, without a zone."""
    return utc(time).astimezone().replace(tzinfo=None)
