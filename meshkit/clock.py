"""Time, in one place: seconds inside, `Timestamp`s on the wire, datetimes or milliseconds where a service keeps those.

Everything is UTC and counted from 1970.  A float of seconds is exact to a microsecond, milliseconds are integers and
exact.  What takes a moment and may be told the time in a test takes a `Now`.
"""

import datetime
import time
from collections.abc import Callable

from google.protobuf.timestamp_pb2 import Timestamp

Now = Callable[[], float]
"""Returns the time in seconds."""

_NANOS = 1_000_000_000
_YEAR_10000_MS = 253_402_300_800_000
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)


def now() -> float:
    """Return the time in seconds."""
    return time.time()


def monotonic() -> float:
    """Return seconds since no particular moment, which nobody can set: to measure how long something takes."""
    return time.monotonic()


def now_ms() -> int:
    """Return the time in milliseconds."""
    return time.time_ns() // 1_000_000


def utc_now() -> datetime.datetime:
    """Return the time as a datetime."""
    return datetime.datetime.now(datetime.UTC)


# -- to the wire -----------------------------------------------------------------------------------------------------


def stamp(seconds: float | None) -> Timestamp | None:
    """Return a message for seconds; 0 and `None` stay absent."""
    if not seconds:
        return None
    nanos = int(seconds * _NANOS)
    return Timestamp(seconds=nanos // _NANOS, nanos=nanos % _NANOS)


def stamp_ms(millis: int) -> Timestamp:
    """Return a message for milliseconds; what a `Timestamp` cannot say becomes the nearest that it can."""
    message = Timestamp()
    message.FromMilliseconds(min(max(millis, 0), _YEAR_10000_MS - 1))
    return message


def stamp_at(moment: datetime.datetime | None) -> Timestamp | None:
    """Return a message for a datetime; `None` stays absent."""
    if moment is None:
        return None
    message = Timestamp()
    message.FromDatetime(moment)
    return message


# -- from the wire ---------------------------------------------------------------------------------------------------


def seconds_of(message: Timestamp) -> float:
    """Return the seconds of a message; 0 for an absent one."""
    return message.seconds + message.nanos / _NANOS


def millis_of(message: Timestamp) -> int:
    """Return the whole milliseconds of a message; 0 for an absent one."""
    return message.seconds * 1000 + message.nanos // 1_000_000


def moment_of(message: Timestamp) -> datetime.datetime:
    """Return the datetime of a message, to the microsecond; 1970 for an absent one."""
    return message.ToDatetime(tzinfo=datetime.UTC)


# -- between the forms that are kept ---------------------------------------------------------------------------------


def moment_at(seconds: float) -> datetime.datetime:
    """Return the datetime of seconds."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def micros(moment: datetime.datetime) -> int:
    """Return a datetime as whole microseconds: what a table keeps."""
    return (moment - _EPOCH) // _MICROSECOND


def from_micros(count: int) -> datetime.datetime:
    """Return the datetime of whole microseconds.  Raises `OverflowError` for what no calendar has."""
    return _EPOCH + count * _MICROSECOND
