"""The moments that a cron expression names in a time zone, and those of a schedule that names one.

Cron knows wall clocks only: it is asked without a time zone, and what it says is put on the clock of the zone here.  A
time that the clocks leave out is the moment at which they jump.  A time that comes twice is the first one; if the
expression's hour begins with `*`, it is both, as what shall happen every so often must not pause for an hour.
"""

import datetime
import functools
import re
import zoneinfo
from collections.abc import Iterator

import croniter

from meshkit.errors import Invalid
from services.runner.domain.schedules import Schedule

_ALIASES = frozenset(("@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"))
_FIELD = re.compile(r"[0-9A-Za-z*/,#\-?]+", re.ASCII)
_RANDOM = re.compile(r"\b[hr]\b|[hr]\(", re.IGNORECASE)
_CHARS_MAX = 200
_AROUND = datetime.timedelta(hours=3)
"""No clock is put forward or back by more, but once in a century."""
_UTC = datetime.UTC


class CronTimes:
    """`Times` of a cron expression."""

    def __init__(self, cron: str, time_zone: str) -> None:
        """Raise `Invalid`, naming the field, for an expression or a zone that cannot be read."""
        self._cron = _checked(cron)
        self._zone = zone_of(time_zone)
        self._is_steady = cron == "@hourly" or cron.partition(" ")[2].lstrip().startswith("*")

    def after(self, moment: float) -> float | None:
        """As `Times.after`."""
        here = datetime.datetime.fromtimestamp(moment, self._zone)
        wall = here.replace(tzinfo=None, fold=0)
        # Within the first pass of an hour that comes twice, what is next may be in the second pass.
        second = self._second_pass(here) if self._is_steady else None
        for tick in self._walls(wall, forward=True):
            for at in self._moments(tick):
                if at > moment and (second is None or at <= second):
                    return at
                if at > moment:
                    return second
        return None

    def before(self, moment: float) -> float | None:
        """As `Times.before`."""
        here = datetime.datetime.fromtimestamp(moment, self._zone)
        wall = here.replace(tzinfo=None, fold=0)
        # In the second pass later times of the first have been already: the order of walls is not that of moments.
        around = _AROUND if here.fold else datetime.timedelta()
        best: float | None = None
        for tick in self._walls(wall + around + datetime.timedelta(seconds=1), forward=False):
            been = [at for at in self._moments(tick) if at <= moment]
            best = max(been, default=best) if best is None else max([best, *been])
            if best is not None and tick <= wall - around:
                return best
        return best

    def _walls(self, wall: datetime.datetime, *, forward: bool) -> Iterator[datetime.datetime]:
        found = croniter.croniter(self._cron, wall, max_years_between_matches=8)
        try:
            while True:
                yield (found.get_next if forward else found.get_prev)(datetime.datetime)
        except (croniter.CroniterBadDateError, OverflowError):
            return

    def _moments(self, wall: datetime.datetime) -> list[float]:
        """Return when a wall clock shows a time, in order; the moment of the jump if it never does."""
        first = wall.replace(tzinfo=self._zone, fold=0)
        again = wall.replace(tzinfo=self._zone, fold=1)
        if first.utcoffset() == again.utcoffset():
            return [first.timestamp()]
        if first.timestamp() < again.timestamp():  # it comes twice
            return [first.timestamp(), again.timestamp()] if self._is_steady else [first.timestamp()]
        return [self._change(again.timestamp(), first.timestamp())]

    def _second_pass(self, here: datetime.datetime) -> float | None:
        """Return the first tick of the second pass, if it is the first pass of an hour that comes twice."""
        again = here.replace(fold=1)
        if here.fold or again.timestamp() <= here.timestamp():
            return None
        change = self._change(here.timestamp(), again.timestamp())
        wall = datetime.datetime.fromtimestamp(change, self._zone).replace(tzinfo=None, fold=0)
        tick = next(self._walls(wall - datetime.timedelta(seconds=1), forward=True), None)
        return self._moments(tick)[-1] if tick is not None else None

    def _change(self, low: float, high: float) -> float:
        """Return when the clocks are changed between two moments, to the second."""
        before = self._offset(low)
        first, last = int(low), int(high)
        while last - first > 1:
            middle = (first + last) // 2
            first, last = (middle, last) if self._offset(middle) == before else (first, middle)
        return float(last)

    def _offset(self, moment: float) -> datetime.timedelta | None:
        return datetime.datetime.fromtimestamp(moment, self._zone).utcoffset()


class OneTime:
    """`Times` of one moment."""

    def __init__(self, at: float) -> None:
        self._at = at

    def after(self, moment: float) -> float | None:
        """As `Times.after`."""
        return self._at if self._at > moment else None

    def before(self, moment: float) -> float | None:
        """As `Times.before`."""
        return self._at if self._at <= moment else None


def times_of(schedule: Schedule) -> CronTimes | OneTime:
    """Return the moments that a schedule names.  Raises `Invalid` if they cannot be read."""
    return _cron_times(schedule.cron, schedule.time_zone) if schedule.cron else OneTime(schedule.run_at)


_cron_times = functools.lru_cache(maxsize=4096)(CronTimes)


def zone_of(name: str) -> datetime.tzinfo:
    """Return a time zone by its IANA name, UTC for none.  Raises `Invalid`, naming the field."""
    if name in ("", "UTC"):
        return _UTC
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        remedy = "an IANA name such as Europe/Berlin"
        raise Invalid(f"{name[:80]!r} is no time zone", {"time_zone": [remedy]}) from None


def _checked(cron: str) -> str:
    fields = cron.split()
    fine = len(cron) <= _CHARS_MAX and (
        cron in _ALIASES or (len(fields) == 5 and all(map(_FIELD.fullmatch, fields)) and not _RANDOM.search(cron))
    )
    if not fine or not croniter.croniter.is_valid(cron):
        remedy = "minute, hour, day of month, month and day of week, such as 30 7 * * mon-fri"
        raise Invalid("the cron expression cannot be read", {"cron": [remedy]})
    return cron
