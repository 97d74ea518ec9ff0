"""Time, in one place: seconds inside, `Timestamp`s on the wire, datetimes or milliseconds where a service keeps those.

Everything is UTC and counted from 1970.  A float of seconds is exact to a microsecond, milliseconds are integers and
exact.  What takes a moment and may be told the time in a test takes a `Now`.

Replicas that share a PostgreSQL go by its time of day, however wrong that of their machines is: each hears it every two
seconds (`meshkit.postgres`) and counts on from there by a counter that nobody can set.  Who has no database hears it
from the auth service (`meshkit.service`).  Without PostgreSQL it is the machine's time.
"""

import datetime
import math
import threading
import time
from collections.abc import Callable

from google.protobuf.timestamp_pb2 import Timestamp

Now = Callable[[], float]
"""Returns the time in seconds."""

_NANOS = 1_000_000_000
_YEAR_10000_MS = 253_402_300_800_000
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)
_READ_WITHIN_S = 0.0001
_READS_MAX = 5
_SET_BACK_S = 1.0
"""Less is how a clock is kept right."""


def ticks() -> float:
    """Return seconds since no particular moment, which nobody can set, and which go on while a machine sleeps."""
    return time.clock_gettime(_TICKING)


_TICKING = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock:
    """The time of day: the machine's, until it is heard from somebody by whom all go."""

    def __init__(self, wall: Now = time.time, ticks: Now = ticks) -> None:
        self._wall = wall
        self._ticks = ticks
        self._ahead: float | None = None
        """Of the ticks; None while the machine's time counts."""
        self._furthest = -math.inf
        """The most that the machine's time has surely been ahead of the ticks, for who may not see it go back."""
        self._looking = threading.Lock()

    def __call__(self) -> float:
        """Return the time in seconds.  From any thread."""
        ahead = self._ahead
        return self._wall() if ahead is None else self._ticks() + ahead

    def steady(self) -> float:
        """Return the time, but do not go back when the machine's is set so; forwards it is followed.  From any thread.

        Who was slow at the start is right as soon as the machine is; who was fast stays so until it is started again.
        """
        if self._ahead is not None:
            return self._ticks() + self._ahead
        with self._looking:
            wall = self._wall()  # read first: if the process is interrupted in between, it is ahead by less
            self._furthest = max(self._furthest, wall - self._ticks())
            return self._ticks() + self._furthest

    @property
    def has_heard(self) -> bool:
        """Whether this is somebody else's time."""
        return self._ahead is not None

    def hear(self, said: float, asked_at: float, heard_at: float) -> None:
        """Go by what somebody `said` between two ticks.

        That is not known more exactly than these are apart: the clock moves no further than it is surely wrong, and so
        not at all where the machine's time is the one that was asked for.
        """
        ahead = self._own() if self._ahead is None else self._ahead
        self._ahead = min(max(ahead, said - heard_at), said - asked_at)

    def _own(self) -> float:
        """Return how far the machine's time is ahead of the ticks."""
        for _ in range(_READS_MAX):
            before, wall, after = self._ticks(), self._wall(), self._ticks()
            if after - before < _READ_WITHIN_S:  # else the process was interrupted in between
                break
        return wall - before


now = Clock()
"""Returns the time in seconds, as all of this process have it."""


class SetBack:
    """Tells whether a clock has been set back: what was to be done some time after a moment that is to come is late."""

    def __init__(self, now: Now, ticks: Now = ticks) -> None:
        self._now = now
        self._ticks = ticks
        self._furthest = math.inf
        """The most that it was ahead of the ticks since it was last noticed: it may go back little by little."""

    def __call__(self) -> bool:
        """Return whether it was, by what has not been noticed yet; at first it may have been."""
        ahead = self._now() - self._ticks()
        is_set_back = ahead < self._furthest - _SET_BACK_S
        self._furthest = ahead if is_set_back else max(self._furthest, ahead)
        return is_set_back


class Moved:
    """Tells whether a clock has been set, either way: what was reckoned by the time before is reckoned anew."""

    def __init__(self, now: Now, ticks: Now = ticks) -> None:
        self._now = now
        self._ticks = ticks
        self._ahead = math.inf
        """Of the ticks, when that was last noticed."""

    def __call__(self) -> bool:
        """Return whether it was, by what has not been noticed yet; at first it may have been."""
        ahead = self._now() - self._ticks()
        has_moved = abs(ahead - self._ahead) > _SET_BACK_S
        if has_moved:
            self._ahead = ahead
        return has_moved


def monotonic() -> float:
    """Return seconds since no particular moment, which nobody can set: to measure how long something takes."""
    return time.monotonic()


def now_ms() -> int:
    """Return the time in milliseconds."""
    return int(now() * 1000)


def steady_ms() -> int:
    """Return the time in milliseconds, which does not go back while this process runs, if the machine's is set so."""
    return int(now.steady() * 1000)


def utc_now() -> datetime.datetime:
    """Return the time as a datetime."""
    return moment_at(now())


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
